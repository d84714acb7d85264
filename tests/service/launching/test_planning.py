"""A launch -> runs: partitions by the calendar, stretches, bounds."""

from __future__ import annotations

from typing import Any

import pytest

from pynomaly_pipelines.operations.errors import Unprocessable
from pynomaly_pipelines.service.launching.planning import PlannedRun, plan
from pynomaly_pipelines.service.launching.requests import Launch
from pynomaly_pipelines.service.settings import ServiceSettings
from pynomaly_pipelines.spec import PipelineSpec

SETTINGS = ServiceSettings()


def orders(**more: Any) -> PipelineSpec:
    told = {
        "name": "orders",
        "source": {"type": "csv", "path": "%Y-%m-%d.csv"},
        "time": "at",
        "partition": "daily",
        "start": "2025-03-01",
        "end": "2025-04-01",
        "automation": {"partitions_per_run": 3},
    }
    return PipelineSpec.model_validate({**told, **more})


def planned(spec: PipelineSpec, settings: ServiceSettings = SETTINGS, **asked: Any) -> list[PlannedRun]:
    return plan(spec, Launch.model_validate(asked), settings)


def test_neighbours_share_runs_up_to_the_pipelines_bound() -> None:
    runs = planned(orders(), part="ingest", partitions={"first": "2025-03-01", "last": "2025-03-05"}, priority=4)
    assert [run.partitions for run in runs] == [
        ("2025-03-01", "2025-03-02", "2025-03-03"),
        ("2025-03-04", "2025-03-05"),
    ]
    assert runs[0].job == "orders_ingest"
    assert runs[0].tags() == {
        "pipeline": "orders",
        "pynomaly/trigger": "api",
        "dagster/priority": "4",
        "dagster/asset_partition_range_start": "2025-03-01",
        "dagster/asset_partition_range_end": "2025-03-03",
    }


def test_a_list_is_sorted_and_has_each_once() -> None:
    runs = planned(orders(), part="score", partitions=["2025-03-09", "2025-03-01", "2025-03-09"])
    assert [run.partitions for run in runs] == [("2025-03-01",), ("2025-03-09",)]
    assert runs[0].tags()["dagster/partition"] == "2025-03-01"
    assert len({run.name for run in runs}) == 2


def test_training_and_the_whole_take_none() -> None:
    assert [run.partitions for run in planned(orders(), part="train")] == [()]
    whole = orders(partition="whole", start=None, end=None, source={"type": "csv", "path": "all.csv"})
    assert planned(whole, part="score", partitions="all")[0].tags().keys() == {
        "pipeline",
        "pynomaly/trigger",
        "dagster/priority",
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"part": "train", "partitions": "2025-03-01"}, "takes no partitions"),
        ({"part": "ingest"}, "needs to know which partitions"),
        ({"part": "ingest", "partitions": "2025-02-28"}, "does not exist"),
        ({"part": "ingest", "partitions": "2025-04-01"}, "does not exist"),
        ({"part": "ingest", "partitions": "yesterday"}, "does not exist"),
        ({"part": "ingest", "partitions": "2025-3-1"}, "does not exist"),
        ({"part": "ingest", "partitions": {"first": "2025-03-05", "last": "2025-03-01"}}, "runs backwards"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(Unprocessable, match=said):
        planned(orders(), **asked)


def test_what_has_not_begun_is_refused() -> None:
    with pytest.raises(Unprocessable, match="has not begun"):
        planned(orders(start="2999-01-01", end=None), part="ingest", partitions="2999-01-01")


def test_partitions_and_runs_are_bounded() -> None:
    month = {"first": "2025-03-01", "last": "2025-03-31"}
    with pytest.raises(Unprocessable, match="more than 30 partitions"):
        planned(orders(), ServiceSettings(partitions_per_request=30), part="ingest", partitions=month)
    with pytest.raises(Unprocessable, match="31 partitions of 'orders' make 11 runs"):
        planned(orders(), ServiceSettings(runs_per_request=10), part="ingest", partitions=month)
