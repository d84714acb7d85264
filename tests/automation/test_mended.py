"""A validation that a mistake in the YAML stopped runs again once the YAML is mended, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.pipeline import standalone
from pynomaly_pipelines.spec import PipelineSpec

DAYS = ["2025-03-01", "2025-03-02"]
WRONG = {"expect_column_values_to_be_between": {"column": "item", "max_value": 5}}
RIGHT = {"expect_column_values_to_be_between": {"column": "amount", "max_value": 5}}


class Shop:
    """Two days of rows; `run` executes assets as a run would, `tick` says which partitions are wanted."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._cursor: Any = None
        self._now = datetime(2025, 3, 8, 12, tzinfo=UTC)
        for day in DAYS:
            file = Path("landing") / f"{day}.csv"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"at,item,amount\n{day},apple,1\n{day},pear,2\n")
        self.write(WRONG)

    def write(self, expectation: dict[str, Any]) -> None:
        """The YAML as it is now, loaded."""
        attributes = {
            "name": "shop",
            "source": {"type": "csv", "path": "landing/%Y-%m-%d.csv"},
            "time": "at",
            "partition": "daily",
            "start": DAYS[0],
            "expectations": [expectation],
        }
        self._defs = standalone(PipelineSpec.model_validate(attributes), Settings.from_environment())

    def run(self, job: str, tags: dict[str, str]) -> bool:
        result = self._defs.resolve_job_def(f"shop_{job}").execute_in_process(
            instance=self._instance, tags=tags, raise_on_error=False
        )
        return bool(result.success)

    def tick(self) -> dict[str, set[str]]:
        self._now += timedelta(seconds=30)
        result = dg.evaluate_automation_conditions(
            self._defs, self._instance, cursor=self._cursor, evaluation_time=self._now
        )
        self._cursor = result.cursor
        nouns = ("validated", "quarantine", "raw")
        found = {noun: result.get_requested_partitions(dg.AssetKey(["shop", noun])) for noun in nouns}
        return {noun: {str(key) for key in keys} for noun, keys in found.items() if keys}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    monkeypatch.delenv("PYNOMALY_HOME", raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Shop(instance)


ONE = {"dagster/partition": DAYS[0]}
BOTH = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[1]}


@pytest.mark.parametrize(("tags", "failed"), [(ONE, {DAYS[0]}), (BOTH, set(DAYS))])
def test_what_failed_is_judged_again_when_the_yaml_has_changed(
    shop: Shop, tags: dict[str, str], failed: set[str]
) -> None:
    assert shop.tick() == {}
    assert not shop.run("ingest", tags)
    assert [shop.tick(), shop.tick()] == [{}, {}]
    shop.write(RIGHT)
    assert shop.tick() == {"validated": failed, "quarantine": failed}
    assert shop.tick() == {}
    assert shop.run("validate", tags)
    assert shop.tick() == {}


def test_what_went_well_is_left_alone_when_the_yaml_changes(shop: Shop) -> None:
    shop.write(RIGHT)
    assert shop.tick() == {}
    assert shop.run("ingest", ONE)
    shop.write(RIGHT | {"expect_column_values_to_be_between": {"column": "amount", "max_value": 7}})
    assert [shop.tick(), shop.tick()] == [{}, {}]


def test_without_rows_there_is_nothing_to_judge_again(shop: Shop) -> None:
    """The file was torn: the validation was planned and never begun."""
    Path(f"landing/{DAYS[0]}.csv").write_bytes(b"")
    shop.tick()
    assert not shop.run("ingest", ONE)
    shop.write(RIGHT)
    assert shop.tick() == {}
