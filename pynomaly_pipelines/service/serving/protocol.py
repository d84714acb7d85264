"""Bytes of a connection -> requests, within bounds that uvicorn leaves open.

uvicorn waits without end for the rest of a head, reads heads of any size, and keeps a connection whose client reads
nothing. Here each of these has a time or a size. A refusal is written, then what the client still sends is read for a
moment: closing with unread bytes resets the connection, and the client may never see the answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import ClassVar

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pynomaly_pipelines.operations.errors import BadRequest, HeadersTooLarge, PynomalyError, ReadTimedOut
from pynomaly_pipelines.operations.telemetry.metrics import CLOSED, CONNECTIONS
from pynomaly_pipelines.service.problems import answered
from pynomaly_pipelines.service.settings import ServiceSettings

LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 2**20
IDLE_GRACE_SECONDS = 1.0
"""While stopping: how long a client may use an idle connection once more, before it is closed."""


@dataclass
class Limits:
    """The bounds of all connections of a process."""

    header_seconds: float
    header_bytes: int
    write_seconds: float
    connections: int
    waiting: dict[BoundedProtocol, None] = field(default_factory=dict)
    """Connections with nothing at work, those that wait longest first."""


def bounded_protocol(settings: ServiceSettings) -> type[BoundedProtocol]:
    """Settings -> the class uvicorn makes an instance of for each connection."""
    limits = Limits(
        header_seconds=settings.header_timeout_seconds,
        header_bytes=settings.header_limit_bytes,
        write_seconds=settings.write_timeout_seconds,
        connections=settings.connection_limit,
    )
    return type("Bounded", (BoundedProtocol,), {"limits": limits})


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    limits: ClassVar[Limits]

    _in_head = True
    """Whether the next bytes belong to a head."""
    _head_bytes = 0
    _begun = False
    _in_body = False
    _refused = False
    _draining = False
    _lingered = 0
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        CONNECTIONS.inc()
        self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)
        waiting = self.limits.waiting
        waiting[self] = None
        if len(self.connections) > self.limits.connections:
            # The longest waiting goes: slow clients make room for honest ones, not the other way round.
            next(iter(waiting)).close("shed")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        CONNECTIONS.dec()
        self.limits.waiting.pop(self, None)
        self._cancel_head_timer()
        self._cancel_write_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._refused or (self._in_body and self.cycle.response_complete):
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.transport.abort()
                return
        if self._refused:
            return
        if self._in_head:
            self._begun = True
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or self._refused or self.transport.is_closing():
            return
        if self._head_bytes > self.limits.header_bytes:
            self._refuse(_head_too_large(self.limits.header_bytes), "head too large")
        elif self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._in_head, self._begun, self._head_bytes, self._in_body = False, False, 0, True
        self._cancel_head_timer()
        self.limits.waiting.pop(self, None)
        super().on_headers_complete()
        if self._draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._in_head, self._in_body = True, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is whole."""
        super().on_response_complete()
        if self.transport.is_closing() or self.pipeline:
            return
        self.limits.waiting[self] = None
        if self._in_body:
            # Answered before the body was read: the rest is let in for a moment, then the line is cut.
            self.loop.call_later(LINGER_SECONDS, self._body_is_late, self.cycle)
        if self._draining:
            self.loop.call_later(IDLE_GRACE_SECONDS, self.close_if_idle)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_seconds, self._reader_is_late)

    def resume_writing(self) -> None:
        """It has read."""
        self._cancel_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own text, not as a problem
        """What came is not HTTP."""
        self._refuse(
            BadRequest(
                "this is no HTTP request that can mean only one thing",
                rule="requests are HTTP/1.1 (RFC 9112), with one length",
                fix="send it by a library for HTTP",
            ),
            "not http",
        )

    def drain(self) -> None:
        """The service stops: answer what is there, ask the client to close, close what stays idle."""
        self._draining = True
        if self.cycle is not None and not self.cycle.response_complete:
            # An answer that has begun as keep-alive is followed by the grace of an idle connection.
            if not self.cycle.response_started:
                self.cycle.keep_alive = False
            return
        self.loop.call_later(IDLE_GRACE_SECONDS, self.close_if_idle)

    def close_if_idle(self) -> None:
        """Close it unless a request is coming in or at work."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and not self._begun and not self.transport.is_closing():
            self.transport.close()

    def close(self, reason: str) -> None:
        """Close it, and count why."""
        CLOSED.labels(reason).inc()
        self.limits.waiting.pop(self, None)
        if not self.transport.is_closing():
            self.transport.close()

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing() or not self._in_head:
            return
        if not self._begun:
            self.close("silent")
            return
        late = ReadTimedOut(
            f"the head of the request did not arrive within {self.limits.header_seconds:g} seconds",
            rule="a head comes in one go",
            fix="send it again",
        )
        self._refuse(late, "head late")

    def _body_is_late(self, cycle: object) -> None:
        if self._in_body and self.cycle is cycle and not self.transport.is_closing():
            self.close("body late")

    def _reader_is_late(self) -> None:
        CLOSED.labels("reader late").inc()
        self.transport.abort()

    def _refuse(self, error: PynomalyError, reason: str) -> None:
        """Answer without the application, and end the connection."""
        if self._refused:
            return
        self._refused = True
        CLOSED.labels(reason).inc()
        self.limits.waiting.pop(self, None)
        self._cancel_head_timer()
        if self.cycle is not None and not self.cycle.response_complete:
            begun = self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if begun:
                self.transport.close()
                return
        self.transport.write(_raw(answered(error)))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def _raw(response: Response) -> bytes:
    headers = b"".join(b"%s: %s\r\n" % pair for pair in response.raw_headers)
    return b"".join(
        [STATUS_LINE[response.status_code], headers, b"connection: close\r\n\r\n", bytes(response.body)],
    )


def _head_too_large(limit: int) -> HeadersTooLarge:
    return HeadersTooLarge(
        f"the head of the request has more than {limit:,} bytes",
        rule=f"{limit:,} bytes are the most",
        fix="send less; what is large belongs in the body",
    )
