"""Every request is counted before anything is done for it; over the limit it is refused.

Pure ASGI: no task, no copy of the request. It stands inside the middleware that sets the client's address from trusted
proxies, so that what a client says of itself in `X-Forwarded-For` changes nothing.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.problems import answered
from pynomaly_pipelines.service.rates.limiter import RateLimiter
from pynomaly_pipelines.service.rates.rules import Kind, client_key, kind_of
from pynomaly_pipelines.service.rates.windows import Count

_SCOPE = "pynomaly.rate"


class RateLimits:
    """ASGI middleware; what is inside can count the account as well with `count_account`."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, then hand on or refuse."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._closing(send))
            return
        kind = kind_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if kind is None:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        standing = _Standing(self._limiter, kind)
        try:
            standing.take(
                await self._limiter.client(kind, client_key(client[0]) if client else "unknown"), "this address"
            )
        except PynomalyError as refused:
            await answered(refused)(scope, receive, standing.telling(send))
            return
        scope[_SCOPE] = standing
        await self._app(scope, receive, standing.telling(send))

    def _closing(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            # Before it is said, for a server that was told of the end may leave at once.
            if message["type"].startswith("lifespan.shutdown"):
                await self._limiter.close()
            await send(message)

        return sent


class _Standing:
    """Where the request's client and account stand; the tighter of the two is told."""

    __slots__ = ("count", "kind", "limiter")

    def __init__(self, limiter: RateLimiter, kind: Kind) -> None:
        self.limiter = limiter
        self.kind = kind
        self.count: Count | None = None

    def take(self, count: Count, who: str) -> None:
        if self.count is None or count.remaining < self.count.remaining or not count.allowed:
            self.count = count
        if not count.allowed:
            raise self.limiter.refusal(self.kind, count, who)

    def telling(self, send: Send) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and self.count is not None:
                message["headers"] = [*message.get("headers", ()), *self.limiter.headers(self.kind, self.count)]
            await send(message)

        return with_headers


def count_account(request: Request, caller: Caller) -> None:
    """Count a request of whoever is logged in; asked where the caller is let in.

    Raises:
        TooManyRequests: the account is over its limit, from whatever addresses.
    """
    standing = request.scope.get(_SCOPE)
    if isinstance(standing, _Standing):
        standing.take(standing.limiter.account(standing.kind, caller.account), f"the account {caller.name!r}")
