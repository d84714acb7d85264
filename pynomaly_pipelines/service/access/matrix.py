"""The application's routes -> what each of them asks for: read from the same marks that let callers in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from pynomaly_pipelines.service.access.permissions import Permission


@dataclass(frozen=True)
class Endpoint:
    """A method on a path. One of the three is set, or the endpoint says nothing of who may call it."""

    method: str
    path: str
    permission: Permission | None = None
    account_only: bool = False
    """Whoever is logged in may call it, for what concerns the own account."""
    public: str | None = None
    """Why everybody may."""
    somewhere: bool = False
    """The permission on any one pipeline suffices to come in."""

    @property
    def says_who(self) -> bool:
        """Whether it asks for anything, or says why not."""
        return self.permission is not None or self.account_only or self.public is not None


def endpoints(app: FastAPI) -> list[Endpoint]:
    """Every endpoint of the application, by path and method."""
    found = [
        _endpoint(method, str(route.path_format), route)
        for route in iter_route_contexts(app.routes)
        for method in sorted(route.methods or {"GET"})
        if method != "HEAD"
    ]
    return sorted(found, key=lambda e: (e.path, e.method))


def _endpoint(method: str, path: str, route: Any) -> Endpoint:
    # A plain route of Starlette has no dependencies: it can only be marked itself.
    dependant = getattr(route, "dependant", None)
    calls = list(_calls(dependant)) if dependant is not None else []
    asked = [call for call in calls if hasattr(call, "permission")]
    return Endpoint(
        method,
        path,
        permission=asked[0].permission if asked else getattr(route.endpoint, "permission", None),
        account_only=any(hasattr(call, "account_only") for call in calls),
        public=getattr(route.endpoint, "public", None),
        somewhere=any(getattr(call, "somewhere", False) for call in asked),
    )


def _calls(dependant: Any) -> Iterator[Any]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)
