"""Partitions are replaced whole or not at all, whoever else is writing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import TableError
from pynomaly_pipelines.resources.tables import Lake


def rows(key: str, *values: int) -> pa.Table:
    return pa.table({"value": pa.array(values, pa.int64()), "_partition": pa.array([key] * len(values), pa.string())})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_a_replaced_partition_holds_the_new_rows_once_and_the_others_stay(lake: Lake) -> None:
    lake.replace("shop", "raw", ["a", "b"], pa.concat_tables([rows("b", 3), rows("a", 1, 2)]))
    lake.replace("shop", "raw", ["a"], rows("a", 9))
    again = lake.replace("shop", "raw", ["a"], rows("a", 9))
    assert lake.read("shop", "raw").to_pydict() == {"value": [9, 3], "_partition": ["a", "b"]}
    assert lake.counts("shop", "raw") == {"a": 1, "b": 1}
    assert (again.rows, again.version) == (1, lake.version("shop", "raw"))


def test_each_replacement_is_one_commit(lake: Lake) -> None:
    first = lake.replace("shop", "raw", ["a"], rows("a", 1))
    second = lake.replace("shop", "raw", ["a", "b"], rows("b", 2))
    assert second.version == first.version + 1
    assert lake.counts("shop", "raw") == {"b": 1}


def test_no_rows_make_a_table_with_their_schema(lake: Lake) -> None:
    lake.replace("shop", "raw", ["a"], rows("a"))
    assert lake.exists("shop", "raw")
    assert lake.counts("shop", "raw") == {}
    assert lake.read("shop", "raw").num_rows == 0
    assert lake.schema("shop", "raw").names == ["value", "_partition"]


def test_no_partitions_replace_nothing(lake: Lake) -> None:
    lake.replace("shop", "raw", ["a"], rows("a", 1))
    commit = lake.replace("shop", "raw", [], rows("a"))
    assert commit.rows == 0
    assert lake.counts("shop", "raw") == {"a": 1}


def test_rows_of_another_partition_are_refused(lake: Lake) -> None:
    with pytest.raises(TableError, match=r"belong to partition\(s\) 'b'.*replaces 'a'"):
        lake.replace("shop", "raw", ["a"], rows("b", 1))
    assert not lake.exists("shop", "raw")


def test_rows_without_a_partition_are_refused(lake: Lake) -> None:
    with pytest.raises(TableError, match="no column '_partition'"):
        lake.replace("shop", "raw", ["a"], pa.table({"value": [1]}))


def test_a_new_column_is_added_and_is_null_before(lake: Lake) -> None:
    lake.replace("shop", "raw", ["a"], rows("a", 1))
    lake.replace("shop", "raw", ["b"], rows("b", 2).append_column("colour", pa.array(["red"])))
    assert lake.read("shop", "raw").to_pylist() == [
        {"value": 1, "_partition": "a", "colour": None},
        {"value": 2, "_partition": "b", "colour": "red"},
    ]


def test_an_absent_column_is_null(lake: Lake) -> None:
    lake.replace("shop", "raw", ["a"], rows("a", 1).append_column("colour", pa.array(["red"])))
    lake.replace("shop", "raw", ["a"], rows("a", 2))
    assert lake.read("shop", "raw")["colour"].to_pylist() == [None]


def test_a_changed_type_is_refused_and_the_old_rows_stay(lake: Lake) -> None:
    lake.replace("shop", "raw", ["a"], rows("a", 1))
    text = pa.table({"value": ["1"], "_partition": ["a"]})
    with pytest.raises(TableError, match=r"column 'value' of shop/raw came as string.*has it as int64"):
        lake.replace("shop", "raw", ["a"], text)
    assert lake.read("shop", "raw")["value"].to_pylist() == [1]


def test_a_narrower_type_widens(lake: Lake) -> None:
    lake.replace("shop", "raw", ["a"], rows("a", 1))
    lake.replace("shop", "raw", ["b"], pa.table({"value": pa.array([2], pa.int16()), "_partition": ["b"]}))
    assert lake.schema("shop", "raw").field("value").type == pa.int64()
    assert lake.read("shop", "raw")["value"].to_pylist() == [1, 2]


def test_types_delta_does_not_have_are_stored_in_those_it_has(lake: Lake) -> None:
    moment = datetime(2025, 1, 1, 12, tzinfo=UTC)
    data = pa.table(
        {
            "time": pa.array([moment], pa.timestamp("ns", "Europe/Paris")),
            "kind": pa.array(["x"]).dictionary_encode(),
            "count": pa.array([7], pa.uint32()),
            "nothing": pa.nulls(1),
            "_partition": pa.array(["a"], pa.large_string()),
        }
    )
    lake.replace("shop", "raw", ["a"], data)
    lake.replace("shop", "raw", ["a"], data)
    schema = lake.schema("shop", "raw")
    assert schema.types == [pa.timestamp("us", "UTC"), pa.string(), pa.int64(), pa.float64(), pa.string()]
    assert lake.read("shop", "raw").to_pylist() == [
        {"time": moment, "kind": "x", "count": 7, "nothing": None, "_partition": "a"}
    ]


@pytest.mark.parametrize("key", ["2025-01-01-10:00", "it's", "a b/c%20=é"])
def test_any_partition_key_is_found_again(lake: Lake, key: str) -> None:
    lake.replace("shop", "raw", ["other", key], pa.concat_tables([rows("other", 0), rows(key, 1)]))
    lake.replace("shop", "raw", [key], rows(key, 2))
    assert lake.read("shop", "raw", partitions=[key])["value"].to_pylist() == [2]
    assert lake.counts("shop", "raw") == {"other": 1, key: 1}


def test_rows_come_by_partition_and_then_as_they_were_written(lake: Lake) -> None:
    mixed = pa.table({"value": list(range(3000)), "_partition": [("c", "a", "b")[i % 3] for i in range(3000)]})
    lake.replace("shop", "raw", ["a", "b", "c"], mixed)
    read = lake.read("shop", "raw", columns=["value"])["value"].to_pylist()
    assert read == [*range(1, 3000, 3), *range(2, 3000, 3), *range(0, 3000, 3)]


def test_an_earlier_version_can_be_read(lake: Lake) -> None:
    first = lake.replace("shop", "raw", ["a"], rows("a", 1))
    lake.replace("shop", "raw", ["a"], rows("a", 2, 3))
    assert lake.read("shop", "raw", version=first.version)["value"].to_pylist() == [1]
    assert lake.counts("shop", "raw", version=first.version) == {"a": 1}
    with pytest.raises(TableError, match="no version 99"):
        lake.read("shop", "raw", version=99)


def test_reading_what_is_not_there_names_what_makes_it(lake: Lake) -> None:
    with pytest.raises(TableError, match=r"'validated' of pipeline 'shop' does not exist.*pynomaly run shop"):
        lake.read("shop", "validated")
    lake.replace("shop", "raw", ["a"], rows("a", 1))
    with pytest.raises(TableError, match=r"no column 'colour'.*'value', '_partition'"):
        lake.read("shop", "raw", columns=["colour"])
    assert lake.read("shop", "raw", partitions=["nope"]).num_rows == 0
    assert lake.read("shop", "raw", partitions=[]).num_rows == 0


def test_concurrent_writers_of_different_partitions_all_land(lake: Lake) -> None:
    def write(number: int) -> None:
        for value in range(3):
            lake.replace("shop", "raw", [f"p{number}"], rows(f"p{number}", value, value))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert lake.counts("shop", "raw") == {f"p{number}": 2 for number in range(6)}
    assert set(lake.read("shop", "raw")["value"].to_pylist()) == {2}


def test_of_concurrent_writers_of_one_partition_one_stands_alone(lake: Lake) -> None:
    lake.replace("shop", "raw", ["a"], rows("a"))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: lake.replace("shop", "raw", ["a"], rows("a", number, number)), range(4)))
    values = lake.read("shop", "raw")["value"].to_pylist()
    assert len(values) == 2
    assert len(set(values)) == 1


def test_appended_rows_stay_and_small_files_are_merged(lake: Lake) -> None:
    for value in range(7):
        lake.append("shop", "files", pa.table({"value": [value]}), compact_after=4)
    assert sorted(lake.read("shop", "files")["value"].to_pylist()) == list(range(7))


def test_a_url_for_a_root(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake/")
    assert not lake.exists("shop", "raw")
    lake.replace("shop", "raw", ["a"], rows("a", 1))
    assert lake.counts("shop", "raw") == {"a": 1}
    assert lake.uri("shop", "raw") == f"file://{tmp_path}/lake/shop/raw"


def _write_for_ever(root: str, ready: multiprocessing.synchronize.Event) -> None:
    lake = Lake(root)
    value = 0
    while True:
        value += 1
        lake.replace("shop", "raw", ["a", "b"], pa.concat_tables([rows("a", *[value] * 20_000), rows("b", value)]))
        ready.set()


@pytest.mark.slow
@pytest.mark.parametrize("delay_seconds", [0.0, 0.005, 0.012, 0.023, 0.04])
def test_a_killed_writer_leaves_the_old_rows_or_the_new(tmp_path: Path, delay_seconds: float) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    writer = context.Process(target=_write_for_ever, args=(str(tmp_path), ready))
    writer.start()
    assert ready.wait(60)
    time.sleep(delay_seconds)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()

    lake = Lake(str(tmp_path))
    read = lake.read("shop", "raw")
    assert lake.counts("shop", "raw") == {"a": 20_000, "b": 1}
    assert len(set(read["value"].to_pylist())) == 1
    lake.replace("shop", "raw", ["a"], rows("a", 0))
    assert lake.counts("shop", "raw") == {"a": 1, "b": 1}
