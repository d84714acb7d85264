"""What a proxy before Dagster's and MLflow's pages asks before it lets a request through (nginx's auth_request)."""

from __future__ import annotations

import posixpath
from typing import Annotated
from urllib.parse import unquote

from fastapi import Header, Request, Response

from pynomaly_pipelines.operations.errors import Forbidden
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import demand, public
from pynomaly_pipelines.service.auth.authentication import identify
from pynomaly_pipelines.service.auth.credentials import SAFE
from pynomaly_pipelines.service.problems import problems

router = bodies.router("/auth", "auth")

_AREAS = {
    "dagster": (Permission.DAGSTER_READ, Permission.DAGSTER_WRITE),
    "mlflow": (Permission.MLFLOW_READ, Permission.MLFLOW_WRITE),
}
# MLflow's pages ask some questions by POST.
_MLFLOW_QUESTIONS = ("/search", "/graphql", "/get-history-bulk")


@router.get("/verify", status_code=204, responses=problems(401, 403))
@public("it answers who is asking, and 401 to nobody")
async def verify_for_proxy(
    request: Request,
    response: Response,
    x_original_uri: Annotated[str, Header(max_length=8192, description="What was asked of the proxy.")] = "/",
    x_original_method: Annotated[str, Header(max_length=20, description="And how.")] = "GET",
) -> None:
    """204 with X-Account, X-Role and X-Access (`read` or `write`), or 401, or 403.

    All questions to Dagster are POST /graphql, so that reading cannot be told from writing here: the proxy sends those
    with `X-Access: read` to a Dagster webserver that runs with --read-only.
    """
    method = x_original_method.upper()
    caller = (await identify(request, method)).caller
    access = decide(caller, x_original_uri, method)
    response.headers.update({"x-account": caller.name, "x-role": caller.role.value, "x-access": access})
    response.headers["cache-control"] = "no-store"


def decide(caller: Caller, uri: str, method: str) -> str:
    """`read` or `write`.

    Raises:
        Forbidden: the caller may not even read there, or not change what it asks to change.
    """
    path = _path(uri)
    area = path.split("/")[1] if path.count("/") else ""
    if area not in _AREAS:
        return "read"
    read, write = _AREAS[area]
    demand(caller, read)
    if caller.may(write):
        return "write"
    if area == "mlflow" and method not in SAFE and not path.endswith(_MLFLOW_QUESTIONS):
        demand(caller, write)
    return "read"


def _path(uri: str) -> str:
    """The path as the server behind the proxy understands it.

    Raises:
        Forbidden: it could be understood in two ways.
    """
    path = unquote(uri.partition("?")[0])
    if ".." in path.split("/") or "\\" in path or "%" in path or "\0" in path or not path.startswith("/"):
        raise Forbidden(
            "the path can be understood in two ways",
            rule="paths without `..`, backslashes and double encoding are let through",
            fix="ask for the plain path",
        )
    return posixpath.normpath("/" + path.lstrip("/"))
