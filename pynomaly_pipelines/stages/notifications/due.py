"""Incidents and what was told of them -> those a receiver is to be told of now."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pynomaly_pipelines.partitions import WHOLE, Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents import states
from pynomaly_pipelines.stages.incidents.following import SCORES, read, within_reach
from pynomaly_pipelines.stages.incidents.incident import NOUN, Incident
from pynomaly_pipelines.stages.incidents.states import Action, Entry, Standing, State, log, standings

GROWN = 2
"""An incident is told again when it has so many times the anomalies it was told with."""
_TOLD = re.compile(r"^(\d+) anomalies$")


@dataclass(frozen=True)
class Near:
    """Incidents that somebody may have to be told of, and when that may change by itself."""

    standings: tuple[Standing, ...]
    latest: datetime
    """Time of the latest scored data, UTC; the clock that freshness goes by."""


def near(spec: PipelineSpec, lake: Lake, waiting: Mapping[str, str]) -> Near | None:
    """The incidents that are fresh enough to be told, and those that wait; None before anything is scored.

    Read are the partitions in which they may have begun and what was said since, however long the history is.

    Args:
        waiting: incidents that were due earlier, and the partition in which each began.
    """
    latest = latest_scored(spec, lake)
    if latest is None or not lake.exists(spec.name, NOUN):
        return None
    there = sorted(lake.counts(spec.name, SCORES))
    wanted = set(_reach(spec, there, latest))
    for first in waiting.values():
        # It may have grown backwards since.
        wanted |= set(within_reach([first], there))
    found = read(spec, lake, sorted(wanted))
    since = min((incident.start for incident in found), default=latest) - spec.fresh
    return Near(tuple(standings(found, log(spec, lake, since))), latest)


def due(spec: PipelineSpec, found: Near, receiver: str, waiting: Collection[str] = ()) -> list[Standing]:
    """What this receiver is to be told of, by start.

    Args:
        waiting: ids that were due earlier and could not be sent, or wait for a digest: they do not grow stale.
    """
    told = (standing for standing in found.standings if not why_not(spec, standing, found.latest, waiting))
    return [standing for standing in told if _is_news(standing, receiver)]


def why_not(spec: PipelineSpec, standing: Standing, latest: datetime, waiting: Collection[str] = ()) -> str:
    """Why nobody is told of an incident, in a few words; empty if it is to be told."""
    assert spec.notify is not None
    incident = standing.incident
    if standing.state is not State.OPEN:
        return f"{standing.state}"
    if standing.snoozed_until is not None:
        return "snoozed"
    if incident.score < spec.notify.min_score:
        return f"below {spec.notify.min_score:g} (`notify.min_score`)"
    if incident.id not in waiting and latest - incident.end > spec.fresh:
        hours = spec.fresh.total_seconds() / 3600
        return f"more than {hours:g} hours before the latest scored data (`notify.fresh_hours`)"
    return ""


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


def scored_by(spec: PipelineSpec, lake: Lake, partition: str) -> str | None:
    """The run that scored a partition; None where it is not scored any more."""
    runs = lake.head(spec.name, SCORES, partition, 1)["run_id"].to_pylist()
    return str(runs[0]) if runs else None


def _reach(spec: PipelineSpec, there: Sequence[str], latest: datetime) -> list[str]:
    """The partitions in which an incident may have begun that ends within `fresh` of the latest data."""
    if spec.partition == "whole":
        return [WHOLE]
    first = Calendar(spec).containing(latest - spec.fresh).key
    return within_reach([there[min(bisect_left(there, first), len(there) - 1)], there[-1]], there)


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
