"""Dagster's answers -> frozen objects with our names and UTC times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
"""Statuses after which nothing more happens in a run."""


@dataclass(frozen=True)
class DagsterRun:
    """A run as Dagster keeps it."""

    id: str
    job: str
    status: str
    tags: Mapping[str, str]
    created: datetime
    started: datetime | None
    ended: datetime | None
    assets: tuple[tuple[str, ...], ...]
    """Keys of the assets it was asked for; empty for a run of a whole job."""
    location: str
    """Code location it came from; empty if Dagster does not know."""

    @classmethod
    def from_answer(cls, found: Mapping[str, Any]) -> DagsterRun:
        """From the fragment `ARun`."""
        origin = found["repositoryOrigin"] or {}
        created = moment(found["creationTime"])
        assert created is not None
        return cls(
            id=found["id"],
            job=found["jobName"],
            status=found["status"],
            tags={tag["key"]: tag["value"] for tag in found["tags"]},
            created=created,
            started=moment(found["startTime"]),
            ended=moment(found["endTime"]),
            assets=tuple(tuple(key["path"]) for key in found["assetSelection"] or ()),
            location=origin.get("repositoryLocationName", ""),
        )


@dataclass(frozen=True)
class Step:
    """One step of a run."""

    name: str
    status: str
    """Dagster's word; empty while it has not begun."""
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0
    made: int = 0
    """Materializations so far: one per asset and partition."""


@dataclass(frozen=True)
class RunDetails:
    """A run and its steps, in the order they were planned."""

    run: DagsterRun
    steps: tuple[Step, ...]

    @classmethod
    def from_answer(cls, found: Mapping[str, Any]) -> RunDetails:
        """From the query `RUN`."""
        planned = [step["key"] for step in (found["executionPlan"] or {}).get("steps", ())]
        names = found["stepKeysToExecute"] or planned
        seen = {stats["stepKey"]: _step(stats) for stats in found["stepStats"]}
        # The plan's order is the order of execution; the other list is sorted by name.
        ordered = [name for name in planned if name in set(names)] or list(names)
        return cls(DagsterRun.from_answer(found), tuple(seen.get(name, Step(name, "")) for name in ordered))


def _step(stats: Mapping[str, Any]) -> Step:
    return Step(
        name=stats["stepKey"],
        status=stats["status"] or "",
        started=moment(stats["startTime"]),
        ended=moment(stats["endTime"]),
        attempts=len(stats["attempts"]),
        made=len(stats["materializations"]),
    )


@dataclass(frozen=True)
class Trouble:
    """What went wrong in a step or run."""

    description: str = ""
    """What our own errors say: problem, rule and fix in sentences."""
    figures: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """What they say apart: `code`, `rule`, `fix`."""
    chain: tuple[str, ...] = ()
    """The messages of the exception and its causes, outermost first."""


@dataclass(frozen=True)
class LogEvent:
    """One entry of a run's log."""

    kind: str
    """Dagster's name of its type."""
    at: datetime
    step: str = ""
    message: str = ""
    asset: tuple[str, ...] = ()
    partition: str = ""
    figures: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    check: str = ""
    passed: bool = True
    severity: str = ""
    seconds_to_wait: float | None = None
    trouble: Trouble | None = None

    @classmethod
    def from_answer(cls, found: Mapping[str, Any]) -> LogEvent:
        """From one event of the query `EVENTS`."""
        check = found.get("evaluation") or {}
        key = found.get("assetKey") or check.get("assetKey") or {}
        return cls(
            kind=found["__typename"],
            at=datetime.fromtimestamp(float(found["timestamp"]) / 1000, UTC),
            step=found.get("stepKey") or "",
            message=check.get("description") or found.get("message") or "",
            asset=tuple(key.get("path", ())),
            partition=found.get("partition") or check.get("partition") or "",
            figures=figures(found.get("metadataEntries") or ()),
            check=check.get("checkName", ""),
            passed=check.get("success", True),
            severity=check.get("severity", ""),
            seconds_to_wait=found.get("secondsToWait"),
            trouble=_trouble(found),
        )


def _trouble(found: Mapping[str, Any]) -> Trouble | None:
    if found.get("error") is None and found.get("failureMetadata") is None:
        return None
    error, told = found.get("error") or {}, found.get("failureMetadata") or {}
    messages = [error.get("message", ""), *(cause["message"] for cause in error.get("causes", ()))]
    return Trouble(
        description=told.get("description") or "",
        figures=figures(told.get("metadataEntries") or ()),
        chain=tuple(message.strip() for message in messages if message),
    )


def figures(entries: Iterable[Mapping[str, Any]]) -> dict[str, str | int | float | bool]:
    """Metadata that is one number, word or truth value; tables, pictures and links are for Dagster's pages."""
    found: dict[str, str | int | float | bool] = {}
    for entry in entries:
        if entry.get("intRepr") is not None:
            found[entry["label"]] = int(entry["intRepr"])
        for field_name in ("floatValue", "boolValue", "text"):
            if entry.get(field_name) is not None:
                found[entry["label"]] = entry[field_name]
    return found


@dataclass(frozen=True)
class EventPage:
    """A piece of a run's log, and how the run is at that moment."""

    events: tuple[LogEvent, ...]
    cursor: str
    """Where the next page begins."""
    more: bool
    status: str
    steps_done: int
    steps_failed: int
    steps: int

    @property
    def last(self) -> bool:
        """Whether nothing will follow: the run has ended, and this is the end of its log."""
        return self.status in ENDED and not self.more

    @classmethod
    def from_answer(cls, run: Mapping[str, Any], log: Mapping[str, Any]) -> EventPage:
        """From the query `EVENTS`."""
        stats = run["stats"] or {}
        return cls(
            events=tuple(LogEvent.from_answer(event) for event in log["events"]),
            cursor=log["cursor"],
            more=log["hasMore"],
            status=run["status"],
            steps_done=stats.get("stepsSucceeded", 0),
            steps_failed=stats.get("stepsFailed", 0),
            steps=len(run["stepKeysToExecute"] or ()),
        )


@dataclass(frozen=True)
class Pool:
    """Steps that share slots, such as `training`."""

    name: str
    limit: int
    active: int
    """Steps that hold a slot."""
    waiting: int
    """Steps that wait for one."""


@dataclass(frozen=True)
class Limits:
    """How much runs at the same time."""

    runs: int | None
    """None: no limit is set."""
    pool_default: int | None
    pools: tuple[Pool, ...]

    @classmethod
    def from_answer(cls, found: Mapping[str, Any]) -> Limits:
        """From the query `LIMITS`."""
        queue, pools = found["runQueueConfig"] or {}, found["poolConfig"] or {}
        runs = queue.get("maxConcurrentRuns")
        return cls(
            runs=None if runs is None or runs < 0 else runs,
            pool_default=pools.get("defaultPoolLimit"),
            pools=tuple(
                Pool(p["concurrencyKey"], p["limit"] or p["slotCount"], p["activeSlotCount"], p["pendingStepCount"])
                for p in found["concurrencyLimits"]
            ),
        )


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a UTC time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
