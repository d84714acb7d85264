"""Tables and event log -> what each receiver is to be told.

A look reads what is new, not the history: the partitions in which incidents may have begun that are fresh, what was
said of these, and nothing at all while the tables are as they were when nobody had to be told of anything.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

import dagster as dg
from pydantic import BaseModel, ConfigDict

from pynomaly_pipelines.automation import reported
from pynomaly_pipelines.automation.refusals import refusals
from pynomaly_pipelines.automation.silent_runs import all_silent
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents.incident import Incident
from pynomaly_pipelines.stages.notifications import marks
from pynomaly_pipelines.stages.notifications.marks import Notice
from pynomaly_pipelines.stages.notifications.messages import Failure

_SILENT = "found by a backfill or a command"
_TABLES = ("scores", "incidents", "incident_log", "drift", marks.NOUN)


class Calm(BaseModel):
    """That nothing in the tables was to be told to anybody."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: str
    """The state they were in, and the settings."""
    until: datetime | None = None
    """When the first snooze ends."""


@dataclass(frozen=True)
class Known:
    """What is known of a receiver when its news are gathered."""

    since: datetime
    """Failures before that are not told."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """Incidents that were due earlier and not told yet, and the partition in which each began."""


@dataclass(frozen=True)
class News:
    """What one receiver is to be told."""

    incidents: tuple[Incident, ...] = ()
    failures: tuple[Failure, ...] = ()
    notices: tuple[Notice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.incidents or self.failures or self.notices)

    def __str__(self) -> str:
        kinds = {"incident": self.incidents, "failure": self.failures, "notice": self.notices}
        told = (f"{len(of)} {name}{'s' if len(of) > 1 else ''}" for name, of in kinds.items() if of)
        return ", ".join(told) or "nothing"

    @property
    def in_rhythm(self) -> News:
        """What waits for the receiver's rhythm; failures do not."""
        return News(self.incidents, notices=self.notices)


@dataclass(frozen=True)
class InTables:
    """News that the tables hold: of each receiver."""

    incidents: Mapping[str, Sequence[Incident]] = field(default_factory=dict)
    drift: Mapping[str, Sequence[Notice]] = field(default_factory=dict)
    until: datetime | None = None
    """When the first snooze ends."""
    untold: Mapping[str, int] = field(default_factory=dict)
    """Why incidents that were looked at are told to nobody -> how many."""

    @property
    def empty(self) -> bool:
        """Whether there is none for anybody."""
        return not any(self.incidents.values()) and not any(self.drift.values())


@dataclass(frozen=True)
class Gathered:
    """The news of all receivers."""

    of: Mapping[str, News]
    calm: Calm | None
    """Set where the tables hold none."""
    untold: Mapping[str, int]
    """As in `InTables`."""


def gather(
    instance: dg.DagsterInstance,
    spec: PipelineSpec,
    lake: Lake,
    receivers: Mapping[str, Known],
    now: datetime,
    calm: Calm | None = None,
) -> Gathered:
    """What each receiver is to be told, whenever its time is.

    Args:
        calm: what the last look found; the tables are not read while it holds.
    """
    assert spec.notify is not None
    state = _state(spec, lake)
    holds = calm is not None and calm.tables == state and (calm.until is None or now < calm.until)
    tables = InTables() if holds else in_tables(instance, spec, lake, receivers)
    refused = _promotions(instance, spec, lake, receivers, now) if "promotions" in spec.notify.about else {}
    since = {name: known.since for name, known in receivers.items()}
    failed = reported.reported(instance, spec, since, now) if "failures" in spec.notify.about else {}
    found = {
        name: News(
            tuple(tables.incidents.get(name, ())),
            tuple(failed.get(name, ())),
            (*tables.drift.get(name, ()), *refused.get(name, ())),
        )
        for name in receivers
    }
    if not holds:
        calm = Calm(tables=state, until=tables.until) if tables.empty else None
    return Gathered(found, calm, tables.untold)


def in_tables(instance: dg.DagsterInstance, spec: PipelineSpec, lake: Lake, receivers: Mapping[str, Known]) -> InTables:
    """The incidents and the drift that receivers are to be told of."""
    assert spec.notify is not None
    from pynomaly_pipelines.stages.notifications import due

    @cache
    def by_silent_run(partition: str) -> bool:
        run = due.scored_by(spec, lake, partition)
        return run is not None and all_silent(instance, [run])

    drift = _drift(spec, lake, receivers, by_silent_run) if "drift" in spec.notify.about else {}
    waiting = {id: first for known in receivers.values() for id, first in known.waiting.items()}
    near = due.near(spec, lake, waiting) if "incidents" in spec.notify.about else None
    if near is None:
        return InTables(drift=drift)
    silent = {s.incident.id for s in near.standings if all(by_silent_run(key) for key in s.incident.partitions)}
    incidents = {
        name: [s.incident for s in due.due(spec, near, name, known.waiting) if s.incident.id not in silent]
        for name, known in receivers.items()
    }
    reasons = (
        due.why_not(spec, s, near.latest) or (_SILENT if s.incident.id in silent else "") for s in near.standings
    )
    ends = [s.snoozed_until for s in near.standings if s.snoozed_until is not None]
    return InTables(incidents, drift, min(ends, default=None), Counter(reason for reason in reasons if reason))


def _drift(
    spec: PipelineSpec, lake: Lake, receivers: Iterable[str], by_silent_run: Callable[[str], bool]
) -> dict[str, list[Notice]]:
    from pynomaly_pipelines.stages.notifications import drifting

    found = drifting.lasting(spec, lake)
    # A backfill of the past may end in drift that is over.
    if found is None or by_silent_run(found.note):
        return {}
    told = marks.read(spec, lake)
    return {name: [found] for name in receivers if drifting.is_news(found, told, name)}


def _promotions(
    instance: dg.DagsterInstance, spec: PipelineSpec, lake: Lake, receivers: Mapping[str, Known], now: datetime
) -> dict[str, list[Notice]]:
    found = refusals(instance, spec, now)
    told = {(mark.receiver, mark.kind, mark.about) for mark in marks.read(spec, lake)} if found else set()
    return {
        name: [notice for at, notice in found if at >= known.since and (name, notice.kind, notice.about) not in told]
        for name, known in receivers.items()
    }


def _state(spec: PipelineSpec, lake: Lake) -> str:
    """Another text whenever a table, or what the YAML says, is another."""
    versions = [lake.version(spec.name, noun) if lake.exists(spec.name, noun) else -1 for noun in _TABLES]
    return f"{versions} {hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:12]}"
