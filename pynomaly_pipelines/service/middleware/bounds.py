"""A request's body and time, bounded: refused by its declared size, stopped at the limit where it declares none."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pynomaly_pipelines.operations.errors import (
    BadRequest,
    PynomalyError,
    ReadTimedOut,
    TookTooLong,
    TooLarge,
    UnsupportedMedia,
)
from pynomaly_pipelines.service.problems import Refusal
from pynomaly_pipelines.service.settings import ServiceSettings


class Bounds:
    """Size and time of bodies, time until the answer begins."""

    def __init__(self, app: ASGIApp, *, settings: ServiceSettings) -> None:
        self._app = app
        self._bytes = settings.body_limit_bytes
        self._body_seconds = settings.body_timeout_seconds
        self._seconds = settings.request_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        named = dict(scope["headers"])
        self._check_declared(named)
        if b"content-length" in named or b"transfer-encoding" in named:
            receive = self._bounded(receive)
        try:
            async with asyncio.timeout(self._seconds) as limit:

                async def begun(message: Message) -> None:
                    # What has begun may go on: a stream of events lasts as long as its run.
                    if message["type"] == "http.response.start":
                        limit.reschedule(None)
                    await send(message)

                await self._app(scope, receive, begun)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TookTooLong(
                f"no answer was ready after {self._seconds:g} seconds",
                rule="answers that take longer are runs: POST /v1/pipelines/{name}/runs",
                fix="ask for less at once, or try again later",
            ) from error

    def _check_declared(self, named: dict[bytes, bytes]) -> None:
        encoding = named.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b""):
            raise UnsupportedMedia(
                f"the body is encoded as {encoding.decode('latin-1')[:40]!r}",
                rule="bodies are taken as they are: what unpacks can unpack to any size",
                fix="send it without Content-Encoding",
            )
        length = named.get(b"content-length", b"0")
        if not length.isdigit():
            raise BadRequest(
                f"the content length is {length.decode('latin-1')[:40]!r}",
                rule="it is a number of bytes",
                fix="send one",
            )
        # More digits than any limit has: not even turned into a number.
        if len(length) > 18 or int(length) > self._bytes:
            raise self._too_large(f"the body has {length.decode()[:18]} bytes")

    def _bounded(self, receive: Receive) -> Receive:
        total = 0
        deadline = asyncio.get_running_loop().time() + self._body_seconds

        async def bounded() -> Message:
            nonlocal total
            if deadline == 0:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline) as limit:
                    message = await receive()
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise _refused(
                    ReadTimedOut(
                        f"the body did not arrive within {self._body_seconds:g} seconds",
                        rule="a body comes as fast as a slow line brings it",
                        fix="send it again, in smaller parts if the line is slow",
                    )
                ) from error
            total += len(message.get("body", b""))
            if total > self._bytes:
                raise _refused(self._too_large("the body has more bytes than that"))
            return message

        async def until_whole() -> Message:
            nonlocal deadline
            message = await bounded()
            # After the body, `receive` waits for the client to go away: that may take any time.
            if not message.get("more_body", False):
                deadline = 0
            return message

        return until_whole

    def _too_large(self, what: str) -> TooLarge:
        return TooLarge(what, rule=f"{self._bytes:,} bytes are the most", fix="send it in smaller parts")


def _refused(error: PynomalyError) -> Refusal:
    return Refusal(error)
