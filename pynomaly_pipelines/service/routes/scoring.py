"""Rows -> scores of the pipeline's champion: the same that the batch gives them, to the last bit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pynomaly_pipelines.operations.errors import NoChampion, NotAcceptable, TooLarge, UnsupportedMedia
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.bodies import require_media
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.problems import problems
from pynomaly_pipelines.service.scoring import answers, description
from pynomaly_pipelines.service.scoring.arrow_rows import read_arrow
from pynomaly_pipelines.service.scoring.champion import Champion, Scored
from pynomaly_pipelines.service.scoring.signature import Wanted
from pynomaly_pipelines.service.scoring.work import INLINE_BYTES

router = bodies.router("/pipelines", "scoring")
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
MayScore = Annotated[Caller, Depends(require(Permission.SCORE))]
Explain = Annotated[
    int | None,
    Query(
        ge=0,
        le=10,
        description="Reasons of every row, so many of the largest; 0 for none. Left out: the pipeline's number, of the "
        "rows that the batch gives reasons.",
    ),
]


class RequestColumn(BaseModel):
    """A column that each row of a request has."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: Wanted
    nullable: bool = Field(description="Whether null may stand there: only where values were missing at training.")


class RequestShape(BaseModel):
    """What a request for scores looks like, and who answers it."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    model_version: int
    detector: str
    threshold: float
    columns: tuple[RequestColumn, ...]


@router.get("/{name}/score", responses=problems(NoChampion))
async def describe_scoring(request: Request, name: str, caller: MayScore) -> RequestShape:  # noqa: ARG001
    """The columns that rows of this pipeline have, as its champion reads them now."""
    champion = await _champion(request, name)
    return RequestShape(
        pipeline=name,
        model_version=champion.version.number,
        detector=champion.version.detector,
        threshold=champion.version.threshold,
        columns=tuple(
            RequestColumn(name=one.name, type=one.type, nullable=one.nullable) for one in champion.signature.columns
        ),
    )


@router.post(
    "/{name}/score",
    response_class=Response,
    responses={**description.ANSWERS, **problems(NoChampion, NotAcceptable, TooLarge, UnsupportedMedia)},
    openapi_extra=description.REQUEST,
)
async def score(
    request: Request,
    name: str,
    caller: MayScore,  # noqa: ARG001
    explain: Explain = None,
    raw: Annotated[bool, Query(description="Whether the detector's own scores are given too.")] = False,
) -> Response:
    """Score rows with the champion.

    Rows come as JSON, `{"rows": [{column: value, …}, …]}` or `{"columns": {column: [value, …], …}}`, or as an Arrow
    IPC stream; columns and types are those of `GET` on this path. Nothing is stored.
    """
    media, accepted = require_media(request, JSON, ARROW), _accepted(request)
    body = await request.body()
    champion = await _champion(request, name)
    scored = await _scored(request.app.state.service, champion, media, body, explain)
    write = answers.as_arrow if accepted == ARROW else answers.as_json
    return Response(write(champion, scored, raw=raw), media_type=accepted)


async def _champion(request: Request, name: str) -> Champion:
    service: Service = request.app.state.service
    return service.champions.held(name) or await service.champions.of(name)


async def _scored(service: Service, champion: Champion, media: str, body: bytes, explain: int | None) -> Scored:
    workers = service.workers
    most = service.settings.score_rows

    def read() -> Any:
        return champion.json.read(body) if media == JSON else read_arrow(body, champion.signature, most)

    if len(body) > INLINE_BYTES:
        return await workers.run(lambda: champion.score(read(), explain))
    cells = read()
    if workers.at_once(len(cells[0]) * champion.row_seconds):
        return champion.score(cells, explain)
    return await workers.run(lambda: champion.score(cells, explain))


def _accepted(request: Request) -> str:
    said = request.headers.get("accept", "*/*")
    if ARROW in said:
        return ARROW
    if any(media in said for media in (JSON, "*/*", "application/*")):
        return JSON
    raise NotAcceptable(
        f"the answer can't be {said[:100]!r}",
        rule=f"it is {JSON} or {ARROW}",
        fix=f"send `Accept: {JSON}`, or no Accept at all",
    )
