"""Questions about incidents -> those that meet them, the newest first, a page at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import AwareDatetime

from pynomaly_pipelines.operations.errors import NotFound
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.service.paging import Answer, decoded, encoded, wrong_cursor
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents.finding import listed
from pynomaly_pipelines.stages.incidents.states import Standing, State


@dataclass(frozen=True)
class Asked:
    """Which incidents are meant; empty takes all."""

    states: tuple[State, ...] = ()
    since: datetime | None = None
    """Those that ended at this moment or later."""
    until: datetime | None = None
    """Those that began before this moment."""
    entity: str | None = None

    def fits(self, standing: Standing) -> bool:
        """Whether an incident is meant."""
        found = standing.incident
        return (
            (not self.states or standing.state in self.states)
            and (self.since is None or found.end >= self.since)
            and (self.until is None or found.start < self.until)
            and (self.entity is None or found.entity == self.entity)
        )

    def digest(self, *pipelines: str) -> str:
        """The same for the same question: a cursor for one is no cursor for another."""
        return hashlib.sha256(repr((self, pipelines)).encode()).hexdigest()[:12]


class Cursor(Answer):
    """Where a page of incidents ended."""

    start: AwareDatetime
    pipeline: str
    id: str
    asked: str


@dataclass(frozen=True)
class Found:
    """A page."""

    items: tuple[Standing, ...]
    next: str | None
    """Cursor of the page that follows."""
    total: int
    """Of all pages."""


def page(specs: Iterable[PipelineSpec], lake: Lake, asked: Asked, *, most: int, cursor: str | None = None) -> Found:
    """Incidents of these pipelines, the newest first.

    An incident that begins while one pages is on none of the later pages, and none is told twice; one whose state
    changes meanwhile is told as it then stands, or not at all if it does not meet the question any more.

    Raises:
        BadRequest: the cursor belongs to another list.
    """
    known = list(specs)
    digest = asked.digest(*(spec.name for spec in known))
    after = None if cursor is None else _place(cursor, digest)
    fitting = sorted((s for spec in known for s in listed(spec, lake) if asked.fits(s)), key=_place_of, reverse=True)
    rest = fitting if after is None else [s for s in fitting if _place_of(s) < after]
    items = tuple(rest[:most])
    return Found(items, _after(items[-1], digest) if len(rest) > most else None, len(fitting))


def standing_of(spec: PipelineSpec, lake: Lake, id: str) -> Standing:
    """The incident of that id, written out whole.

    Raises:
        NotFound: the pipeline has none.
    """
    found = next((s for s in listed(spec, lake) if s.incident.id == id), None)
    if found is None:
        raise NotFound(
            f"pipeline {spec.name!r} has no incident {id[:40]!r}",
            rule="an incident is named by its `id`; one whose rows are ordinary by now is no more",
            fix=f"GET /v1/pipelines/{spec.name}/incidents lists them",
        )
    return found


def _place_of(standing: Standing) -> tuple[datetime, str, str]:
    return standing.incident.start, standing.incident.pipeline, standing.incident.id


def _place(cursor: str, digest: str) -> tuple[datetime, str, str]:
    told = decoded(cursor, Cursor)
    if told.asked != digest:
        raise wrong_cursor(cursor)
    return told.start.astimezone(UTC), told.pipeline, told.id


def _after(last: Standing, digest: str) -> str:
    start, pipeline, id = _place_of(last)
    return encoded(Cursor(start=start, pipeline=pipeline, id=id, asked=digest))
