"""The order in which rows came, on the data's own clock: late rows come with the partition their file is at home in."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.backtest.arrived import arrivals
from tests.small_pipelines import spec

UNDATED = {"source": {"type": "csv", "path": "in/*.csv"}}


def put(lake: Lake, *rows: tuple[str, str, int], **more: Any) -> None:
    """Partition, file and id of each row of `validated`."""
    frame = pd.DataFrame(rows, columns=["_partition", "_source", "id"]).assign(**more)
    for key, part in frame.groupby("_partition"):
        lake.replace("shop", "validated", [str(key)], pa.Table.from_pandas(part, preserve_index=False))


def told(lake: Lake, **attributes: Any) -> list[tuple[str, dict[str, list[int]], dict[str, frozenset[str]]]]:
    return [
        (a.partition.key, {key: table["id"].to_pylist() for key, table in a.tables.items()}, a.new)
        for a in arrivals(spec(labels=None, **attributes), lake)
    ]


def test_a_partition_comes_when_it_ends(lake: Lake) -> None:
    put(lake, ("2025-01-02", "b", 2), ("2025-01-01", "a", 1), ("2025-01-04", "d", 4))
    assert told(lake, **UNDATED) == [
        ("2025-01-01", {"2025-01-01": [1]}, {}),
        ("2025-01-02", {"2025-01-02": [2]}, {}),
        ("2025-01-04", {"2025-01-04": [4]}, {}),
    ]


def test_late_rows_come_with_their_file(lake: Lake) -> None:
    put(
        lake,
        *[("2025-01-01", "a", n) for n in (1, 2, 3)],
        ("2025-01-01", "c", 4),
        ("2025-01-02", "b", 5),
        *[("2025-01-03", "c", n) for n in (6, 7)],
    )
    assert told(lake, **UNDATED) == [
        ("2025-01-01", {"2025-01-01": [1, 2, 3]}, {}),
        ("2025-01-02", {"2025-01-02": [5]}, {}),
        ("2025-01-03", {"2025-01-01": [1, 2, 3, 4], "2025-01-03": [6, 7]}, {"2025-01-01": frozenset({"c"})}),
    ]


def test_one_file_with_everything_is_at_home_everywhere(lake: Lake) -> None:
    put(lake, ("2025-01-01", "a", 1), ("2025-01-02", "a", 2))
    assert [step[1] for step in told(lake, **UNDATED)] == [{"2025-01-01": [1]}, {"2025-01-02": [2]}]


def test_a_dated_path_names_the_partition(lake: Lake) -> None:
    put(lake, ("2025-01-01", "a", 1), ("2025-01-01", "b", 2), ("2025-01-02", "b", 3))
    assert [step[1] for step in told(lake)] == [{"2025-01-01": [1, 2]}, {"2025-01-02": [3]}]


def test_a_column_is_there_from_its_first_value_on(lake: Lake) -> None:
    put(lake, ("2025-01-01", "a", 1), amount=[None])
    put(lake, ("2025-01-02", "b", 2), amount=[3.5])
    put(lake, ("2025-01-03", "c", 3), amount=[None])
    has = [("amount" in table.column_names) for a in arrivals(spec(labels=None), lake) for table in a.tables.values()]
    assert has == [False, True, True]
