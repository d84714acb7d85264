"""`POST /v1/pipelines/{name}/score` without a query, answered before the router is asked.

Finding the route and solving its dependencies anew costs a request more than reading and scoring a row. Here the same
functions are called in the same order: `authenticate`, the route's requirement, `respond`. Whatever has a query, or is
another path, goes on to the router, whose route is also what the API's description and the permission matrix show.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.problems import Refusal, answered
from pynomaly_pipelines.service.scoring.responding import respond

_PATH = re.compile(r"/v1/pipelines/([^/]+)/score")


class DirectScoring:
    """The innermost middleware."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        endpoint: Callable[..., Any],
        require: Callable[[Request, Caller], Awaitable[Caller]],
    ) -> None:
        """`endpoint` is the route's function, for logs and metrics; `require` its requirement."""
        self._app = app
        self._endpoint = endpoint
        self._require = require

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it, or hand it on."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["endpoint"], scope["path_params"] = self._endpoint, {"name": found[1]}
        try:
            body, media = await self._answer(Request(scope, receive), found[1])
        except PynomalyError as error:
            await answered(error)(scope, receive, send)
        except Refusal as refusal:
            await answered(refusal.error)(scope, receive, send)
        else:
            headers = [(b"content-length", b"%d" % len(body)), (b"content-type", media.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _answer(self, request: Request, name: str) -> tuple[bytes, str]:
        await self._require(request, await _caller(request))
        return await respond(request, name)


async def _caller(request: Request) -> Caller:
    stand_in = request.app.dependency_overrides.get(authenticate)
    if stand_in is None:
        return await authenticate(request)
    # As FastAPI does: somebody else may be put in its place.
    found = stand_in(request) if inspect.signature(stand_in).parameters else stand_in()
    caller: Caller = await found if inspect.isawaitable(found) else found
    return caller
