"""Runs whose process vanished: found by their silence, marked, and their late processes refused."""

from __future__ import annotations

import itertools
import threading
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

NOON = datetime(2025, 3, 20, 12, tzinfo=UTC)
LEASE = timedelta(seconds=90)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def started(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> str:
    @dg.job
    def nothing() -> None: ...

    return instance.create_run_for_job(nothing, status=status, tags={"pipeline": "sales"}).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_tick_by_tick_a_silent_run_is_given_up_after_its_lease(instance: dg.DagsterInstance) -> None:
    run_id = started(instance)
    beats: dict[str, Beat] = {}
    for seconds in range(0, int(LEASE.total_seconds()), 15):
        beats, said = look_for_stuck_runs(instance, "sales", beats, NOON + timedelta(seconds=seconds), LEASE)
        assert said == []
    assert status_of(instance, run_id) is dg.DagsterRunStatus.STARTED
    beats, said = look_for_stuck_runs(instance, "sales", beats, NOON + LEASE, LEASE)
    assert "no sign of life for 90 s" in said[0]
    assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE
    assert beats == {}


def test_a_run_that_beats_lives_whatever_its_clock_says(instance: dg.DagsterInstance) -> None:
    run_id, beats = started(instance), dict[str, Beat]()
    for minute in range(60):
        # Its clock is a year behind, and steps back.
        instance.add_run_tags(run_id, {BEAT_TAG: f"{1_700_000_000 - minute} elsewhere 1"})
        beats, said = look_for_stuck_runs(instance, "sales", beats, NOON + timedelta(minutes=minute), LEASE)
        assert said == []


def test_a_watcher_that_was_away_gives_runs_time_to_show_themselves(instance: dg.DagsterInstance) -> None:
    """The database hung for an hour, so that no run could write; then one does, and one does not."""
    lives, lost = started(instance), started(instance)
    beats, _ = look_for_stuck_runs(instance, "sales", {}, NOON, LEASE)
    back = NOON + timedelta(hours=1)
    beats, said = look_for_stuck_runs(instance, "sales", beats, back, LEASE)
    assert said == []
    instance.add_run_tags(lives, {BEAT_TAG: "1 here 1"})
    beats, said = look_for_stuck_runs(instance, "sales", beats, back + LEASE / 2, LEASE)
    assert lost[:8] in "".join(said)
    assert list(beats) == [lives]
    assert status_of(instance, lives) is dg.DagsterRunStatus.STARTED


def test_a_canceling_run_without_a_process_is_canceled(instance: dg.DagsterInstance) -> None:
    run_id, beats = started(instance, dg.DagsterRunStatus.CANCELING), dict[str, Beat]()
    for part in (0, 0.5, 1):
        beats, _ = look_for_stuck_runs(instance, "sales", beats, NOON + part * LEASE, LEASE)
    assert status_of(instance, run_id) is dg.DagsterRunStatus.CANCELED


def test_runs_of_others_are_not_looked_at(instance: dg.DagsterInstance) -> None:
    run_id = started(instance)
    beats, _ = look_for_stuck_runs(instance, "flights", {}, NOON, LEASE)
    assert beats == {}
    assert status_of(instance, run_id) is dg.DagsterRunStatus.STARTED


def test_a_step_at_work_beats_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", itertools.count().__next__)
    # On files: two threads that share one database in memory are refused at once instead of waiting for each other.
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        _see_three_beats(instance)
    assert not [t for t in threading.enumerate() if t.name.startswith("heartbeat")]


def _see_three_beats(instance: dg.DagsterInstance) -> None:
    run_id, seen = started(instance), set[str]()
    with alive(instance, run_id, 0.05):
        deadline = time.monotonic() + 60
        while len(seen) < 3 and time.monotonic() < deadline:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            seen.add(run.tags[BEAT_TAG])
            time.sleep(0.01)
    assert len(seen) >= 3


def test_a_process_that_wakes_up_too_late_commits_nothing(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run_id = started(instance)
    lake = Lake(str(tmp_path), before_commit=lambda: refuse_if_superseded(instance, run_id))
    rows = pa.table({PARTITION: ["2025-03-01"], "amount": [1.0]})
    lake.replace("sales", "raw", ["2025-03-01"], rows)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run, message="given up")
    with pytest.raises(RunSuperseded, match="FAILURE for everybody else"):
        lake.replace("sales", "raw", ["2025-03-01"], pa.table({PARTITION: ["2025-03-01"], "amount": [2.0]}))
    with pytest.raises(RunSuperseded):
        lake.append("sales", "log", rows)
    assert Lake(str(tmp_path)).read("sales", "raw").column("amount").to_pylist() == [1.0]


def test_a_writer_between_the_question_and_the_write_is_met_as_a_conflict(tmp_path: Path) -> None:
    """The fence lets it through, then it sleeps: the table has moved on, and the question is asked again."""
    other, asked = Lake(str(tmp_path)), list[int]()
    first = pa.table({PARTITION: ["2025-03-01"], "amount": [1.0]})
    other.replace("sales", "raw", ["2025-03-01"], first)

    def sleeps() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise RunSuperseded("the run was given to another process")
        other.replace("sales", "raw", ["2025-03-01"], pa.table({PARTITION: ["2025-03-01"], "amount": [2.0]}))

    zombie = Lake(str(tmp_path), before_commit=sleeps)
    with pytest.raises(RunSuperseded):
        zombie.replace("sales", "raw", ["2025-03-01"], pa.table({PARTITION: ["2025-03-01"], "amount": [3.0]}))
    assert other.read("sales", "raw").column("amount").to_pylist() == [2.0]
