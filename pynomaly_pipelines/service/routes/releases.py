"""The way back out of quarantine: rows are let through by name, and partitions judged again by runs of Dagster."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import ConfigDict, Field, StringConstraints

from pynomaly_pipelines.operations.errors import Unprocessable
from pynomaly_pipelines.pipeline import RELEASE_REASON, RELEASED_BY
from pynomaly_pipelines.service import audit, bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.audit.entries import Detail
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.launching import idempotency
from pynomaly_pipelines.service.launching.launcher import Order, Ticket
from pynomaly_pipelines.service.launching.planning import plan
from pynomaly_pipelines.service.launching.requests import Launch, PartitionKey
from pynomaly_pipelines.service.launching.views import Launched
from pynomaly_pipelines.service.paging import Answer, StrictQuery, no_query
from pynomaly_pipelines.service.routes.runs import (
    ACCEPTED,
    LAUNCHING,
    IdempotencyKey,
    once,
    request_tags,
    tell_launched,
)
from pynomaly_pipelines.service.rows import known_partitions
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.expectations.acceptance import accept
from pynomaly_pipelines.stages.expectations.rejudging import Rejudging, ReleaseWish, rejudging
from pynomaly_pipelines.stages.validation import QUARANTINE

router = bodies.router("/pipelines/{name}/quarantine", "quarantine")
Releaser = Annotated[Caller, Depends(require(Permission.QUARANTINE_RELEASE))]
RowId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
MOST_ROWS = 1_000
"""Rows that one request lets through by name."""


class ReleaseAsked(StrictQuery):
    """What is released. An empty body means: all of the pipeline, by the rules of now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {},
                {"partitions": ["2025-03-01"], "expectation": "between", "reason": "the bound was a typo"},
                {"accept": ["00c0ffee00c0ffee"], "reason": "a real order, checked with the shop"},
            ]
        }
    )

    partitions: tuple[PartitionKey, ...] = Field((), max_length=1_000, description="Only these; by default all.")
    expectation: str | None = Field(
        None, min_length=1, max_length=300, description="Only partitions with rows that broke this expectation."
    )
    accept: tuple[RowId, ...] = Field(
        (), max_length=MOST_ROWS, description="Let these rows through, by their ids, although they break a rule."
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000)] = Field(
        "", description="Why; needed with `accept`, and kept in the tables' history."
    )


class Released(Answer):
    """The runs that judge again. Without any: nothing that was meant is in quarantine."""

    pipeline: str
    accepted: int = Field(description="Rows let through by name; the decision is kept, and holds for a new delivery.")
    read_again: tuple[str, ...] = Field(description="Partitions whose files are read again first.")
    judged_again: tuple[str, ...] = Field(description="Partitions judged again as they were read.")
    launches: tuple[Launched, ...]


@router.post(
    "/release",
    status_code=202,
    summary="Release from quarantine",
    response_model=Released,
    responses={200: {"description": "Nothing is in quarantine.", "model": Released}, 202: ACCEPTED, **LAUNCHING},
    dependencies=[Depends(no_query)],
)
async def release_quarantine(
    service: TheService, request: Request, name: str, asked: ReleaseAsked, caller: Releaser, key: IdempotencyKey = None
) -> Response:
    """Judge quarantined partitions again, after the YAML or the data was mended.

    Rows that meet the expectations of now become valid, the others stay with their reasons. Where rows were rejected
    when they were read, their files are read again first, if they are still there. Doing it twice changes nothing.
    What became valid is scored by itself while Dagster runs live; else launch the part `score` of these partitions.
    """

    async def work(ticket: Ticket) -> idempotency.Answer:
        spec = await asyncio.to_thread(service.specs.of, name)
        found = await asyncio.to_thread(_decided, service, spec, asked, caller, ticket)
        if not found.partitions:
            return idempotency.Answer(200, _answer(spec, found, ()), None)
        await asyncio.to_thread(_write_down, service, request, spec, found, asked, caller)
        launched = []
        for number, launch in enumerate(_launches(found)):
            made = await service.runs.launcher.launch(_order(name, launch, caller, number, asked.reason), ticket)
            await tell_launched(service, request, caller, made)
            launched.append(made)
        return idempotency.Answer(202, _answer(spec, found, launched), f"/v1/runs?launch={ticket.launch}")

    return await once(service.runs, request, caller, key, asked.model_dump(mode="json"), work)


def _decided(service: Service, spec: PipelineSpec, asked: ReleaseAsked, caller: Caller, ticket: Ticket) -> Rejudging:
    """What is to be done; refused here is what could not be launched, before anything is written."""
    if asked.accept and not asked.reason:
        raise Unprocessable(
            f"{len(asked.accept)} rows of {spec.name!r} would be accepted without a reason",
            rule="who reads the table later must see why a broken rule was passed over",
            fix="give `reason`",
            where="reason",
        )
    known_partitions(spec, asked.partitions)
    if not service.lake.exists(spec.name, QUARANTINE):
        return Rejudging()
    wish = ReleaseWish(asked.partitions or None, asked.expectation, asked.accept, asked.reason, caller.name)
    project = service.project.settings.project
    found = rejudging(spec, service.lake, project, wish, resumed=ticket.resumed)
    for launch in _launches(found):
        plan(spec, launch, service.settings)
    return found


def _write_down(
    service: Service, request: Request, spec: PipelineSpec, found: Rejudging, asked: ReleaseAsked, caller: Caller
) -> None:
    """The decision into the tables, and who made it into the audit log: both stay if Dagster then does not answer."""
    if found.decision.rows:
        accept(spec, service.lake, found.decision)
    details: dict[str, Detail] = {
        "partitions": len(found.partitions),
        "first": found.partitions[0],
        "last": found.partitions[-1],
        "expectation": asked.expectation,
        "accepted": list(found.decision.rows)[:20],
        "accepted_rows": len(found.decision.rows),
        "reason": asked.reason,
    }
    audit.note(service, request, caller, audit.Action.QUARANTINE_RELEASED, f"pipeline:{spec.name}", **details)


def _launches(found: Rejudging) -> list[Launch]:
    parts = (("ingest", found.read_again), ("validate", found.judged_again))
    return [Launch.model_validate({"part": part, "partitions": list(keys)}) for part, keys in parts if keys]


def _order(name: str, launch: Launch, caller: Caller, number: int, reason: str) -> Order:
    tags = {"pynomaly/trigger": "release", RELEASED_BY: caller.name} | ({RELEASE_REASON: reason} if reason else {})
    return Order(name, launch, caller, number, request_tags() | tags, Permission.QUARANTINE_RELEASE)


def _answer(spec: PipelineSpec, found: Rejudging, launched: list[Launched] | tuple[()]) -> dict[str, object]:
    answer = Released(
        pipeline=spec.name,
        accepted=len(found.decision.rows),
        read_again=found.read_again,
        judged_again=found.judged_again,
        launches=tuple(launched),
    )
    return answer.model_dump(mode="json")
