"""Late, duplicate, torn and replaced files: each row ends up in the table once, and what is wrong is told."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from pynomaly_pipelines.operations.errors import SourceChanging, SourceUnreadable
from pynomaly_pipelines.resources import storage
from pynomaly_pipelines.resources.storage import LandedFile, LocalFiles, Opened
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.sources import landing, manifest, reading
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
GLOB = {"type": "csv", "path": "in/*.csv*"}
FIRST = "at,x\n2025-01-01,1\n2025-01-02,2\n"


def pending(shop: Zone) -> list[str]:
    return list(landing.pending(shop.spec, shop.lake, shop.project))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read some 200 bytes at a time."""
    monkeypatch.setattr(reading, "PIECES_A_BUDGET", (256 << 20) // 200)


# -------------------------------------------------------------------------------------------------- duplicates


def test_the_same_content_under_another_name_is_no_news(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", FIRST)
    shop.ingest(*pending(shop))
    shop.drop("a (1).csv", FIRST)
    assert pending(shop) == ["2025-01-01", "2025-01-02"]
    report = shop.ingest("2025-01-01", "2025-01-02")
    assert report.rows == 2
    told = {file.path: (file.status, file.reason) for file in report.files}
    assert told["in/a (1).csv"] == (
        "duplicate",
        "file in/a (1).csv has the same content as in/a.csv, whose rows are there already",
    )
    assert told["in/a.csv"] == ("read", None)
    assert pending(shop) == []


def test_two_files_of_the_same_content_at_once(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", FIRST)
    shop.drop("b.csv", FIRST)
    report = shop.ingest(*pending(shop))
    assert [file.status for file in report.files] == ["read", "duplicate"]
    assert report.rows == 2
    assert pending(shop) == []


def test_a_file_that_was_renamed_is_no_news(zone: Make) -> None:
    shop = zone(source=GLOB)
    path = shop.drop("a.csv", FIRST)
    shop.ingest(*pending(shop))
    path.rename(path.with_name("b.csv"))
    report = shop.ingest(*pending(shop))
    assert (report.rows, report.kept) == (2, 2)
    assert sorted(shop.rows()["x"]) == [1, 2]
    assert pending(shop) == []


def test_a_copy_counts_when_its_original_changes(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", FIRST)
    shop.drop("b.csv", FIRST)
    shop.ingest(*pending(shop))
    shop.drop("a.csv", "at,x\n2025-01-01,7\n2025-01-02,8\n", age_seconds=30)
    report = shop.ingest(*pending(shop))
    assert [file.status for file in report.files] == ["read", "read"]
    assert sorted(shop.rows()["x"]) == [1, 2, 7, 8]
    assert pending(shop) == []


def test_a_file_written_again_with_the_same_content_is_no_news(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", FIRST)
    shop.ingest(*pending(shop))
    version = shop.lake.version("shop", "raw")
    shop.drop("a.csv", FIRST, age_seconds=10)
    assert pending(shop) == []
    assert shop.lake.version("shop", "raw") == version
    shop.drop("a.csv", FIRST.replace("1\n", "3\n"), age_seconds=5)
    assert pending(shop) == ["2025-01-01", "2025-01-02"]


def test_equal_files_of_different_days_are_not_copies(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/%Y-%m-%d.csv"})
    shop.drop("2025-01-01.csv", "at,x\n2025-01-01,1\n")
    shop.drop("2025-01-02.csv", "at,x\n2025-01-01,1\n")
    report = shop.ingest("2025-01-01", "2025-01-02")
    assert [file.status for file in report.files] == ["read", "read"]
    assert shop.rejected() == {2: "time 2025-01-01 00:00:00Z lies outside partition 2025-01-02"}


# -------------------------------------------------------------------------------------------------------- late


def test_late_rows_revise_their_partition_and_no_other(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", FIRST)
    shop.ingest(*pending(shop))
    shop.drop("late.csv", "at,x\n2025-01-01,9\n")
    assert pending(shop) == ["2025-01-01"]
    shop.ingest("2025-01-01")
    assert shop.lake.counts("shop", "raw") == {"2025-01-01": 2, "2025-01-02": 1}


# -------------------------------------------------------------------------------------------------------- torn


def test_a_torn_file_is_set_aside_and_the_rest_goes_on(zone: Make, small_pieces: None) -> None:
    shop = zone(source=GLOB)
    good = "at,x\n" + "".join(f"2025-01-01,{i}\n" for i in range(100))
    torn = gzip.compress(good.replace(",1\n", ",11\n").encode())
    shop.drop("a.csv", good)
    shop.drop("b.csv.gz", torn[:-20])
    report = shop.ingest(*pending(shop))
    assert report.rows == 100
    shop.drop("c.csv", good.replace("x", "y") + "2025-01-01,é\n".encode("latin-1").decode("latin-1"))
    assert pending(shop) == ["2025-01-01"]
    record = manifest.remembered(shop.spec, shop.lake)["in/b.csv.gz"]
    assert record.status == "unreadable"
    assert "in/b.csv.gz is no whole gzip file" in str(record.reason)
    shop.drop("b.csv.gz", torn, age_seconds=30)
    shop.ingest(*pending(shop))
    assert shop.lake.counts("shop", "raw") == {"2025-01-01": 301}


def test_nothing_of_a_file_that_is_torn_at_its_end_is_kept(zone: Make, small_pieces: None) -> None:
    shop = zone()
    good = b"at,x\n" + b"".join(b"2025-01-01,%d\n" % i for i in range(200))
    shop.drop("2025-01-01.csv", good + b"2025-01-01,\xff\n")
    shop.drop("2025-01-02.csv", good.replace(b"01-01", b"01-02"))
    report = shop.ingest("2025-01-01", "2025-01-02")
    assert shop.lake.counts("shop", "raw") == {"2025-01-02": 200}
    (failure,) = report.failures
    assert failure.partition == "2025-01-01"
    assert isinstance(failure.error, SourceUnreadable)
    assert "byte 0xff" in str(failure.error)


def test_a_torn_parquet_file(zone: Make, tmp_path: Path) -> None:
    shop = zone(source={"type": "parquet", "path": "in/%Y-%m-%d.parquet"})
    path = shop.drop("2025-01-01.parquet", pa.table({"at": ["2025-01-01"] * 5000, "x": list(range(5000))}))
    whole = path.read_bytes()
    shop.drop("2025-01-01.parquet", whole[: len(whole) // 2])
    with pytest.raises(SourceUnreadable, match="is not a whole Parquet file"):
        shop.ingest("2025-01-01")
    shop.drop("2025-01-01.parquet", whole, age_seconds=30)
    assert shop.ingest("2025-01-01").rows == 5000


# -------------------------------------------------------------------------------------------- packed, in pieces


@pytest.mark.parametrize("packed", ["gz", "zst"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_packed_files(zone: Make, packed: str, kind: str) -> None:
    shop = zone(source={"type": kind, "path": f"in/%Y-%m-%d.{kind}.{packed}"})
    table = pa.table({"at": ["2025-01-01", "2025-01-01"], "x": [1, 2]})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    plain = {
        "csv": b"at,x\n2025-01-01,1\n2025-01-01,2\n",
        "jsonl": b'{"at": "2025-01-01", "x": 1}\n{"at": "2025-01-01", "x": 2}\n',
        "parquet": sink.getvalue().to_pybytes(),
    }[kind]
    content = gzip.compress(plain) if packed == "gz" else pa.compress(plain, "zstd", asbytes=True)
    shop.drop(f"2025-01-01.{kind}.{packed}", content)
    shop.ingest("2025-01-01")
    assert shop.rows()["x"].tolist() == [1, 2]


def test_rows_read_in_pieces_are_the_rows_read_at_once(zone: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "at,x,new\n" + "".join(
        f"2025-01-0{1 + i % 3},{i if i % 50 else 'many'},{i if i < 150 else i / 2}\n" for i in range(300)
    )
    found = []
    for pieces in (32, (256 << 20) // 300):
        monkeypatch.setattr(reading, "PIECES_A_BUDGET", pieces)
        shop = zone(source=GLOB, columns={"x": "integer"})
        shop.lake = Lake(f"{shop.lake.root}-{pieces}")
        shop.drop("a.csv", text + ",7,1\nsoon,8,2\n")
        keys = pending(shop)
        report = shop.ingest(*keys)
        rows = shop.rows().sort_values("_row").reset_index(drop=True)
        found.append((keys, report.rows, report.rejected, report.schema, rows.to_dict("list")))
    assert str(found[0]) == str(found[1])
    assert found[0][1:3] == (302, 8)


# --------------------------------------------------------------------------------------------------- replaced


def replace_while_open(monkeypatch: pytest.MonkeyPatch, path: Path, contents: list[str]) -> list[str]:
    """Each time the file is opened, and before it is read, it is replaced by the next of these."""
    opened: list[str] = []
    original = LocalFiles.opened

    @contextmanager
    def patched(self: LocalFiles, file: LandedFile) -> Iterator[Opened]:
        with original(self, file) as found:
            opened.append(file.path)
            if contents:
                path.write_text(contents.pop(0))
                then = time.time() - 100 * (1 + len(contents))
                os.utime(path, (then, then))
            yield found

    monkeypatch.setattr(storage.LocalFiles, "opened", patched)
    return opened


def test_a_file_replaced_while_it_is_read_is_read_again(zone: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = zone(columns={"x": "integer"})
    path = shop.drop("2025-01-01.csv", "at,x\n2025-01-01,1\n")
    shop.ingest("2025-01-01")
    # Half a row: what a reader sees while the file is written anew.
    replace_while_open(monkeypatch, path, ["at,x\n2025-01-01,22\n2025-0", "at,x\n2025-01-01,22\n2025-01-01,23\n"])
    report = shop.ingest("2025-01-01")
    assert shop.rows()["x"].tolist() == [22, 23]
    (file,) = report.files
    assert (file.status, file.attempts) == ("read", 3)
    assert pending(shop) == []


def test_a_file_that_never_rests_is_left_for_later(zone: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = zone(columns={"x": "integer"})
    path = shop.drop("2025-01-01.csv", "at,x\n2025-01-01,1\n")
    shop.drop("2025-01-02.csv", "at,x\n2025-01-02,5\n")
    shop.ingest("2025-01-01", "2025-01-02")
    shop.drop("2025-01-01.csv", "at,x\n2025-01-01,2\n", age_seconds=5)
    contents: list[Any] = [f"at,x\n2025-01-01,{i}\n" for i in range(30, 60)]
    replace_while_open(monkeypatch, path, contents)
    report = shop.ingest("2025-01-01", "2025-01-02")
    (failure,) = report.failures
    assert isinstance(failure.error, SourceChanging)
    assert failure.error.retryable
    assert "replaced 3 times while it was read" in str(failure.error)
    assert sorted(shop.rows()["x"]) == [1, 5]
    contents.clear()
    assert pending(shop) == ["2025-01-01"]


def test_a_file_taken_away_while_it_is_to_be_read(zone: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = zone()
    path = shop.drop("2025-01-01.csv", "at,x\n2025-01-01,1\n")
    shop.drop("2025-01-02.csv", "at,x\n2025-01-02,1\n")
    original = landing.landed

    def then_gone(*arguments: Any) -> list[LandedFile]:
        found = original(*arguments)
        path.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(landing, "landed", then_gone)
    report = shop.ingest("2025-01-01", "2025-01-02")
    assert [failure.partition for failure in report.failures] == ["2025-01-01"]
    assert "was taken away" in str(report.failures[0].error)
    assert shop.lake.counts("shop", "raw") == {"2025-01-02": 1}
