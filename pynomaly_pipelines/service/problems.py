"""Errors -> problem details (RFC 9457): type, title, status, detail, code, cause, fix, trace id."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from pynomaly_pipelines.operations import errors

MEDIA_TYPE = "application/problem+json"

# The nearest class counts: a subclass not named here has its parent's status.
STATUS: dict[type[errors.PynomalyError], int] = {
    errors.PynomalyError: 500,
    errors.BadRequest: 400,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Unprocessable: 422,
    errors.TooManyRequests: 429,
    errors.SignatureError: 422,
    errors.NoChampion: 409,
}


class Problem(BaseModel):
    """A problem as it is answered."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str
    code: str
    cause: str = ""
    fix: str = ""


def status_of(error: errors.PynomalyError) -> int:
    """The HTTP status of an error of the tree."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def handle_problems(app: FastAPI) -> None:
    """Every error of the tree is answered as a problem."""

    @app.exception_handler(errors.PynomalyError)
    async def answer(_request: Request, error: errors.PynomalyError) -> JSONResponse:
        return answered(error)


def answered(error: errors.PynomalyError) -> JSONResponse:
    """The response for an error."""
    status = status_of(error)
    problem = Problem(
        type=f"urn:pynomaly:problem:{error.code}",
        title=error.code.replace("-", " "),
        status=status,
        detail=f"{error.where}: {error.problem}" if error.where else error.problem,
        code=error.code,
        cause=error.rule,
        fix=error.fix,
    )
    return JSONResponse(problem.model_dump(), status_code=status, media_type=MEDIA_TYPE)
