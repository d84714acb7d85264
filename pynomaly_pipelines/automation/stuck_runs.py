"""Runs that are said to be running and show no sign of life -> marked as failed, so that they are resumed.

Dagster's default launcher never notices that the machine or the code server went down: such a run stays `STARTED` for
good. Signs of life are compared with themselves, by the watcher's own clock: no two machines need the same time. Time
in which the watcher did not look, because it was away or the database was, counts for half a lease at most: runs could
not show themselves either.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import dagster as dg
from pydantic import BaseModel, ConfigDict

from pynomaly_pipelines.automation.heartbeats import BEAT_TAG

BEATS_MISSED = 6
"""So many signs of life may fail to come."""
_WORKING = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
_MOST = 500


class Beat(BaseModel):
    """A sign of life of a run."""

    model_config = ConfigDict(frozen=True)

    value: str
    seen: datetime
    """When it was looked at last."""
    silent: timedelta = timedelta()
    """For how long it has been the same."""


def look_for_stuck_runs(
    instance: dg.DagsterInstance, pipeline: str, known: Mapping[str, Beat], now: datetime, lease: timedelta
) -> tuple[dict[str, Beat], list[str]]:
    """Mark what was silent for as long as `lease` as failed.

    Returns:
        The signs of life to remember for the next look, and what was done in words.
    """
    filters = dg.RunsFilter(statuses=list(_WORKING), tags={"pipeline": pipeline})
    beats: dict[str, Beat] = {}
    said: list[str] = []
    for run in instance.get_runs(filters, limit=_MOST):
        beat = _looked_at(run, known.get(run.run_id), now, lease)
        if beat.silent < lease:
            beats[run.run_id] = beat
        else:
            said.append(_give_up(instance, run, beat.silent))
    return beats, said


def _looked_at(run: dg.DagsterRun, last: Beat | None, now: datetime, lease: timedelta) -> Beat:
    value = run.tags.get(BEAT_TAG, "")
    if last is None or last.value != value:
        return Beat(value=value, seen=now)
    return Beat(value=value, seen=now, silent=last.silent + min(now - last.seen, lease / 2))


def _give_up(instance: dg.DagsterInstance, run: dg.DagsterRun, silent: timedelta) -> str:
    words = f"run {run.run_id[:8]} showed no sign of life for {silent.total_seconds():.0f} s: its process is gone"
    current = instance.get_run_by_id(run.run_id)
    if current is None or current.status not in _WORKING:
        return f"run {run.run_id[:8]} ended meanwhile"
    if current.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(current, message=words)
    else:
        instance.report_run_failed(current, message=words)
    return words
