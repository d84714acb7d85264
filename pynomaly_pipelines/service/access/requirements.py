"""`Depends(require(permission))`: the one place where a route's caller is let in or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from pynomaly_pipelines.operations.errors import Forbidden, NotFound
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.auth.authentication import authenticate


def require(permission: Permission, *, pipeline: str = "name") -> Callable[[Request, Caller], Caller]:
    """A dependency that gives the caller if it may do this.

    A route with the path parameter `pipeline` asks for the permission on that pipeline. One that the caller may not
    see is not there for it.

    Raises:
        NotAuthenticated: nobody, or nobody known, is asking.
        Forbidden: the caller lacks the permission.
        NotFound: the caller does not see that pipeline.
    """

    def let_in(request: Request, caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
        name = request.path_params.get(pipeline)
        if name is not None and not caller.sees(name):
            raise no_such_pipeline(name)
        if not caller.may(permission, name):
            raise Forbidden(
                f"{caller.name!r} lacks the permission {permission.value!r}" + (f" on {name!r}" if name else ""),
                rule=f"the role {caller.role.value!r} does not have it, and no grant gives it",
                fix="ask for it: POST /v1/access-requests",
            )
        return caller

    # Read by the permission matrix: what each endpoint asks for.
    let_in.permission = permission  # type: ignore[attr-defined]
    return let_in


def no_such_pipeline(name: str) -> NotFound:
    """The same answer for one that is not there and one that the caller may not see."""
    return NotFound(
        f"there is no pipeline {name!r}", rule="a name of GET /v1/pipelines is expected", fix="check the name"
    )
