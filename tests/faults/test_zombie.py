"""A worker that sleeps past its lease (SIGSTOP): its run is given up, a successor does the work, its own is refused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from pynomaly_pipelines.automation.heartbeats import BEAT_TAG, alive, refuse_if_superseded
from pynomaly_pipelines.automation.stuck_runs import Beat, look_for_stuck_runs
from pynomaly_pipelines.operations.errors import RunSuperseded
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from tests.faults.deployment import Storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DAY = "2025-03-01"
LEASE = timedelta(seconds=1)
REFUSED, COMMITTED = 3, 4


@pytest.fixture
def home(tmp_path: Path, storage: Storage) -> Path:
    import yaml

    place = {"sqlite": {"base_dir": str(tmp_path / "dagster")}} if "sqlite" in storage else dict(storage)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": place, "telemetry": {"enabled": False}}))
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as found:
        yield found


def started(instance: dg.DagsterInstance) -> str:
    @dg.job
    def nothing() -> None: ...

    return instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags={"pipeline": "sales"}).run_id


def work(home: Path, run_id: str) -> None:
    """In a process of its own: alive for a while, then a commit as a stage does it."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        lake = Lake(str(home / "lake"), before_commit=lambda: refuse_if_superseded(instance, run_id))
        with alive(instance, run_id, 0.1):
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                time.sleep(0.01)
            try:
                lake.replace("sales", "raw", [DAY], pa.table({PARTITION: [DAY], "by": ["the zombie"]}))
            except RunSuperseded:
                os._exit(REFUSED)
            os._exit(COMMITTED)


def test_its_late_commit_is_refused(instance: dg.DagsterInstance, home: Path) -> None:
    import multiprocessing

    run_id = started(instance)
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(home, run_id))
    worker.start()
    assert worker.pid is not None
    until(lambda: BEAT_TAG in tags(instance, run_id))
    os.kill(worker.pid, signal.SIGSTOP)

    beats: dict[str, Beat] = {}
    until(lambda: given_up(instance, beats))
    Lake(str(home / "lake")).replace("sales", "raw", [DAY], pa.table({PARTITION: [DAY], "by": ["the successor"]}))
    os.kill(worker.pid, signal.SIGCONT)
    worker.join(60)

    assert worker.exitcode == REFUSED
    assert Lake(str(home / "lake")).read("sales", "raw")["by"].to_pylist() == ["the successor"]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_a_worker_that_is_in_time_commits(instance: dg.DagsterInstance, home: Path) -> None:
    import multiprocessing

    worker = multiprocessing.get_context("spawn").Process(target=work, args=(home, started(instance)))
    worker.start()
    worker.join(60)
    assert worker.exitcode == COMMITTED
    assert Lake(str(home / "lake")).read("sales", "raw")["by"].to_pylist() == ["the zombie"]


def tags(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return dict(run.tags)


def given_up(instance: dg.DagsterInstance, beats: dict[str, Beat]) -> bool:
    found, said = look_for_stuck_runs(instance, "sales", beats, datetime.now(UTC), LEASE)
    beats.update(found)
    return bool(said)


def until(ready: object) -> None:
    assert callable(ready)
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
