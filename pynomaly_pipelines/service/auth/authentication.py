"""A request's credentials -> the caller."""

from __future__ import annotations

from fastapi import Request

from pynomaly_pipelines.operations.errors import NotAuthenticated
from pynomaly_pipelines.service.access.caller import Caller


def authenticate(request: Request) -> Caller:
    """The account whose token or API key came with the request.

    Raises:
        NotAuthenticated: none came, or it is not valid.
    """
    raise NotAuthenticated(
        f"{request.method} {request.url.path} came without credentials",
        rule="`Authorization: Bearer <token>` or an API key is expected",
        fix="log in: POST /v1/auth/token",
    )
