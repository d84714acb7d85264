"""Which partitions wait for ingestion, and which files they are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pynomaly_pipelines.operations.errors import SourceMissing, SourceUnreadable, SpecError
from pynomaly_pipelines.stages.sources import landing, paths
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
GLOB = {"type": "csv", "path": "in/*.csv"}


def pending(shop: Zone) -> dict[str, str]:
    return landing.pending(shop.spec, shop.lake, shop.project)


def keys_by_file(shop: Zone) -> dict[str, tuple[str, ...]]:
    files = paths.landed(shop.spec, shop.project)
    return {Path(file.path).name: keys for file, keys in paths.dated_files(shop.spec, files)}


# ------------------------------------------------------------------------------------------------ dated paths


def test_new_files_wait_until_they_are_ingested(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", "at,x\n2025-01-01,1\n")
    shop.drop("2025-01-02.csv", "at,x\n2025-01-02,1\n")
    assert list(pending(shop)) == ["2025-01-01", "2025-01-02"]
    shop.ingest("2025-01-01")
    assert list(pending(shop)) == ["2025-01-02"]
    shop.ingest("2025-01-02")
    assert pending(shop) == {}


def test_the_digest_changes_with_the_files_and_only_then(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/%Y-%m-%d*.csv"})
    shop.drop("2025-01-01a.csv", "at,x\n2025-01-01,1\n")
    first = pending(shop)
    assert pending(shop) == first
    shop.ingest("2025-01-01")
    shop.drop("2025-01-01b.csv", "at,x\n2025-01-01,2\n")
    second = pending(shop)
    assert list(second) == ["2025-01-01"]
    assert second != first
    shop.ingest("2025-01-01")
    assert pending(shop) == {}
    assert shop.lake.counts("shop", "raw") == {"2025-01-01": 2}
    shop.drop("2025-01-01b.csv", "at,x\n2025-01-01,2\n2025-01-01,3\n")
    assert pending(shop)["2025-01-01"] not in (*first.values(), *second.values())


def test_an_unreadable_file_waits_only_until_it_was_tried(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", "")
    with pytest.raises(SourceUnreadable):
        shop.ingest("2025-01-01")
    assert pending(shop) == {}
    record = landing.remembered(shop.spec, shop.lake)["in/2025-01-01.csv"]
    assert record.status == "unreadable"
    assert "is empty" in str(record.reason)
    shop.drop("2025-01-01.csv", "at,x\n2025-01-01,1\n")
    assert list(pending(shop)) == ["2025-01-01"]


def test_files_being_written_and_temporary_ones_do_not_count(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/%Y-%m-%d*"})
    for name in (".2025-01-01.csv", "2025-01-01.csv.tmp", "2025-01-01.csv.part", "2025-01-01.csv~"):
        shop.drop(name, "at,x\n2025-01-01,1\n")
    shop.drop("2025-01-02.csv", "at,x\n2025-01-02,1\n", age_seconds=0)
    assert pending(shop) == {}


def test_an_empty_folder_and_no_folder(zone: Make) -> None:
    assert pending(zone()) == {}


def test_files_before_the_start_from_the_end_on_or_with_other_names_belong_nowhere(zone: Make) -> None:
    shop = zone(end="2025-01-03")
    for name in ("2024-12-31.csv", "2025-01-02.csv", "2025-01-03.csv", "2025-13-01.csv", "latest.csv", "2025-1-2.csv"):
        shop.drop(name, "at,x\n")
    assert keys_by_file(shop) == {"2025-01-02.csv": ("2025-01-02",)}


@pytest.mark.parametrize(
    ("partition", "path", "name", "keys"),
    [
        ("daily", "in/%Y%m%d-*.csv", "20250131-x.csv", ("2025-01-31",)),
        ("hourly", "in/%Y-%m-%dT%H.csv", "2025-01-31T07.csv", ("2025-01-31-07:00",)),
        ("weekly", "in/%Y-%m-%d.csv", "2025-02-01.csv", ("2025-01-26",)),
        ("monthly", "in/%Y-%m-%d.csv", "2025-02-28.csv", ("2025-02-01",)),
        ("monthly", "in/%b %Y.csv", "Mar 2025.csv", ("2025-03-01",)),
        ("monthly", "in/%Y.csv", "2025.csv", tuple(f"2025-{month:02d}-01" for month in range(1, 13))),
        ("daily", "in/%Y-%j.csv", "2025-032.csv", ("2025-02-01",)),
        (
            "weekly",
            "in/%Y-%m.csv",
            "2025-02.csv",
            ("2025-01-26", "2025-02-02", "2025-02-09", "2025-02-16", "2025-02-23"),
        ),
    ],
)
def test_a_file_name_says_its_partitions(
    zone: Make, partition: str, path: str, name: str, keys: tuple[str, ...]
) -> None:
    shop = zone(partition=partition, source={"type": "csv", "path": path})
    shop.drop(name, "at,x\n")
    assert keys_by_file(shop) == {name: keys}


def test_dates_in_folders(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/%Y/%m/**/part[0-9].csv"}, partition="monthly")
    shop.drop("2025/02/deep/er/part1.csv", "at,x\n2025-02-03,1\n")
    shop.drop("2025/02/part2.csv", "at,x\n2025-02-04,2\n")
    shop.ingest("2025-02-01")
    assert shop.rows()["x"].tolist() == [1, 2]


def test_an_unknown_code(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/%Q.csv"})
    shop.drop("1.csv", "at,x\n")
    with pytest.raises(SpecError, match=r"'in/%Q.csv' has the code %Q"):
        pending(shop)


def test_a_monthly_file_feeds_its_days_and_foreign_rows_are_rejected_once(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/%Y-%m.csv"}, end="2025-02-01")
    shop.drop("2025-01.csv", "at,x\n2025-01-01,1\n2025-01-02,2\n2025-02-01,3\n")
    assert list(pending(shop)) == [f"2025-01-{day:02d}" for day in range(1, 32)]
    shop.ingest("2025-01-01")
    assert "2025-01-01" not in pending(shop)
    shop.ingest(*[f"2025-01-{day:02d}" for day in range(2, 32)])
    assert pending(shop) == {}
    assert shop.lake.counts("shop", "raw") == {"2025-01-01": 1, "2025-01-02": 1, "2025-01-31": 1}
    assert shop.rejected() == {4: "time 2025-02-01 00:00:00Z lies outside partition 2025-01-31"}


# ------------------------------------------------------------------------------------------ globs without dates


def test_a_file_without_a_date_belongs_where_its_rows_do(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", "at,x\n2025-01-01,1\n2025-01-02,2\n")
    shop.drop("b.csv", "at,x\n2025-01-02,3\n")
    waiting = pending(shop)
    assert list(waiting) == ["2025-01-01", "2025-01-02"]
    assert pending(shop) == waiting
    shop.ingest("2025-01-01")
    assert pending(shop) == {"2025-01-02": waiting["2025-01-02"]}
    shop.ingest("2025-01-02")
    assert pending(shop) == {}
    assert shop.rows()["x"].tolist() == [1, 2, 3]


def test_times_are_read_once(zone: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = zone(source=GLOB)
    path = shop.drop("a.csv", "at,x\n2025-01-01,1\n")
    pending(shop)
    opened = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: opened.append(self) or original(self))
    assert list(pending(shop)) == ["2025-01-01"]
    assert path not in opened


def test_rows_with_unfit_times_are_rejected_in_the_last_partition_of_their_file(zone: Make) -> None:
    shop = zone(source=GLOB, end="2026-01-01")
    shop.drop("a.csv", "at,x\n2025-01-01,1\n2025-01-03,2\n,3\nsoon,4\n2024-12-31,5\n2026-01-01,6\n")
    report = shop.ingest("2025-01-01", "2025-01-03")
    assert (report.rows, report.rejected) == (6, 4)
    assert shop.rejected() == {
        4: "at is missing",
        5: "at='soon' is not a time in ISO 8601 form",
        6: "time 2024-12-31 00:00:00Z is before the start of the pipeline (2025-01-01)",
        7: "time 2026-01-01 00:00:00Z is not before the end of the pipeline (2026-01-01)",
    }
    assert shop.lake.counts("shop", "raw") == {"2025-01-01": 1, "2025-01-03": 5}


def test_rows_later_than_their_file_are_rejected_unless_the_future_is_allowed(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", "at,x\n2025-01-01,1\n2099-01-01,2\n")
    shop.ingest("2025-01-01")
    assert shop.rejected() == {3: "time 2099-01-01 00:00:00Z is later than the file itself"}
    assert shop.lake.counts("shop", "raw") == {"2025-01-01": 2}
    shop.attributes["allow_future"] = True
    shop.drop("a.csv", "at,x\n2025-01-01,1\n2099-01-01,2\n", age_seconds=61)
    shop.ingest("2025-01-01", "2099-01-01")
    assert shop.rejected() == {}
    assert shop.lake.counts("shop", "raw") == {"2025-01-01": 1, "2099-01-01": 1}


def test_a_corrected_file_leaves_no_rows_where_they_no_longer_belong(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", "at,x\n2025-01-01,1\n2025-01-02,2\n")
    shop.ingest("2025-01-01", "2025-01-02")
    shop.drop("a.csv", "at,x\n2025-01-02,1\n2025-01-03,2\n", age_seconds=30)
    assert list(pending(shop)) == ["2025-01-01", "2025-01-02", "2025-01-03"]
    shop.ingest(*pending(shop))
    assert shop.lake.counts("shop", "raw") == {"2025-01-02": 1, "2025-01-03": 1}
    assert pending(shop) == {}


def test_rows_of_files_that_were_moved_away_stay(zone: Make) -> None:
    shop = zone(source=GLOB)
    moved = shop.drop("a.csv", "at,x\n2025-01-01,1\n")
    shop.ingest("2025-01-01")
    moved.unlink()
    shop.drop("b.csv", "at,x\n2025-01-01,2\n")
    report = shop.ingest("2025-01-01")
    assert (report.rows, report.kept) == (2, 1)
    assert sorted(shop.rows()["x"]) == [1, 2]
    assert shop.ingest("2025-01-01").rows == 2


def test_a_file_without_one_fit_time_is_set_aside(zone: Make) -> None:
    shop = zone(source=GLOB)
    shop.drop("a.csv", "at,x\nsoon,1\nlater,2\n")
    shop.drop("b.csv", "at,x\n2025-01-01,1\n")
    shop.drop("c.csv", "when,x\n2025-01-01,1\n")
    assert list(pending(shop)) == ["2025-01-01"]
    records = landing.remembered(shop.spec, shop.lake)
    assert {path: record.status for path, record in records.items()} == {
        "in/a.csv": "unreadable",
        "in/b.csv": "seen",
        "in/c.csv": "unreadable",
    }
    assert "no row of in/a.csv has a time" in str(records["in/a.csv"].reason)
    assert "no column 'at'" in str(records["in/c.csv"].reason)
    with pytest.raises(SourceMissing, match="no file for partition '2025-01-05'"):
        shop.ingest("2025-01-05")


def test_the_whole_takes_every_file(zone: Make) -> None:
    shop = zone(source=GLOB, partition="whole", start=None, time=None)
    shop.drop("a.csv", "at,x\n2025-01-01,1\n")
    shop.drop("b.csv", "at,x\n2025-01-02,2\n")
    assert list(pending(shop)) == ["all"]
    assert shop.ingest("all").rows == 2
    assert pending(shop) == {}
    shop.drop("c.csv", "at,x\n2025-01-02,3\n")
    assert list(pending(shop)) == ["all"]
    assert shop.ingest("all").rows == 3
