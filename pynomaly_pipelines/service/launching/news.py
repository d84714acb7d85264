"""Entries of a run's log -> what those who follow the run are told: steps, materializations, checks, the end.

Each is named by the place it has in the log, so that a listener who comes back is told what it missed, once. Dagster
gives a cursor per page only: a place is the cursor of a page and the number of its entries already told.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pynomaly_pipelines.operations.errors import BadRequest
from pynomaly_pipelines.service.launching.answers import EventPage, LogEvent
from pynomaly_pipelines.service.launching.failures import RUN_FAILURE, STEP_FAILURE, failure
from pynomaly_pipelines.service.launching.states import RunState

START = "start"
_PLACE = re.compile(r"(start|[A-Za-z0-9+/]{4,200}={0,2})\.([0-9]{1,6})", re.ASCII)

STATES = {
    "RunEnqueuedEvent": RunState.QUEUED,
    "RunStartingEvent": RunState.STARTING,
    "RunStartEvent": RunState.RUNNING,
    "RunCancelingEvent": RunState.CANCELING,
}
ENDS = {
    "RunSuccessEvent": RunState.SUCCEEDED,
    RUN_FAILURE: RunState.FAILED,
    "RunCanceledEvent": RunState.CANCELED,
}
STEPS = {
    "ExecutionStepStartEvent": "started",
    "ExecutionStepSuccessEvent": "succeeded",
    STEP_FAILURE: "failed",
    "ExecutionStepSkippedEvent": "skipped",
    "ExecutionStepUpForRetryEvent": "retrying",
    "ExecutionStepRestartEvent": "restarted",
}


@dataclass(frozen=True)
class Place:
    """How far in a run's log somebody is."""

    cursor: str | None = None
    """Where a page begins; None: at the start."""
    skip: int = 0
    """Entries of that page that were told already."""

    def __str__(self) -> str:
        return f"{self.cursor or START}.{self.skip}"

    @classmethod
    def parse(cls, written: str) -> Place:
        """The place that an event's id names.

        Raises:
            BadRequest: it is not one of ours.
        """
        found = _PLACE.fullmatch(written)
        if found is None or (found[1] != START and not _is_cursor(found[1])):
            raise BadRequest(
                f"Last-Event-ID is {written[:80]!r}",
                rule="it is the id of an event of this run's stream",
                fix="leave it out to be told everything from the start",
            )
        return cls(None if found[1] == START else found[1], int(found[2]))


def _is_cursor(written: str) -> bool:
    """Whether Dagster will understand it; what it does not, it answers with an error of its own."""
    try:
        found = json.loads(base64.b64decode(written, validate=True))
    except (binascii.Error, ValueError):
        return False
    number = found.get("value") if isinstance(found, dict) else None
    return (
        isinstance(number, int)
        and not isinstance(number, bool)
        and 0 <= number < 2**53
        and set(found) == {"type", "value"}
        and found["type"] in ("STORAGE_ID", "OFFSET")
    )


@dataclass(frozen=True)
class News:
    """One thing told."""

    event: str
    data: Mapping[str, Any]
    place: Place | None = field(default=None)
    """None: a summary, which is told anew whenever it changes."""


def told(page: EventPage, place: Place) -> Iterator[News]:
    """What a page holds beyond `place`, and how far the run is where steps moved; the end comes last."""
    moved = False
    for number, entry in enumerate(page.events):
        if number < place.skip:
            continue
        last = number == len(page.events) - 1
        for news in of_entry(entry, Place(page.cursor) if last else Place(place.cursor, number + 1)):
            if news.event == "end" and moved:
                yield _progress(page)
                moved = False
            moved = moved or news.event == "step"
            yield news
    if moved:
        yield _progress(page)


def _progress(page: EventPage) -> News:
    return News("progress", {"steps": page.steps, "done": page.steps_done, "failed": page.steps_failed})


def after(page: EventPage, place: Place) -> Place:
    """Where to go on when a page has been told."""
    return Place(page.cursor, max(0, place.skip - len(page.events))) if page.events else place


def of_entry(entry: LogEvent, place: Place) -> Iterator[News]:
    """What one entry says that a listener wants to know."""
    at = entry.at.isoformat()
    if entry.kind in STATES:
        yield News("state", {"state": STATES[entry.kind], "at": at}, place)
    elif entry.kind in STEPS:
        yield News("step", {"step": entry.step, "state": STEPS[entry.kind], "at": at, **_trouble(entry)}, place)
    elif entry.kind == "MaterializationEvent":
        figures = {k: v for k, v in entry.figures.items() if "/" not in k and isinstance(v, int | float)}
        yield News("materialization", {**_where(entry), "figures": figures, "at": at}, place)
    elif entry.kind == "ObservationEvent":
        notes = {k: v for k, v in entry.figures.items() if "/" not in k}
        yield News("observation", {**_where(entry), "notes": notes, "at": at}, place)
    elif entry.kind == "AssetCheckEvaluationEvent":
        verdict = {"check": entry.check, "passed": entry.passed, "severity": entry.severity.lower()}
        yield News("check", {**_where(entry), **verdict, "message": entry.message, "at": at}, place)
    elif entry.kind in ENDS:
        # A run that failed by its steps has told why with the step.
        own = {"failure": failure(entry).model_dump()} if entry.trouble is not None else {}
        yield News("end", {"state": ENDS[entry.kind], "at": at, **own}, place)


def _where(entry: LogEvent) -> dict[str, str]:
    return {"asset": "/".join(entry.asset), "partition": entry.partition}


def _trouble(entry: LogEvent) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if entry.trouble is not None and entry.kind == STEP_FAILURE:
        found["failure"] = failure(entry).model_dump()
    if entry.kind == "ExecutionStepUpForRetryEvent":
        found["seconds_to_wait"] = entry.seconds_to_wait
        chain = entry.trouble.chain if entry.trouble else ()
        found["why"] = chain[-1][:500] if chain else ""
    return found
