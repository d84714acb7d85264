"""Rows -> scores of the pipeline's champion: the same that the batch gives them, to the last bit."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pynomaly_pipelines.operations.errors import NoChampion, NotAcceptable, TooLarge, UnsupportedMedia
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.problems import problems
from pynomaly_pipelines.service.scoring import description
from pynomaly_pipelines.service.scoring.responding import respond
from pynomaly_pipelines.service.scoring.signature import Wanted

router = bodies.router("/pipelines", "scoring")
may_score = require(Permission.SCORE)
MayScore = Annotated[Caller, Depends(may_score)]
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
async def describe_scoring(service: TheService, name: str, caller: MayScore) -> RequestShape:  # noqa: ARG001
    """The columns that rows of this pipeline have, as its champion reads them now."""
    champion = await service.champions.of(name)
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
    body, media = await respond(request, name, explain, raw=raw)
    return Response(body, media_type=media)
