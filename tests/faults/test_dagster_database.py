"""The PostgreSQL under Dagster restarted, frozen or killed while a run works: all is scored once, no run stays open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from pynomaly_pipelines.automation.leadership import Taking
from pynomaly_pipelines.resources.registry import Registry
from tests.faults.deployment import ARRIVING, Deployment, at_work, open_runs
from tests.servers import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
pytest.importorskip("dagster_postgres")

AWAY_SECONDS = 5
Deed = Callable[[Postgres], None]
FAULTS: dict[str, tuple[Deed, Deed]] = {
    "frozen": (Postgres.hang, Postgres.go_on),
    "restarted": (Postgres.stop, Postgres.start),
    "killed": (Postgres.kill, Postgres.start),
}


@pytest.fixture
def deployment(
    own_project: Path, environment: dict[str, str], own_postgres: Postgres, new_registry: Callable[[Path], Registry]
) -> Iterator[Deployment]:
    """With Dagster's storage in the server that is going to break."""
    url = own_postgres.create("dagster").replace("+psycopg", "")
    made = Deployment(own_project, environment, {"postgres": {"postgres_url": url}})
    made.teach(new_registry)
    yield made
    made.kill()


def test_each_day_is_scored_once_whatever_happens_to_it(deployment: Deployment, own_postgres: Postgres) -> None:
    deployment.start()
    for number, (fault, day) in enumerate(zip(FAULTS, ARRIVING, strict=True), start=1):
        deployment.drop(day)
        broken = run_that_works(deployment, day)
        breaks, mends = FAULTS[fault]
        breaks(own_postgres)
        time.sleep(AWAY_SECONDS)
        mends(own_postgres)
        came = ARRIVING[:number]
        with deployment.instance() as instance:
            deployment.until(
                lambda: not open_runs(instance) and deployment.all_scored(*came),  # noqa: B023 - called at once
                f"the end of the work after PostgreSQL was {fault}",
            )
            # The run went on, or it was found and the day was scored by another.
            ended = instance.get_run_by_id(broken)
            assert ended is not None
            assert ended.status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
    # Frozen, nobody else could have the lock; stopped or killed, it was lost, and taken anew.
    told = (deployment.project / "daemon.log").read_text()
    assert told.count(Taking.TAKEN.value) == 3


def run_that_works(deployment: Deployment, day: str) -> str:
    """The id of the run that works on a day, in the middle of it."""
    with deployment.instance() as instance:
        deployment.until(lambda: at_work(instance, day), f"a run at work on {day}")
        return at_work(instance, day)[0].run_id
