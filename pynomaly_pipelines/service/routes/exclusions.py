"""Stretches of time that no model is taught."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import AwareDatetime, Field, StringConstraints

from pynomaly_pipelines.operations.errors import NotFound
from pynomaly_pipelines.service import audit, bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.paging import Answer, StrictQuery, no_query
from pynomaly_pipelines.stages import exclusions

router = bodies.router("/pipelines/{name}/exclusions", "models")
Text = Annotated[str, StringConstraints(max_length=500)]
Reader = Annotated[Caller, Depends(require(Permission.MODELS_READ))]
Decider = Annotated[Caller, Depends(require(Permission.MODELS_PROMOTE))]


class ExclusionAsked(StrictQuery):
    """What is to be left out of every later training."""

    start: AwareDatetime = Field(description="The first moment that is left out; with its zone.")
    end: AwareDatetime = Field(description="The first moment after it.")
    where: dict[Text, Annotated[tuple[Text, ...], Field(min_length=1, max_length=1_000)]] = Field(
        {}, max_length=20, description="Only rows with one of these values in each column; `series` names series."
    )
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] = Field(
        description="It will stand in the model card."
    )


class ExclusionTold(Answer):
    """A stretch of time that is left out."""

    id: str
    start: AwareDatetime
    end: AwareDatetime
    where: dict[str, tuple[str, ...]]
    reason: str
    source: str = Field(description="`manual`, `feedback`, `yaml`, `events` or `drift`.")
    by: str


class Exclusions(Answer):
    """All that is left out, by time."""

    items: tuple[ExclusionTold, ...]


@router.get("", summary="List exclusions", response_model=Exclusions, dependencies=[Depends(no_query)])
def list_exclusions(service: TheService, name: str, _caller: Reader) -> Any:
    """What is left out of every later training, by whom and why."""
    spec = service.specs.of(name)
    return Exclusions(items=tuple(told(one) for one in exclusions.read(spec, service.lake)))


@router.post(
    "", status_code=201, summary="Add an exclusion", response_model=ExclusionTold, dependencies=[Depends(no_query)]
)
def add_exclusion(service: TheService, request: Request, name: str, asked: ExclusionAsked, caller: Decider) -> Any:
    """Leave a known incident out of every later training; asking twice leaves it out once."""
    spec = service.specs.of(name)
    start, end = (moment.astimezone(UTC) for moment in (asked.start, asked.end))
    made = exclusions.Exclusion(start, end, dict(asked.where), asked.reason, caller.name, "manual")
    exclusions.add(spec, service.lake, [made])
    details = {"id": made.id, "start": start.isoformat(), "end": end.isoformat(), "reason": asked.reason}
    audit.note(service, request, caller, audit.Action.EXCLUSION_ADDED, f"pipeline:{name}", **details)
    return told(next(one for one in exclusions.read(spec, service.lake) if one.id == made.id))


@router.delete("/{exclusion}", status_code=204, summary="Remove an exclusion", dependencies=[Depends(no_query)])
def remove_exclusion(
    service: TheService,
    request: Request,
    name: str,
    exclusion: Annotated[str, Path(max_length=64, description="Its `id`.")],
    caller: Decider,
) -> None:
    """Learn from these rows again. What stands in the YAML or in the events file is changed there."""
    spec = service.specs.of(name)
    if exclusion not in {one.id for one in exclusions.read(spec, service.lake)}:
        raise NotFound(
            f"pipeline {name!r} has no exclusion {exclusion[:40]!r}",
            rule="an exclusion is named by its `id`",
            fix=f"GET /v1/pipelines/{name}/exclusions lists them",
        )
    exclusions.remove(spec, service.lake, [exclusion])
    audit.note(service, request, caller, audit.Action.EXCLUSION_REMOVED, f"pipeline:{name}", id=exclusion)


def told(one: exclusions.Exclusion) -> ExclusionTold:
    """An exclusion as it is answered."""
    return ExclusionTold(
        id=one.id,
        start=one.start,
        end=one.end,
        where=dict(one.where),
        reason=one.reason,
        source=one.source,
        by=one.who,
    )
