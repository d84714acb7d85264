"""The pipelines of the project: what they watch, and how far they have come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import Field, JsonValue

from pynomaly_pipelines.resources.registry import CHAMPION, Registry, Version
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.conditional import tag_of, unchanged
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.figures import Figures, figures_of
from pynomaly_pipelines.service.paging import Answer, Offset, Paged, decoded, encoded, link_next, no_query, wrong_cursor
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.states import lag

router = bodies.router("/pipelines", "pipelines")

_HIDDEN = frozenset({"url_env", "credentials"})
"""Where a source's secrets come from: nothing a reader of the API needs."""


class Champion(Answer):
    """The model that scores."""

    version: int
    detector: str
    threshold: float = Field(description="Rows that score more are anomalies.")


class Registered(Answer):
    """What the registry has of a pipeline."""

    champion: Champion | None
    models: int


class Counts(Answer):
    """Rows of the pipeline's tables."""

    partitions: int = Field(description="Partitions that left anything.")
    ingested: int
    validated: int
    quarantined: int
    scored: int


class Freshness(Answer):
    """How far the scores reach."""

    last_partition: str | None = Field(description="The latest partition with scores.")
    last_scored_at: datetime | None = Field(description="When that partition was scored.")
    behind_seconds: float | None = Field(
        description="Data's time between that partition and the last complete one; null where none is due."
    )


class PipelineSummary(Answer):
    """A pipeline in the list."""

    name: str
    kind: str = Field(description="`records`: each row is scored. `series`: each point of each series.")
    description: str
    owners: tuple[str, ...]
    partition: str = Field(description="The slice of time one run takes: hourly, daily, weekly, monthly or whole.")
    schedule: str | None = Field(description="Cron expression besides the look-out for arrivals.")
    champion: Champion | None = Field(description="Null until a model passed the gate.")
    counts: Counts
    freshness: Freshness


class Check(Answer):
    """An expectation about rows or partitions."""

    name: str
    columns: tuple[str, ...]
    severity: str
    arguments: dict[str, JsonValue]


class PipelineDetail(PipelineSummary):
    """One pipeline with everything its file says, defaults filled in."""

    anomalies: int = Field(description="Anomalies among all stored scores.")
    models: int = Field(description="Registered model versions.")
    checks: tuple[Check, ...]
    spec: dict[str, JsonValue] = Field(description="The file `defs.yaml` as resolved; without where secrets come from.")


class PipelinePage(Answer):
    """A page of pipelines, by name."""

    items: tuple[PipelineSummary, ...]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


@router.get("", summary="List pipelines", response_model=PipelinePage)
def list_pipelines(
    service: TheService,
    request: Request,
    response: Response,
    asked: Annotated[Paged, Query()],
    caller: Annotated[Caller, Depends(require(Permission.PIPELINES_READ, somewhere=True))],
) -> Any:
    """The pipelines the caller may see, by name, with their champions, counts and freshness."""
    seen = [spec for spec in service.specs.all() if caller.may(Permission.PIPELINES_READ, spec.name)]
    if asked.cursor is not None:
        place = decoded(asked.cursor, Offset)
        if place.digest != "pipelines":
            raise wrong_cursor(asked.cursor)
        seen = [spec for spec in seen if spec.name > place.after]
    shown = seen[: asked.limit]
    more = encoded(Offset(after=shown[-1].name, digest="pipelines")) if len(seen) > len(shown) else None
    items = tuple(_summary(service, spec) for spec in shown)
    page = PipelinePage(items=items, next=more)
    link_next(request, response, more)
    return unchanged(request, response, tag_of(page.model_dump_json())) or page


@router.get("/{name}", summary="One pipeline", response_model=PipelineDetail, dependencies=[Depends(no_query)])
def get_pipeline(
    service: TheService,
    request: Request,
    response: Response,
    name: str,
    _caller: Annotated[Caller, Depends(require(Permission.PIPELINES_READ))],
) -> Any:
    """The pipeline as its file resolves, its checks, champion, counts and freshness."""
    spec = service.specs.of(name)
    summary = _summary(service, spec)
    found = PipelineDetail(
        **dict(summary),
        anomalies=figures_of(service, spec).anomalies,
        models=_registered(service, spec).models,
        checks=tuple(_check(spec)),
        spec=_shown(spec),
    )
    return unchanged(request, response, tag_of(found.model_dump_json())) or found


def champion_of(registry: Registry, pipeline: str) -> Version | None:
    """The version that scores, if there is one."""
    return registry.aliased(pipeline, CHAMPION)


def _summary(service: Service, spec: PipelineSpec) -> PipelineSummary:
    figures = figures_of(service, spec)
    return PipelineSummary(
        name=spec.name,
        kind=spec.kind,
        description=spec.description,
        owners=spec.owners,
        partition=spec.partition,
        schedule=spec.automation.schedule,
        champion=_registered(service, spec).champion,
        counts=_counts(figures),
        freshness=_freshness(spec, figures),
    )


def _registered(service: Service, spec: PipelineSpec) -> Registered:
    def made() -> Registered:
        champion = champion_of(service.registry, spec.name)
        return Registered(
            champion=None if champion is None else _champion(champion),
            models=len(service.registry.versions(spec.name)),
        )

    return Registered.model_validate_json(service.kept.of_registry("registered", spec, (), made))


def _champion(version: Version) -> Champion:
    return Champion(version=version.number, detector=version.detector, threshold=version.threshold)


def _counts(figures: Figures) -> Counts:
    return Counts(
        partitions=figures.partitions,
        ingested=figures.ingested,
        validated=figures.validated,
        quarantined=figures.quarantined,
        scored=figures.scored,
    )


def _freshness(spec: PipelineSpec, figures: Figures) -> Freshness:
    # The one question that is about now: whether scores keep up with the calendar.
    behind = lag(spec, figures.last_partition, datetime.now(UTC))
    return Freshness(
        last_partition=figures.last_partition,
        last_scored_at=figures.last_scored_at,
        behind_seconds=None if behind is None else behind.total_seconds(),
    )


def _check(spec: PipelineSpec) -> list[Check]:
    return [
        Check(
            name=one.name,
            columns=tuple(one.columns),
            severity=one.severity,
            arguments={k: v for k, v in one.model_dump(mode="json")["arguments"].items() if not k.startswith("column")},
        )
        for one in spec.expectations
    ]


def _shown(spec: PipelineSpec) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = _without(spec.model_dump(mode="json"))
    return found


def _without(value: Any) -> Any:
    """The same without the keys that tell of secrets, at any depth."""
    if isinstance(value, dict):
        return {name: _without(inner) for name, inner in value.items() if name not in _HIDDEN}
    return [_without(inner) for inner in value] if isinstance(value, list) else value
