"""Every request -> its ids, its log line, its figures, its span; and an answer whatever goes wrong inside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.operations.redaction import redact
from pynomaly_pipelines.operations.resilience import is_fault
from pynomaly_pipelines.operations.telemetry import logs
from pynomaly_pipelines.operations.telemetry.current import Work, at_work
from pynomaly_pipelines.operations.telemetry.metrics import IN_FLIGHT, HttpMetrics
from pynomaly_pipelines.operations.telemetry.traces import Tracing, parent_of
from pynomaly_pipelines.service.problems import answered, away, unforeseen

if TYPE_CHECKING:
    from opentelemetry.trace import Span

UNMATCHED = "unmatched"
QUIET = ("/health", "/metrics")
"""Asked every few seconds by machines: counted, not logged unless they fail."""

_SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_STORE = (b"cache-control", b"no-store")
_HSTS = (b"strict-transport-security", b"max-age=31536000")


class Observing:
    """The outermost layer of the service."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tracing: Tracing,
        write: Callable[[bytes], object] | None = None,
        trusted: Callable[[str], bool] = lambda _address: False,
    ) -> None:
        """`write` takes a log line; `trusted` says of a peer's address whether its sampling flag counts."""
        self._app = app
        self._tracing = tracing
        self._write = write
        self._trusted = trusted
        self._metrics = HttpMetrics()
        self._routes: dict[Any, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        named = dict(scope["headers"])
        parent = named.get(b"traceparent", b"").decode("latin-1")
        peer = scope["client"][0] if scope.get("client") else ""
        request_id = named.get(b"x-request-id", b"").decode("latin-1")
        work = self._tracing.begin(parent, request_id, trusted=bool(parent) and self._trusted(peer))
        at_work(work)
        span = self._tracing.span(work, scope["method"], parent_of(parent)) if work.sampled else None
        started, status = perf_counter(), 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _completed(list(message.get("headers", ())), scope["scheme"], work)
            await send(message)

        IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, observed)
        except PynomalyError as error:
            if status:
                raise
            await answered(error)(scope, receive, observed)
        except Exception as error:
            logs.log().error("request failed", exc_info=error, path=scope["path"])
            if status:
                raise
            await answered(away(error) if is_fault(error) else unforeseen())(scope, receive, observed)
        finally:
            IN_FLIGHT.dec()
            self._record(scope, named, work, status, perf_counter() - started, span)

    def _record(
        self, scope: Scope, named: dict[bytes, bytes], work: Work, status: int, seconds: float, span: Span | None
    ) -> None:
        route = self._route(scope)
        method = scope["method"]
        self._metrics.answered(method, route, status, seconds, work.problem)
        if span is not None:
            _end(span, scope, route, status)
        if status >= 500 or not scope["path"].startswith(QUIET):
            self._log(scope, named, work, route, status, seconds)

    def _log(
        self, scope: Scope, named: dict[bytes, bytes], work: Work, route: str, status: int, seconds: float
    ) -> None:
        line = {
            "time": logs.now(),
            "level": "error" if status >= 500 else "info",
            "event": "request",
            "method": scope["method"],
            # Without the query: it may hold what is nobody's business.
            "path": scope["path"][:300],
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 2),
            "client": scope["client"][0] if scope.get("client") else "",
            "agent": named.get(b"user-agent", b"")[:200].decode("latin-1"),
            "request_id": work.request_id,
            "trace_id": work.trace_id,
        }
        if work.account:
            line["account"] = work.account
        pipeline = work.pipeline or scope.get("path_params", {}).get("name", "")
        if pipeline and route.startswith("/v1/pipelines"):
            line["pipeline"] = pipeline
        if work.problem:
            line["problem"] = work.problem
        (self._write or _to_standard_output)(logs.access_line(line))

    def _route(self, scope: Scope) -> str:
        """The template of the path, of which there are as many as routes."""
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return UNMATCHED
        found = self._routes.get(endpoint)
        if found is None:
            for known in iter_route_contexts(scope["app"].routes):
                self._routes[known.endpoint] = str(getattr(known, "path_format", "") or UNMATCHED)
            found = self._routes.setdefault(endpoint, UNMATCHED)
        return found


def _completed(headers: list[tuple[bytes, bytes]], scheme: str, work: Work) -> list[tuple[bytes, bytes]]:
    """With the headers every answer has; those a route has set itself stay."""
    names = {name for name, _ in headers}
    headers += _SECURITY
    if b"content-security-policy" not in names:
        headers.append(_POLICY)
    if b"cache-control" not in names:
        headers.append(_NO_STORE)
    if scheme == "https":
        headers.append(_HSTS)
    headers.append((b"x-request-id", work.request_id.encode()))
    return headers


def _end(span: Span, scope: Scope, route: str, status: int) -> None:
    from opentelemetry.trace import StatusCode

    span.update_name(f"{scope['method']} {route}")
    span.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "url.path": redact(scope["path"])[:300],
            "http.response.status_code": status,
        }
    )
    if status >= 500:
        span.set_status(StatusCode.ERROR)
    span.end()


def _to_standard_output(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
