"""Whose pipelines a command means, and what a check knows beyond the schema."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import pynomaly_pipelines
from pynomaly_pipelines import specfile
from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.project import Project

HEAD = f"type: {specfile.COMPONENT}\nattributes:\n  source: {{type: csv, path: a.csv}}\n"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("PYNOMALY_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    monkeypatch.chdir(tmp_path)


def declare(module: str) -> None:
    Path("pyproject.toml").write_text(f'[tool.dg.project]\nroot_module = "{module}"\n', encoding="utf-8")


@pytest.mark.parametrize(("module", "folder"), [("shop", "shop"), ("shop", "src/shop"), ("acme.shop", "acme/shop")])
def test_a_users_own_project(module: str, folder: str, tmp_path: Path) -> None:
    declare(module)
    Path(folder).mkdir(parents=True)
    found = Project.current()
    assert (found.module, found.defs) == (module, tmp_path / folder / "defs")
    assert found.settings.home == tmp_path / ".pynomaly"


@pytest.mark.parametrize("text", [None, "", "[tool.ruff]\n", "[tool.dg]\ndirectory_type = 'project'\n"])
def test_elsewhere_the_packages_pipelines(text: str | None) -> None:
    if text is not None:
        Path("pyproject.toml").write_text(text, encoding="utf-8")
    found = Project.current()
    assert found.module == "pynomaly_pipelines"
    assert found.defs == Path(pynomaly_pipelines.__file__).parent / "defs"


def test_a_declared_module_without_a_folder_is_an_error() -> None:
    declare("shop")
    with pytest.raises(SpecError, match="root_module 'shop'"):
        Project.current()


def test_a_project_file_that_cannot_be_read() -> None:
    Path("pyproject.toml").write_text("[tool.dg.project\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"pyproject.toml is not readable"):
        Project.current()


def test_dagsters_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Project.current().dagster_home() == tmp_path / ".pynomaly" / "dagster"
    Path("dagster.yaml").write_text("nux: {enabled: true}\n", encoding="utf-8")
    home = Project.current().dagster_home()
    assert (home / "dagster.yaml").read_text(encoding="utf-8") == "nux: {enabled: true}\n"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "mine"))
    assert Project.current().dagster_home() == tmp_path / "mine"


# ---------------------------------------------------------------------------------------------------- check


def checked(tmp_path: Path, text: str) -> list[SpecError]:
    declare("shop")
    path = tmp_path / "shop" / "defs" / "orders" / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(HEAD + text, encoding="utf-8")
    found = Project.current().check()
    for problem in found:
        problem.where = problem.where.removeprefix(str(path))
    return found


def test_what_is_right_has_no_problems(tmp_path: Path) -> None:
    text = "  time: at\n  labels: {events: e.csv}\n  training: {detectors: [auto, IForest: {n_estimators: 10}]}\n"
    (tmp_path / "shop" / "defs" / "orders").mkdir(parents=True)
    (tmp_path / "shop" / "defs" / "orders" / "e.csv").write_text("start,end\n", encoding="utf-8")
    (tmp_path / "shop" / "defs" / "orders" / "defs.yaml").write_text(HEAD + text, encoding="utf-8")
    declare("shop")
    assert Project.current().check() == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("  training:\n    detectors:\n      - HBOS\n      - IForrest\n", 7, "IForest"),
        ("  training:\n    detectors:\n      - IForest: {n_estimatos: 3}\n", 6, "n_estimators"),
        ("  training:\n    detectors:\n      - COF\n", 6, "COF"),
        ("  training:\n    detectors: [SeasonalResidual]\n", 5, "SeasonalResidual"),
        ("  expectations:\n    - expect_nothing: {column: a}\n", 5, "expect_nothing"),
        ("  time: at\n  labels:\n    events: none.csv\n", 6, "none.csv"),
    ],
)
def test_a_check_knows_detectors_expectations_and_files(text: str, line: int, words: str, tmp_path: Path) -> None:
    (problem,) = checked(tmp_path, text)
    assert problem.where == f":{line}"
    assert words in str(problem)
    assert problem.fix


def test_series_have_detectors_of_their_own(tmp_path: Path) -> None:
    text = "  kind: series\n  time: at\n  values: v\n  training: {detectors: [SeasonalResidual, HBSO]}\n"
    (problem,) = checked(tmp_path, text)
    assert "HBSO" in problem.problem


def test_problems_of_two_kinds_come_together(tmp_path: Path) -> None:
    text = "  training: {detectors: [COF]}\n  expectations: [expect_nothing]\n"
    assert sorted(problem.where for problem in checked(tmp_path, text)) == [":4", ":5"]
