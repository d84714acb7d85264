"""Streamed replacement of partitions: bounded, whole, and safe against a second writer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import TableError
from pynomaly_pipelines.resources.tables import Lake

SCHEMA = pa.schema([("x", pa.int64()), ("_partition", pa.string())])


def rows(key: str, *values: int) -> pa.Table:
    return pa.table({"x": list(values), "_partition": [key] * len(values)}, schema=SCHEMA)


def replace(lake: Lake, tables: dict[str, list[pa.Table]], schema: pa.Schema = SCHEMA) -> None:
    lake.replace_streamed("shop", "raw", list(tables), schema, lambda key: iter(tables[key]))


def values(lake: Lake) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in lake.read("shop", "raw").to_pylist():
        found.setdefault(row["_partition"], []).append(row["x"])
    return found


def test_partitions_are_replaced_and_others_stay(lake: Lake) -> None:
    replace(lake, {"a": [rows("a", 1), rows("a", 2)], "b:00": [rows("b:00", 3)]})
    replace(lake, {"a": [rows("a", 7)]})
    assert values(lake) == {"a": [7], "b:00": [3]}
    assert lake.counts("shop", "raw") == {"a": 1, "b:00": 1}
    replace(lake, {"a": []})
    assert values(lake) == {"b:00": [3]}


def test_both_ways_of_replacing_agree(lake: Lake) -> None:
    replace(lake, {"a": [rows("a", 1)], "b": [rows("b", 2)]})
    lake.replace("shop", "raw", ["a"], rows("a", 3))
    replace(lake, {"b": [rows("b", 4)]})
    assert values(lake) == {"a": [3], "b": [4]}


def test_the_commit_has_the_number_of_the_table_s_version(lake: Lake) -> None:
    for expected in (1, 2):
        commit = lake.replace_streamed("shop", "raw", ["a"], SCHEMA, lambda key: iter([rows(key, 1)]))
        assert commit.version == lake.version("shop", "raw") == expected


def test_new_columns_are_added_and_types_keep(lake: Lake) -> None:
    replace(lake, {"a": [rows("a", 1)]})
    wider = pa.schema([*SCHEMA, ("y", pa.string())])
    replace(lake, {"b": [rows("b", 2).append_column("y", [["new"]])]}, wider)
    assert lake.read("shop", "raw")["y"].to_pylist() == [None, "new"]
    with pytest.raises(TableError, match="column 'x' of shop/raw came as string"):
        replace(lake, {"b": []}, pa.schema([("x", pa.string()), ("_partition", pa.string())]))


def test_a_failure_while_rows_stream_leaves_what_was_there(lake: Lake) -> None:
    replace(lake, {"a": [rows("a", 1)], "b": [rows("b", 2)]})

    def torn(key: str) -> list[pa.Table]:
        if key == "b":
            raise OSError("gone")
        return [rows("a", 7)]

    with pytest.raises(OSError, match="gone"):
        lake.replace_streamed("shop", "raw", ["a", "b"], SCHEMA, torn)
    assert values(lake) == {"a": [1], "b": [2]}


def test_of_two_writers_of_one_partition_one_stands_alone(tmp_path: Path) -> None:
    root = str(tmp_path / "lake")
    replace(Lake(root), {"z": [rows("z", 0)]})

    def write(number: int) -> None:
        replace(Lake(root), {"a": [rows("a", number)], f"own{number}": [rows(f"own{number}", number)]})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    found = values(Lake(root))
    assert len(found.pop("a")) == 1
    assert found == {"z": [0], **{f"own{number}": [number] for number in range(8)}}


def test_reading_a_piece_at_a_time(lake: Lake) -> None:
    replace(lake, {"a": [rows("a", *range(40_000))], "b": [rows("b", 1)]})
    pieces = list(lake.stream("shop", "raw", partitions=["a"], columns=["x"]))
    assert max(piece.num_rows for piece in pieces) < 20_000
    assert pa.concat_tables(pieces)["x"].to_pylist() == list(range(40_000))
    assert lake.head("shop", "raw", "b", 5)["x"].to_pylist() == [1]
