"""What people make of incidents: a log that is only ever added to, and the state that follows from it.

open → acknowledged → resolved | dismissed; each may be opened again. A snooze keeps an entity quiet until a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents.incident import Incident

if TYPE_CHECKING:
    import pyarrow as pa

NOUN = "incident_log"


class Action(StrEnum):
    """What can be said of an incident."""

    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"
    CONFIRMED = "confirmed"
    REOPENED = "reopened"
    SNOOZED = "snoozed"
    NOTIFIED = "notified"
    """People were told of it; written by the product."""


class State(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"
    QUIET = "quiet"
    """Recorded, and nobody was told."""


_AFTER = {
    Action.ACKNOWLEDGED: State.ACKNOWLEDGED,
    # A confirmed anomaly is somebody's work until it is resolved.
    Action.CONFIRMED: State.ACKNOWLEDGED,
    Action.RESOLVED: State.RESOLVED,
    Action.DISMISSED: State.DISMISSED,
    Action.REOPENED: State.OPEN,
}
VERDICTS = (Action.CONFIRMED, Action.DISMISSED)
_FROM = {
    Action.ACKNOWLEDGED: {State.OPEN, State.QUIET, State.ACKNOWLEDGED},
    Action.RESOLVED: {State.OPEN, State.QUIET, State.ACKNOWLEDGED, State.RESOLVED},
    Action.REOPENED: {State.OPEN, State.ACKNOWLEDGED, State.RESOLVED, State.DISMISSED},
}


@dataclass(frozen=True)
class Entry:
    """One line of the log; it says whose incident it was when, so that it outlives the incident's row."""

    incident: str
    action: Action
    at: datetime
    who: str
    note: str = ""
    entity: str = ""
    start: datetime | None = None
    end: datetime | None = None
    until: datetime | None = None
    """Of a snooze: when it ends."""


@dataclass(frozen=True)
class Standing:
    """An incident with what people made of it."""

    incident: Incident
    state: State
    verdict: Action | None
    """`confirmed` or `dismissed`, the latest."""
    log: tuple[Entry, ...]
    snoozed_until: datetime | None = None


def follows(state: State, action: Action) -> bool:
    """Whether an action makes sense in a state: what is done is opened again before it goes on."""
    return action not in _FROM or state in _FROM[action]


def changes(state: State, action: Action) -> bool:
    """Whether the state is another one after the action; a snooze and a verdict say something new each time."""
    return action in VERDICTS or _AFTER.get(action) != state


def say(
    spec: PipelineSpec,
    lake: Lake,
    incident: Incident,
    action: Action,
    *,
    who: str,
    note: str = "",
    until: datetime | None = None,
) -> Entry:
    """Write a line about an incident.

    Raises:
        DataError: a snooze without an end, or with one that has passed.
    """
    now = datetime.now(UTC)
    if action is Action.SNOOZED and (until is None or until <= now):
        raise DataError(
            f"the snooze of {incident.id} ends {'nowhere' if until is None else until.isoformat()}",
            rule="it ends at a time that is to come",
            fix="give a later time",
        )
    entry = Entry(incident.id, action, now, who, note, incident.entity, incident.start, incident.end, until)
    lake.append(spec.name, NOUN, _to_table([entry]))
    return entry


def log(spec: PipelineSpec, lake: Lake, since: datetime | None = None) -> list[Entry]:
    """All that was said, in time order.

    Args:
        since: only what was said of incidents that ended later, and snoozes that go on.
    """
    import pyarrow.compute as pc

    if not lake.exists(spec.name, NOUN):
        return []
    wanted = None if since is None else (pc.field("end") >= since) | (pc.field("until") > datetime.now(UTC))
    rows = lake.read(spec.name, NOUN, where=wanted).to_pylist()
    found = [Entry(**{**row, "action": Action(row["action"])}) for row in rows]
    return sorted(found, key=lambda entry: entry.at)


def verdicts(spec: PipelineSpec, lake: Lake) -> int:
    """How many verdicts people have given; an incident judged twice counts twice."""
    import pyarrow.compute as pc

    if not lake.exists(spec.name, NOUN):
        return 0
    given = pc.field("action").isin([verdict.value for verdict in VERDICTS])
    return int(lake.read(spec.name, NOUN, columns=["action"], where=given).num_rows)


def standings(incidents: Sequence[Incident], entries: Sequence[Entry], now: datetime | None = None) -> list[Standing]:
    """The incidents with their states, in the order given."""
    by_incident: dict[str, list[Entry]] = {}
    for entry in entries:
        by_incident.setdefault(entry.incident, []).append(entry)
    snoozes = [entry for entry in entries if entry.action is Action.SNOOZED]
    return [_standing(i, by_incident.get(i.id, []), snoozes, now or datetime.now(UTC)) for i in incidents]


def _standing(incident: Incident, entries: Sequence[Entry], snoozes: Sequence[Entry], now: datetime) -> Standing:
    decided = [entry for entry in entries if entry.action in _AFTER]
    verdicts = [entry.action for entry in entries if entry.action in VERDICTS]
    ends = [e.until for e in snoozes if e.entity == incident.entity and e.until is not None and e.until > now]
    state = State.QUIET if incident.quiet else State.OPEN
    return Standing(
        incident=incident,
        state=_AFTER[decided[-1].action] if decided else state,
        verdict=verdicts[-1] if verdicts else None,
        log=tuple(entries),
        snoozed_until=max(ends, default=None),
    )


def _to_table(entries: Sequence[Entry]) -> pa.Table:
    import pyarrow as pa

    text, moment = pa.string(), pa.timestamp("us", "UTC")
    schema = pa.schema(
        [
            ("incident", text),
            ("action", text),
            ("at", moment),
            ("who", text),
            ("note", text),
            ("entity", text),
            ("start", moment),
            ("end", moment),
            ("until", moment),
        ]
    )
    return pa.Table.from_pylist([asdict(entry) for entry in entries], schema=schema)
