"""What runs by itself and when, tick by tick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from pynomaly_pipelines.automation.failures import ACCEPTED
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.pipeline import standalone
from pynomaly_pipelines.spec import PipelineSpec

SATURDAY = datetime(2025, 3, 8, 12, tzinfo=UTC)
PIPELINE = "sales"
CHAIN = {"model", "evaluation", "champion"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


class Ticks:
    """Evaluates a pipeline's conditions one tick after another; `tick()` gives what would run."""

    def __init__(self, instance: dg.DagsterInstance, **settings: object) -> None:
        spec = PipelineSpec.model_validate(
            {
                "name": PIPELINE,
                "source": {"type": "csv", "path": "landing/%Y-%m-%d.csv"},
                "time": "at",
                "partition": "daily",
                "start": "2025-03-01",
                **settings,
            }
        )
        self._instance = instance
        self._defs = standalone(spec, Settings.from_environment())
        self._cursor = None
        self._now = SATURDAY

    def tick(self, after: timedelta = timedelta(seconds=30)) -> set[str]:
        self._now += after
        result = dg.evaluate_automation_conditions(
            self._defs, self._instance, cursor=self._cursor, evaluation_time=self._now
        )
        self._cursor = result.cursor
        found = set()
        for noun in ("model", "evaluation", "champion", "scores"):
            key = dg.AssetKey([PIPELINE, noun])
            if noun == "scores":
                found |= {f"scores {p}" for p in result.get_requested_partitions(key)}
            elif result.get_num_requested(key):
                found.add(noun)
        return found

    def made(self, noun: str, *partitions: str) -> None:
        for partition in partitions or (None,):
            event = dg.AssetMaterialization(dg.AssetKey([PIPELINE, noun]), partition=partition)
            self._instance.report_runless_asset_event(event)

    def accepted(self, passed: bool) -> None:
        self._instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey([PIPELINE, "validated"]), check_name=ACCEPTED, passed=passed, metadata={}
            )
        )

    def arrive(self, *partitions: str) -> None:
        for noun in ("raw", "validated", "quarantine"):
            self.made(noun, *partitions)
        self.accepted(True)


@pytest.fixture
def ticks(instance: dg.DagsterInstance) -> Callable[..., Ticks]:
    return lambda **settings: Ticks(instance, **settings)


def test_nothing_runs_without_news(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    assert [pipeline.tick() for _ in range(3)] == [set(), set(), set()]


def test_first_data_trains_once(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    pipeline.tick()
    pipeline.arrive("2025-03-01")
    # In one run: what follows a requested asset is requested with it.
    assert pipeline.tick() == CHAIN
    assert pipeline.tick() == set()


def test_training_that_waits_for_rows_is_tried_again_with_the_next_data_only(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    pipeline.tick()
    pipeline.arrive("2025-03-01")
    assert pipeline.tick() == CHAIN
    # The run ended without a model: too few rows.
    assert [pipeline.tick(), pipeline.tick()] == [set(), set()]
    pipeline.arrive("2025-03-02")
    assert pipeline.tick() == CHAIN


def test_with_a_model_new_data_does_not_train(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    pipeline.tick()
    pipeline.arrive("2025-03-01")
    pipeline.tick()
    pipeline.made("model")
    pipeline.tick()
    pipeline.arrive("2025-03-02")
    assert "model" not in pipeline.tick()


def test_retrains_at_the_cron_and_once(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks(automation={"retrain": "0 3 * * 0"})
    pipeline.arrive("2025-03-01")
    pipeline.made("model")
    pipeline.tick()
    assert "model" in pipeline.tick(timedelta(hours=15, minutes=1))
    assert "model" not in pipeline.tick()


def test_never_retrains_without_a_cron(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks(automation={"retrain": None})
    pipeline.arrive("2025-03-01")
    pipeline.made("model")
    pipeline.tick()
    assert "model" not in pipeline.tick(timedelta(days=30))


def test_evaluation_follows_a_model_and_the_champion_follows_it(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    pipeline.tick()
    pipeline.made("model")
    assert pipeline.tick() == {"evaluation", "champion"}
    assert pipeline.tick() == set()
    pipeline.made("evaluation")
    assert pipeline.tick() == {"champion"}
    assert pipeline.tick() == set()


def test_first_champion_scores_every_partition_that_waits(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    pipeline.arrive("2025-03-01", "2025-03-03")
    pipeline.tick()
    pipeline.made("champion")
    assert pipeline.tick() == {"scores 2025-03-01", "scores 2025-03-03"}
    assert pipeline.tick() == set()


def test_new_rows_are_scored_also_in_an_old_partition(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    pipeline.arrive("2025-03-01", "2025-03-02")
    pipeline.made("model")
    pipeline.made("champion")
    pipeline.made("scores", "2025-03-01", "2025-03-02")
    pipeline.tick()
    pipeline.arrive("2025-03-01")
    assert pipeline.tick() == {"scores 2025-03-01"}


def test_a_refused_partition_is_not_scored_until_it_is_accepted(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    pipeline.made("model")
    pipeline.made("champion")
    pipeline.tick()
    pipeline.arrive("2025-03-02")
    pipeline.accepted(False)
    assert [pipeline.tick(), pipeline.tick()] == [set(), set()]
    pipeline.accepted(True)
    assert pipeline.tick() == {"scores 2025-03-02"}


def test_a_new_champion_scores_the_partition_that_fills_and_the_one_before(ticks: Callable[..., Ticks]) -> None:
    pipeline = ticks()
    days = ("2025-03-06", "2025-03-07", "2025-03-08")
    pipeline.arrive(*days)
    pipeline.made("champion")
    pipeline.made("scores", *days)
    pipeline.tick()
    pipeline.made("champion")
    assert pipeline.tick() == {"scores 2025-03-07", "scores 2025-03-08"}
