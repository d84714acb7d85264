"""Which partitions a command means."""

from __future__ import annotations

from typing import Any

import pytest

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.running import choose
from pynomaly_pipelines.spec import PipelineSpec

KNOWN = ["2025-01-03", "2025-01-04", "2025-01-07"]


def spec(**attributes: Any) -> PipelineSpec:
    defaults: dict[str, Any] = {
        "name": "p",
        "source": {"type": "csv", "path": "a.csv"},
        "time": "t",
        "partition": "daily",
        "start": "2025-01-01",
    }
    return PipelineSpec.model_validate(defaults | attributes)


WHOLE = spec(partition="whole", start=None, time=None)


@pytest.mark.parametrize(
    ("partition", "span", "keys"),
    [
        (None, (None, None), KNOWN),
        ("2025-01-09", (None, None), ["2025-01-09"]),
        (None, ("2025-01-02", "2025-01-04"), ["2025-01-02", "2025-01-03", "2025-01-04"]),
        # An open end is the last day there are files of, an open start the first.
        (None, ("2025-01-06", None), ["2025-01-06", "2025-01-07"]),
        (None, (None, "2025-01-04"), ["2025-01-03", "2025-01-04"]),
        (None, ("2025-01-07", "2025-01-07"), ["2025-01-07"]),
    ],
)
def test_partitions_meant(partition: str | None, span: tuple[str | None, str | None], keys: list[str]) -> None:
    assert choose(spec(), KNOWN, partition, span) == keys


def test_without_files_there_is_nothing_to_do() -> None:
    assert choose(spec(), [], None, (None, None)) == []


def test_the_whole_is_one() -> None:
    assert choose(WHOLE, [], None, (None, None)) == ["all"]
    assert choose(WHOLE, ["all"], "all", (None, None)) == ["all"]


@pytest.mark.parametrize(
    ("pipeline", "partition", "span", "words"),
    [
        (WHOLE, "2025-01-01", (None, None), "'2025-01-01'"),
        (WHOLE, None, ("2025-01-01", None), "'2025-01-01'"),
        (spec(), "2025-01", (None, None), "'2025-01'"),
        (spec(), "2024-12-31", (None, None), "its first is '2025-01-01'"),
        (spec(end="2025-02-01"), "2025-02-01", (None, None), "ends before '2025-02-01'"),
        (spec(), None, ("2025-01-05", "2025-01-02"), "runs backwards"),
        (spec(), None, ("2024-12-30", "2025-01-02"), "its first is"),
    ],
)
def test_partitions_that_do_not_exist(
    pipeline: PipelineSpec, partition: str | None, span: tuple[str | None, str | None], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        choose(pipeline, KNOWN, partition, span)
