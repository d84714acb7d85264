"""The partitions of a pipeline: how far each has come, what its validation found, whether it drifts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field, JsonValue

from pynomaly_pipelines.operations.errors import NotFound
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.conditional import tag_of, unchanged
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.figures import TABLES
from pynomaly_pipelines.service.keeping import as_answer, versions
from pynomaly_pipelines.service.paging import (
    Answer,
    Offset,
    Paged,
    decoded,
    encoded,
    link_next,
    next_of,
    no_query,
    wrong_cursor,
)
from pynomaly_pipelines.service.routes.drift import Judgement, judgements
from pynomaly_pipelines.service.specs import partition_of
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.states import PartitionState, State, states, totals

router = bodies.router("/pipelines/{name}/partitions", "pipelines")
Reader = Annotated[Caller, Depends(require(Permission.PIPELINES_READ))]


class ListedPartitions(Paged):
    """Which partitions, in which order."""

    state: State | None = Field(None, description="Only those that came so far and no further.")
    order: Literal["latest", "oldest"] = Field("latest", description="Which come first.")


class ScoredPartition(Answer):
    """What is stored of a partition's scores."""

    rows: int
    anomalies: int
    versions: tuple[int, ...] = Field(description="The model versions that scored it.")
    at: datetime | None
    threshold: float | None


class PartitionSummary(Answer):
    """A partition in the list."""

    key: str
    start: datetime | None = Field(description="Null for the whole.")
    end: datetime | None
    state: State = Field(description="The last step that was done; `refused`: no row of it is valid.")
    ingested: int | None
    validated: int | None
    quarantined: int | None
    scored: ScoredPartition | None


class PartitionPage(Answer):
    """A page of partitions."""

    items: tuple[PartitionSummary, ...]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


class FailedExpectation(Answer):
    """An expectation that was not met."""

    name: str
    column: str
    severity: str
    rule: str
    unexpected: int
    judged: int


class Refused(Answer):
    """Why nothing of the partition is used."""

    rule: str
    value: str
    fix: str


class Validated(Answer):
    """What validation found."""

    accepted: bool
    valid: int
    quarantined: int
    expectations: int = Field(description="How many were asked.")
    failed: tuple[FailedExpectation, ...]
    refusals: tuple[Refused, ...]
    data_docs: str = Field(description="Address of the page that shows it.")


class PartitionDetail(PartitionSummary):
    """One partition."""

    validation: Validated | None = Field(description="Null where no page is kept of it (`validation.docs`).")
    drift: tuple[Judgement, ...] = Field(
        description="What differs from the champion's training, the most certain first."
    )


@router.get("", summary="List partitions", response_model=PartitionPage)
def list_partitions(
    service: TheService,
    request: Request,
    response: Response,
    name: str,
    asked: Annotated[ListedPartitions, Query()],
    _caller: Reader,
) -> Any:
    """The partitions that left anything, with their states, rows, and what scored them."""
    spec = service.specs.of(name)
    if asked.cursor is not None:
        _place(asked)
    # The tables first: what is written meanwhile is told under another key.
    seen = versions(service.lake, name, (spec.incoming[-1], *TABLES))
    body = service.kept.of("partitions", spec, (seen, asked), lambda: _page(service, spec, asked))
    link_next(request, response, next_of(body))
    return as_answer(request, response, body, tag_of(body))


def _page(service: Service, spec: PipelineSpec, asked: ListedPartitions) -> PartitionPage:
    found = totals(spec, service.lake)
    keys = found.keys if asked.order == "oldest" else found.keys[::-1]
    if asked.cursor is not None:
        keys = _after(keys, asked)
    shown: list[PartitionState] = []
    # States are told by the tables' logs alone; scores are read of what is shown.
    step = asked.limit + 1
    for start in range(0, len(keys), step):
        part = states(spec, service.lake, keys[start : start + step], found)
        shown += [one for one in part if asked.state in (None, one.state)]
        if len(shown) > asked.limit:
            break
    items = tuple(_summary(one) for one in shown[: asked.limit])
    more = encoded(Offset(after=items[-1].key, digest=_digest(asked))) if len(shown) > asked.limit else None
    return PartitionPage(items=items, next=more)


@router.get("/{partition}", summary="One partition", response_model=PartitionDetail, dependencies=[Depends(no_query)])
def get_partition(
    service: TheService, request: Request, response: Response, name: str, partition: str, _caller: Reader
) -> Any:
    """A partition's state, what its validation found, and whether it drifts."""
    spec = service.specs.of(name)
    part = partition_of(spec, partition)
    state = states(spec, service.lake, [part.key])[0]
    if state.state == "absent":
        raise NotFound(
            f"partition {partition!r} of {name!r} has left nothing yet",
            rule="a partition is there once it was ingested",
            fix=f"GET /v1/pipelines/{name}/partitions lists those that are",
        )
    answer = PartitionDetail(
        **dict(_summary(state)),
        validation=_validated(service, request, spec, part.key),
        drift=tuple(one for one in judgements(service, spec, [part.key]) if one.drifted),
    )
    return unchanged(request, response, tag_of(answer.model_dump_json())) or answer


@router.get(
    "/{partition}/data-docs",
    summary="Data Docs of a partition",
    response_class=HTMLResponse,
    dependencies=[Depends(no_query)],
)
def get_data_docs(
    service: TheService,
    name: str,
    partition: str,
    _caller: Annotated[Caller, Depends(require(Permission.QUARANTINE_READ))],
) -> HTMLResponse:
    """The page on the partition's validation, with values of rows that broke expectations."""
    spec = service.specs.of(name)
    file = service.data_docs.path(name, partition_of(spec, partition).key)
    try:
        html = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(
            f"no page is kept on the validation of partition {partition!r} of {name!r}",
            rule=f"the latest {spec.validation.docs} are kept (`validation.docs`)",
            fix="validate it again, or keep more",
        ) from error
    # The page shows what came from outside: it may run nothing and fetch nothing.
    policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})


def _place(asked: ListedPartitions) -> Offset:
    place = decoded(asked.cursor or "", Offset)
    if place.digest != _digest(asked):
        raise wrong_cursor(asked.cursor or "")
    return place


def _after(keys: list[str], asked: ListedPartitions) -> list[str]:
    place = _place(asked)
    return [key for key in keys if (key > place.after if asked.order == "oldest" else key < place.after)]


def _digest(asked: ListedPartitions) -> str:
    return f"partitions-{asked.state}-{asked.order}"


def _summary(one: PartitionState) -> PartitionSummary:
    scored = one.scored
    return PartitionSummary(
        key=one.key,
        start=one.start,
        end=one.end,
        state=one.state,
        ingested=one.ingested,
        validated=one.validated,
        quarantined=one.quarantined,
        scored=None
        if scored is None
        else ScoredPartition(
            rows=scored.rows,
            anomalies=scored.anomalies,
            versions=scored.versions,
            at=scored.at,
            threshold=scored.threshold,
        ),
    )


def _validated(service: Service, request: Request, spec: PipelineSpec, key: str) -> Validated | None:
    told: dict[str, JsonValue] | None = service.data_docs.summary(spec.name, key)
    if told is None:
        return None
    page = request.url_for("get_data_docs", name=spec.name, partition=key)
    return Validated.model_validate(
        {
            "accepted": not told["refused"],
            "valid": told["valid"],
            "quarantined": told["quarantined"],
            "expectations": told["expectations"],
            "failed": told.get("failed", []),
            "refusals": told.get("refusals", []),
            "data_docs": page.path,
        }
    )
