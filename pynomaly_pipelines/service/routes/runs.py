"""Runs: launch, list, follow, cancel, and the queue they wait in."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from pynomaly_pipelines.operations.errors import (
    Conflict,
    DagsterUnreachable,
    JobUnknown,
    LocationNotLoaded,
    PynomalyError,
    TooManyRequests,
)
from pynomaly_pipelines.operations.telemetry.current import current
from pynomaly_pipelines.service import audit, bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.audit.entries import Detail
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.launching import Runs
from pynomaly_pipelines.service.launching.idempotency import HEADER, Answer, fingerprint, parse_key
from pynomaly_pipelines.service.launching.launcher import Order, Ticket
from pynomaly_pipelines.service.launching.news import Place, told
from pynomaly_pipelines.service.launching.planning import REQUEST_TAG, TRACE_TAG
from pynomaly_pipelines.service.launching.queueing import queue_view
from pynomaly_pipelines.service.launching.reading import Wanted
from pynomaly_pipelines.service.launching.requests import Batch, Launch
from pynomaly_pipelines.service.launching.states import RunState
from pynomaly_pipelines.service.launching.streams import StreamResponse, stream
from pynomaly_pipelines.service.launching.views import (
    BatchItemView,
    BatchView,
    Cancellation,
    Launched,
    QueueView,
    RunDetailsView,
    RunsPage,
)
from pynomaly_pipelines.service.problems import problem_of, problems, status_of

router = bodies.router("", "runs")

Reader = Annotated[Caller, Depends(require(Permission.RUNS_READ, somewhere=True))]
Canceller = Annotated[Caller, Depends(require(Permission.RUNS_CANCEL, somewhere=True))]
LauncherHere = Annotated[Caller, Depends(require(Permission.RUNS_LAUNCH))]
LauncherSomewhere = Annotated[Caller, Depends(require(Permission.RUNS_LAUNCH, somewhere=True))]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=HEADER,
        description="The same key with the same body is launched once and answered alike, also after a lost answer or "
        "a restart. Send a new random UUID with each new launch.",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]
RunId = Annotated[str, Path(alias="id", max_length=100, description="Id of a run.")]
PipelineName = Annotated[str, Path(max_length=200, description="Name of a pipeline.")]
ACCEPTED = {
    "description": "The runs are in the queue.",
    "headers": {
        "Location": {"description": "The run, or the runs of the launch.", "schema": {"type": "string"}},
        "Idempotency-Replayed": {
            "description": "`true` if this answer was given before.",
            "schema": {"type": "string"},
        },
    },
}
LAUNCHING = problems(404, Conflict, TooManyRequests, JobUnknown, DagsterUnreachable, LocationNotLoaded)
_READING = problems(DagsterUnreachable)


@router.post("/pipelines/{name}/runs", status_code=202, response_model=Launched, responses={202: ACCEPTED, **LAUNCHING})
async def launch_runs(
    service: TheService,
    request: Request,
    name: PipelineName,
    asked: Launch,
    caller: LauncherHere,
    key: IdempotencyKey = None,
) -> Response:
    """Launch a part of a pipeline.

    Partitions that are neighbours share a run, up to `automation.partitions_per_run` of the pipeline.
    """

    async def work(ticket: Ticket) -> Answer:
        launched = await service.runs.launcher.launch(Order(name, asked, caller, tags=request_tags()), ticket)
        await tell_launched(service, request, caller, launched)
        here = launched.runs[0].links.self if len(launched.runs) == 1 else f"/v1/runs?launch={launched.launch}"
        return Answer(202, launched.model_dump(mode="json"), here)

    return await once(service.runs, request, caller, key, asked.model_dump(mode="json"), work)


@router.post(
    "/runs",
    status_code=202,
    response_model=BatchView,
    responses={
        202: ACCEPTED,
        207: {"description": "Some were launched and some were not: each says which.", "model": BatchView},
        **problems(Conflict),
    },
)
async def launch_batch(
    service: TheService, request: Request, asked: Batch, caller: LauncherSomewhere, key: IdempotencyKey = None
) -> Response:
    """Launch parts of several pipelines; each succeeds or fails for itself."""

    async def work(ticket: Ticket) -> Answer:
        items = [
            await _item(service.runs, Order(item.pipeline, _launch_of(item), caller, number, request_tags()), ticket)
            for number, item in enumerate(asked.launches)
        ]
        for item in items:
            if item.launched is not None:
                await tell_launched(service, request, caller, item.launched)
        view = BatchView(launches=tuple(items))
        good = all(item.launched is not None for item in items)
        settled = all(item.status < 500 for item in items)
        here = f"/v1/runs?launch={ticket.launch}"
        return Answer(202 if good else 207, view.model_dump(mode="json"), here, final=settled)

    return await once(service.runs, request, caller, key, asked.model_dump(mode="json"), work)


@router.get("/runs", responses=_READING)
async def list_runs(
    service: TheService,
    caller: Reader,
    pipeline: Annotated[str | None, Query(max_length=200, description="Of this pipeline.")] = None,
    state: Annotated[list[RunState] | None, Query(max_length=8, description="In one of these states.")] = None,
    kind: Annotated[
        str | None, Query(max_length=20, description="`ingest`, `validate`, `train`, `score` or `assets`.")
    ] = None,
    launch: Annotated[str | None, Query(max_length=64, description="Of this launch.")] = None,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9a-f-]{36}$", description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most runs of a page.")] = 50,
) -> RunsPage:
    """Runs of the pipelines that the caller sees, newest first: also those of schedules, sensors and commands."""
    wanted = Wanted(pipeline, tuple(state or ()), kind, launch)
    return await service.runs.reader.page(caller, wanted, cursor, limit)


@router.get("/runs/{id}", responses=_READING)
async def get_run(service: TheService, caller: Reader, run_id: RunId) -> RunDetailsView:
    """A run: its state, its place in the queue, its steps and, if it failed, why."""
    return await service.runs.reader.details(caller, run_id)


@router.get(
    "/runs/{id}/events",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: `state`, `step`, `progress`, `materialization`, `check`, "
            "`observation`, `problem`, `end`. Each `data` is a JSON object.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "The run has ended, and all of it was told before `Last-Event-ID`."},
        **problems(TooManyRequests, DagsterUnreachable),
    },
)
async def follow_run(
    service: TheService,
    caller: Reader,
    run_id: RunId,
    last_event_id: Annotated[
        str | None, Header(description="Go on after the event of this id. Browsers send it by themselves.")
    ] = None,
) -> Response:
    """Follow a run as it happens, until it ends."""
    runs = service.runs
    await runs.reader.visible(caller, run_id)
    place = Place() if last_event_id is None else Place.parse(last_event_id)
    runs.places.check(caller.account)
    first = await runs.following.feeds.now(run_id, place.cursor)
    if last_event_id is not None and first.last and not any(news.place for news in told(first, place)):
        # What the standard has for "do not come back".
        return Response(status_code=204)
    return StreamResponse(stream(runs.following, run_id, place, first), runs.places, caller.account)


@router.post(
    "/runs/{id}/cancel",
    response_model=Cancellation,
    responses={
        200: {"description": "The run is canceled."},
        202: {"description": "The run was told to end, and has not ended yet.", "model": Cancellation},
        **problems(Conflict, DagsterUnreachable),
    },
)
async def cancel_run(
    service: TheService,
    request: Request,
    caller: Canceller,
    run_id: RunId,
    force: Annotated[
        bool, Query(description="Mark it as canceled even if its process cannot be reached. It may still be at work.")
    ] = False,
) -> Response:
    """Cancel a run that waits or runs. Asking twice is asking once."""
    done = await service.runs.reader.cancel(caller, run_id, force=force)
    if done.told == "now":
        action, subject = audit.Action.RUN_CANCELLED, f"run:{run_id}"
        await asyncio.to_thread(audit.note, service, request, caller, action, subject, force=force)
    status = 200 if done.state is RunState.CANCELED else 202
    return JSONResponse(done.model_dump(mode="json"), status_code=status)


@router.get("/queue", responses=_READING, dependencies=[Depends(require(Permission.RUNS_READ, somewhere=True))])
async def get_queue(service: TheService) -> QueueView:
    """How many runs wait, by priority, how long the oldest waits, and what limits them."""
    return await queue_view(service.runs.client)


async def tell_launched(service: Service, request: Request, caller: Caller, found: Launched) -> None:
    """The audit log's entry of a launch."""
    details: dict[str, Detail] = {"launch": found.launch, "part": found.part, "runs": len(found.runs)}
    subject = f"pipeline:{found.pipeline}"
    action = audit.Action.RUN_LAUNCHED
    await asyncio.to_thread(audit.note, service, request, caller, action, subject, **details)


def _launch_of(item: Any) -> Launch:
    return Launch(part=item.part, partitions=item.partitions, priority=item.priority)


async def _item(runs: Runs, order: Order, ticket: Ticket) -> BatchItemView:
    try:
        return BatchItemView(status=202, launched=await runs.launcher.launch(order, ticket))
    except PynomalyError as error:
        return BatchItemView(status=status_of(error), problem=problem_of(error))


async def once(runs: Runs, request: Request, caller: Caller, key: str | None, body: Any, work: Any) -> Response:
    """The answer of `work`, or the one that the same request with the same key was given before."""
    mark = fingerprint(request.method, request.url.path, body)
    answer = await runs.launcher.once(caller.account, parse_key(key), mark, work)
    headers = {"Location": answer.location} if answer.location else {}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(answer.body, status_code=answer.status, headers=headers)


def request_tags() -> dict[str, str]:
    """The request a run came from, so that logs and traces lead from one to the other."""
    work = current()
    if work is None:
        return {}
    sampled = "01" if work.sampled else "00"
    return {REQUEST_TAG: work.request_id, TRACE_TAG: f"00-{work.trace_id}-{work.span_id}-{sampled}"}
