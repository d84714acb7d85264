"""Errors -> problem details (RFC 9457): type, title, status, detail, code, cause, fix, trace id."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.operations.resilience import is_fault
from pynomaly_pipelines.operations.telemetry import current
from pynomaly_pipelines.service.auth.oauth_errors import TOKEN_PATH, word

MEDIA_TYPE = "application/problem+json"

# The nearest class counts: a subclass not named here has its parent's status.
STATUS: dict[type[errors.PynomalyError], int] = {
    errors.PynomalyError: 500,
    errors.BadRequest: 400,
    errors.RequestError: 400,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.ReadTimedOut: 408,
    errors.Conflict: 409,
    errors.RegistryError: 409,
    errors.ArtifactsMissing: 503,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Unprocessable: 422,
    errors.SignatureError: 422,
    errors.DataError: 422,
    errors.TooManyRequests: 429,
    errors.HeadersTooLarge: 431,
    errors.Unforeseen: 500,
    errors.DependencyUnavailable: 503,
    errors.TookTooLong: 503,
    errors.DagsterError: 503,
    errors.JobUnknown: 409,
    errors.SourceUnreachable: 503,
    errors.SecretsUnreachable: 503,
}

_OF_STATUS: dict[int, type[errors.PynomalyError]] = {
    400: errors.BadRequest,
    401: errors.NotAuthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    408: errors.ReadTimedOut,
    409: errors.Conflict,
    412: errors.PreconditionFailed,
    413: errors.TooLarge,
    415: errors.UnsupportedMedia,
    422: errors.Unprocessable,
    429: errors.TooManyRequests,
    431: errors.HeadersTooLarge,
    500: errors.Unforeseen,
    503: errors.DependencyUnavailable,
}


class FieldProblem(BaseModel):
    """One part of a request that breaks a rule."""

    model_config = ConfigDict(frozen=True)

    where: str = Field(description="Where it is: `body.rows.3.amount`, `query.limit`.")
    problem: str = Field(description="Which rule it breaks.")


class Problem(BaseModel):
    """A problem as it is answered (RFC 9457)."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="Address of the page on problems of this code.")
    title: str = Field(description="The code, in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was seen.")
    code: str = Field(description="What kind of problem it is; stable, for programs.")
    cause: str = Field(default="", description="The rule that was broken.")
    fix: str = Field(default="", description="What to do about it.")
    trace_id: str = Field(default="", description="To find it in logs and traces.")
    fields: tuple[FieldProblem, ...] = Field(default=(), description="The parts of the request that break a rule.")


class Refusal(HTTPException):
    """An error of the tree where FastAPI lets only its own exceptions pass: while a body is read."""

    def __init__(self, error: errors.PynomalyError) -> None:
        self.error = error
        super().__init__(status_of(error))


def status_of(error: errors.PynomalyError) -> int:
    """The HTTP status of an error of the tree."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def title_of(code: str) -> str:
    """A code in words."""
    return code.replace("-", " ")


def page_of(code: str) -> str:
    """Address of the page on a code: served by the API itself, so that it is there where the API is."""
    return f"/problems/{code}"


def handle_problems(app: FastAPI) -> None:
    """Every error of the tree, of routing and of validation is answered as a problem."""

    # Not `async`: they would be run in a thread otherwise, a hundred microseconds for each refusal.
    @app.exception_handler(errors.PynomalyError)
    async def of_the_tree(request: Request, error: errors.PynomalyError) -> Response:
        told = away(error) if is_fault_behind(error) else error
        return answered(told, more=_more(request, told))

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, error: RequestValidationError) -> Response:
        problem, fields = _of_validation(error)
        return answered(problem, fields, more=_more(request, problem, fields))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        problem = _of_http(request, error)
        return answered(problem, headers=error.headers, more=_more(request, problem))


def answered(
    error: errors.PynomalyError,
    fields: Sequence[FieldProblem] = (),
    *,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
) -> Response:
    """The response for an error, with further members; unforeseen ones say nothing of what is inside."""
    problem = problem_of(error, fields)
    work = current.current()
    if work is not None:
        work.problem = problem.code
    content = problem.model_dump() if fields else problem.model_dump(exclude={"fields"})
    response = Response(
        msgspec.json.encode({**content, **(more or {})}), status_code=problem.status, media_type=MEDIA_TYPE
    )
    response.headers.update({**_own_headers(error, problem.status), **(headers or {})})
    return response


def problem_of(error: errors.PynomalyError, fields: Sequence[FieldProblem] = ()) -> Problem:
    """An error -> what is told of it."""
    status = status_of(error)
    return Problem(
        type=page_of(error.code),
        title=title_of(error.code),
        status=status,
        detail=f"{error.where}: {error.problem}" if error.where else error.problem,
        code=error.code,
        cause=error.rule,
        fix=error.fix,
        trace_id=current.trace_id(),
        fields=tuple(fields),
    )


def is_fault_behind(error: errors.PynomalyError) -> bool:
    """Whether what is told as the request's mistake came of a part that does not answer."""
    return status_of(error) < 500 and error.__cause__ is not None and is_fault(error.__cause__)


def away(error: Exception) -> errors.DependencyUnavailable:
    """What is told where a library says that a server or file it needs is away; its own words stay in the log."""
    told = error.problem if isinstance(error, errors.PynomalyError) else "a part that this needs does not answer"
    return errors.DependencyUnavailable(
        told,
        rule="the registry, the lake and the databases answer",
        fix="try again; GET /health tells those who run the service which part it is",
    )


