"""A run's news -> server-sent events (HTML Living Standard, section 9.2), until the run ends or somebody leaves.

A stream outlives an outage of Dagster: it says so once and goes on when Dagster is back. It ends when the process is
told to stop; its listener then comes back, to another process, with the id of the last event.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass

from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from pynomaly_pipelines.operations.errors import (
    DagsterError,
    DependencyUnavailable,
    NotFound,
    PynomalyError,
    TooManyRequests,
)
from pynomaly_pipelines.service.launching.answers import EventPage
from pynomaly_pipelines.service.launching.feeds import Feeds
from pynomaly_pipelines.service.launching.news import News, Place, after, told
from pynomaly_pipelines.service.settings import ServiceSettings

RETRY_MILLISECONDS = 2000
"""How long a listener whose stream ended waits before it comes back."""


class Places:
    """Open streams, counted per account."""

    def __init__(self, in_all: int, per_account: int) -> None:
        self._in_all, self._per_account = in_all, per_account
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Streams open now."""
        return self._open.total()

    @contextmanager
    def taken(self, account: str) -> Iterator[None]:
        """One stream of an account."""
        self.check(account)
        self._open[account] += 1
        try:
            yield
        finally:
            self._open[account] -= 1
            if not self._open[account]:
                del self._open[account]

    def check(self, account: str) -> None:
        """Refuse one stream too many.

        Raises:
            TooManyRequests: the account, or the process, has as many as it may.
        """
        if self._open[account] >= self._per_account:
            raise TooManyRequests(
                f"{self._open[account]} event streams are open",
                rule=f"an account may have {self._per_account} (PYNOMALY_SERVICE_STREAMS_PER_ACCOUNT)",
                fix="close one, or ask GET /v1/runs/{id} now and then",
            )
        if self.open >= self._in_all:
            raise TooManyRequests(
                f"{self.open} event streams are open in this process",
                rule=f"it keeps {self._in_all} at most (PYNOMALY_SERVICE_STREAMS)",
                fix="come back later, or ask GET /v1/runs/{id} now and then",
            )


class StreamResponse(EventSourceResponse):
    """A stream that holds its place for as long as it is being sent."""

    def __init__(self, content: AsyncIterator[bytes], places: Places, account: str) -> None:
        # No proxy may keep events back to send them together.
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._places, self._account = places, account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._places.taken(self._account):
            await super().__call__(scope, receive, send)


@dataclass(frozen=True)
class Following:
    """How streams of this process are run."""

    feeds: Feeds
    settings: ServiceSettings
    stopping: Callable[[], bool]
    """Whether the process was told to stop."""


async def stream(following: Following, run_id: str, place: Place, first: EventPage) -> AsyncIterator[bytes]:
    """Everything beyond `place`, as it happens. `first` is what the log holds there now."""
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    page: EventPage | None = first
    while page is not None:
        for news in told(page, place):
            yield as_event(news)
        if page.last:
            return
        place, page = after(page, place), None
        async with aclosing(_next(following, run_id, place)) as coming:
            async for found in coming:
                if isinstance(found, bytes):
                    yield found
                else:
                    page = found


async def _next(following: Following, run_id: str, place: Place) -> AsyncGenerator[bytes | EventPage]:
    """Signs of life, then the next page; none if the stream is to end."""
    quiet, troubled = 0.0, False
    # So that a stop is noticed soon, whatever the heartbeat is.
    tick = min(0.5, following.settings.stream_heartbeat_seconds)
    question = asyncio.ensure_future(following.feeds.next(run_id, place.cursor))
    try:
        while not following.stopping():
            done, _ = await asyncio.wait({question}, timeout=tick)
            if done:
                try:
                    yield question.result()
                    return
                except NotFound as error:
                    yield _problem(error)
                    return
                except (DependencyUnavailable, DagsterError) as error:
                    if not troubled:
                        yield _problem(error)
                    troubled = True
                    question = asyncio.ensure_future(_later(following, run_id, place, error))
            quiet += tick
            if quiet >= following.settings.stream_heartbeat_seconds:
                quiet = 0.0
                yield format_sse_event(comment="still here")
        yield format_sse_event(comment="the service is stopping; come back", retry=RETRY_MILLISECONDS)
    finally:
        question.cancel()
        with suppress(asyncio.CancelledError, PynomalyError):
            await question


async def _later(following: Following, run_id: str, place: Place, error: PynomalyError) -> EventPage:
    wait = error.retry_after if isinstance(error, DependencyUnavailable) else 0.0
    await asyncio.sleep(max(wait, following.settings.stream_poll_seconds))
    return await following.feeds.next(run_id, place.cursor)


def _problem(error: PynomalyError) -> bytes:
    return as_event(News("problem", {"code": error.code, "detail": error.problem, "fix": error.fix}))


def as_event(news: News) -> bytes:
    """The bytes of one event."""
    return format_sse_event(
        event=news.event,
        data_str=json.dumps(news.data, separators=(",", ":"), ensure_ascii=False),
        id=None if news.place is None else str(news.place),
    )
