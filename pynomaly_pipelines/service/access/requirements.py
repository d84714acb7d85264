"""`Depends(require(permission))`: the one place where a route's caller is let in or refused.

Every endpoint says what it asks for: by `require` or `require_account` among its dependencies, or by `@public`. The
permission matrix reads it, and a test fails on an endpoint that says nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from pynomaly_pipelines.operations.errors import Forbidden, NotFound
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.rates.middleware import count_account

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


def require(
    permission: Permission, *, pipeline: str = "name", somewhere: bool = False
) -> Callable[[Request, Caller], Awaitable[Caller]]:
    """A dependency that gives the caller if it may do this.

    A route with the path parameter `pipeline` asks for the permission on that pipeline. One that the caller may not
    see is not there for it. With `somewhere`, the permission on any one pipeline suffices to come in; the route then
    asks for each pipeline with `demand` or `Caller.may`: for lists, and for pipelines named in a body.

    Raises:
        NotAuthenticated: nobody, or nobody known, is asking.
        Forbidden: the caller lacks the permission.
        NotFound: the caller does not see that pipeline.
        TooManyRequests: the account is over its limit.
    """

    async def let_in(request: Request, caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
        count_account(request, caller)
        name = request.path_params.get(pipeline)
        if name is None and somewhere and caller.may_somewhere(permission):
            return caller
        demand(caller, permission, name)
        return caller

    let_in.permission = permission  # type: ignore[attr-defined]
    let_in.somewhere = somewhere  # type: ignore[attr-defined]
    return let_in


def demand(caller: Caller, permission: Permission, pipeline: str | None = None) -> None:
    """Refuse the caller unless it may do this, on this pipeline if one is named.

    Raises:
        Forbidden: the caller lacks the permission.
        NotFound: the caller does not see that pipeline.
    """
    if pipeline is not None and not caller.sees(pipeline):
        raise no_such_pipeline(pipeline)
    if not caller.may(permission, pipeline):
        raise Forbidden(
            f"{caller.name!r} lacks the permission {permission.value!r}" + (f" on {pipeline!r}" if pipeline else ""),
            rule=_why_not(caller, permission),
            fix="ask for it: POST /v1/access-requests",
        )


def _why_not(caller: Caller, permission: Permission) -> str:
    if caller.scopes is not None and permission not in caller.scopes:
        return "the API key was not made for it"
    return f"the role {caller.role.value!r} does not have it, and no grant gives it"


async def require_account(request: Request, caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
    """Whoever is logged in, for what concerns the own account only.

    Raises:
        NotAuthenticated: nobody, or nobody known, is asking.
        TooManyRequests: the account is over its limit.
    """
    count_account(request, caller)
    return caller


require_account.account_only = True  # type: ignore[attr-defined]


def public(reason: str) -> Callable[[_Endpoint], _Endpoint]:
    """Mark an endpoint that answers everybody, and say why that is right."""

    def mark(endpoint: _Endpoint) -> _Endpoint:
        endpoint.public = reason  # type: ignore[attr-defined]
        return endpoint

    return mark


def no_such_pipeline(name: str) -> NotFound:
    """The same answer for one that is not there and one that the caller may not see."""
    return NotFound(
        f"there is no pipeline {name!r}", rule="a name of GET /v1/pipelines is expected", fix="check the name"
    )