def unforeseen() -> errors.Unforeseen:
    """What is told of an exception that nobody thought of."""
    return errors.Unforeseen(
        "something went wrong inside",
        rule="this is a fault of the service, not of the request",
        fix="try again; if it stays, give the trace id to those who run the service",
    )


def _more(
    request: Request, error: errors.PynomalyError, fields: Sequence[FieldProblem] = ()
) -> Mapping[str, str] | None:
    if request.url.path != TOKEN_PATH:
        return None
    found = word(error, (field.where for field in fields))
    return {"error": found} if found else None


def _own_headers(error: errors.PynomalyError, status: int) -> dict[str, str]:
    headers = {"cache-control": "no-store"}
    retry_after = float(getattr(error, "retry_after", 0.0))
    if retry_after > 0 or status in (429, 503):
        headers["retry-after"] = str(max(1, math.ceil(retry_after)))
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="pynomaly"'
    return headers


def _of_http(request: Request, error: HTTPException) -> errors.PynomalyError:
    """An exception of Starlette or FastAPI -> one of the tree."""
    inner = error if isinstance(error, Refusal) else error.__cause__
    if isinstance(inner, Refusal):
        return inner.error
    if isinstance(inner, errors.PynomalyError):
        return inner
    kind = _OF_STATUS.get(error.status_code, errors.BadRequest if error.status_code < 500 else errors.Unforeseen)
    path = request.url.path
    if kind is errors.NotFound:
        return kind(f"there is nothing at {path}", rule="a path of /openapi.json is expected", fix="check the path")
    if kind is errors.MethodNotAllowed:
        allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow", "")
        return kind(
            f"{path} does not take {request.method}", rule=f"it takes {allowed}", fix="use one of these methods"
        )
    return kind(error.detail)


def _of_validation(error: RequestValidationError) -> tuple[errors.PynomalyError, list[FieldProblem]]:
    # `input` is left out: it may hold a password.
    fields = [
        FieldProblem(where=".".join(str(part) for part in found["loc"]), problem=found["msg"])
        for found in error.errors()[:20]
    ]
    named = "; ".join(f"{field.where}: {field.problem}" for field in fields[:3])
    more = f"; and {len(error.errors()) - 3} more" if len(error.errors()) > 3 else ""
    problem = errors.Unprocessable(
        f"{named}{more}",
        rule="each field has the type and bounds of the description, and no other fields are taken",
        fix="correct what `fields` names; GET /openapi.json describes the request",
    )
    return problem, fields


# ------------------------------------------------------------------------------------------- what may be answered


Declared = int | type[errors.PynomalyError]


def problems(*declared: Declared, **examples: errors.PynomalyError) -> dict[int | str, dict[str, Any]]:
    """What a route says it may answer, for its `responses=`: statuses or classes of errors, with examples.

    `problems(404, NoChampion)`, or with an error as it really looks: `problems(none_yet=NoChampion("…", rule="…"))`.
    What any route may answer (401, 403, 422, 429, 500, 503 …) is added to the description by itself.
    """
    samples = {_OF_STATUS[d].code: _sample(_OF_STATUS[d]) for d in declared if isinstance(d, int)}
    samples |= {d.code: _sample(d) for d in declared if not isinstance(d, int)}
    samples |= {name: problem_of(error) for name, error in examples.items()}
    found: dict[int | str, dict[str, Any]] = {}
    for name, problem in samples.items():
        entry = found.setdefault(problem.status, _response(problem.status))
        shown = problem.model_dump(exclude={"fields"}) | {"trace_id": _SAMPLE_TRACE}
        entry["content"][MEDIA_TYPE]["examples"][name] = {"summary": problem.detail, "value": shown}
    return found


_SAMPLE_TRACE = "0000000000000000000000000000002a"


def _response(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": title_of(_OF_STATUS[status].code),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}},
    }


def _sample(kind: type[errors.PynomalyError]) -> Problem:
    return problem_of(kind(_SAMPLES.get(kind, title_of(kind.code))))


_SAMPLES: dict[type[errors.PynomalyError], str] = {
    errors.BadRequest: "the body is not JSON: it ends after 12 bytes, inside an object",
    errors.NotAuthenticated: "GET /v1/pipelines came without credentials",
    errors.Forbidden: "'ann' lacks the permission 'models:promote' on 'flights'",
    errors.NotFound: "there is no pipeline 'flihgts'",
    errors.MethodNotAllowed: "/v1/pipelines does not take DELETE",
    errors.NotAcceptable: "'text/html' is not a form this comes in",
    errors.ReadTimedOut: "the body did not arrive within 10 seconds",
    errors.Conflict: "another request with the idempotency key '7f1c' has another body",
    errors.NoChampion: "pipeline 'flights' has no champion",
    errors.TooLarge: "the body has 52,428,800 bytes",
    errors.UnsupportedMedia: "the content type is 'text/plain'",
    errors.Unprocessable: "query.limit: Input should be less than or equal to 1000",
    errors.SignatureError: "column 'amount' is missing",
    errors.TooManyRequests: "120 requests in a minute from 203.0.113.7",
    errors.HeadersTooLarge: "the headers have 70,120 bytes",
    errors.Unforeseen: "something went wrong inside",
    errors.DependencyUnavailable: "the registry did not answer five times in a row",
    errors.TookTooLong: "no answer was ready after 60 seconds",
}
