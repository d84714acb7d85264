"""Incidents and what was told of them -> those a receiver is to be told of now."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents import states
from pynomaly_pipelines.stages.incidents.following import SCORES
from pynomaly_pipelines.stages.incidents.incident import Incident
from pynomaly_pipelines.stages.incidents.states import Action, Entry, Standing, State

GROWN = 2
"""An incident is told again when it has so many times the anomalies it was told with."""
_TOLD = re.compile(r"^(\d+) anomalies$")


def due(
    spec: PipelineSpec, found: Sequence[Standing], receiver: str, latest: datetime, waiting: Collection[str] = ()
) -> list[Standing]:
    """What this receiver is to be told of, by start.

    Args:
        found: all incidents.
        latest: time of the latest scored data, UTC; the clock that freshness goes by.
        waiting: ids that were due earlier and could not be sent, or wait for a digest: they do not grow stale.
    """
    assert spec.notify is not None
    return [
        standing
        for standing in found
        if standing.state is State.OPEN
        and standing.snoozed_until is None
        and standing.incident.score >= spec.notify.min_score
        and (standing.incident.id in waiting or latest - standing.incident.end <= spec.fresh)
        and _is_news(standing, receiver)
    ]


def mark(spec: PipelineSpec, lake: Lake, incident: Incident, receiver: str) -> None:
    """Write that a receiver took the news of an incident; only after it did."""
    states.say(spec, lake, incident, Action.NOTIFIED, who=receiver, note=f"{incident.anomalies} anomalies")


def latest_scored(spec: PipelineSpec, lake: Lake) -> datetime | None:
    """Time of the latest scored row, UTC; None before there is one."""
    import pyarrow.compute as pc

    if spec.time is None or not lake.exists(spec.name, SCORES):
        return None
    keys = lake.counts(spec.name, SCORES)
    if not keys:
        return None
    pieces = lake.stream(spec.name, SCORES, partitions=[max(keys)], columns=[spec.time])
    times = [pc.max(piece[spec.time]).as_py() for piece in pieces if piece.num_rows]
    return max((moment for moment in times if moment is not None), default=None)


def scored_by(spec: PipelineSpec, lake: Lake, incident: Incident) -> set[str]:
    """The runs that scored an incident's partitions; each partition is scored by one."""
    runs: set[str] = set()
    for key in incident.partitions:
        runs |= {str(run) for run in lake.head(spec.name, SCORES, key, 1)["run_id"].to_pylist()}
    return runs


def _is_news(standing: Standing, receiver: str) -> bool:
    told = [entry for entry in standing.log if entry.action is Action.NOTIFIED and entry.who == receiver]
    if not told:
        return True
    reopened = any(e.action is Action.REOPENED and e.at > told[-1].at for e in standing.log)
    return reopened or standing.incident.anomalies >= GROWN * _anomalies_told(told[-1])


def _anomalies_told(entry: Entry) -> int:
    said = _TOLD.match(entry.note)
    assert said is not None, entry.note
    return int(said.group(1))
