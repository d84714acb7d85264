"""Counting together with the other processes, in Redis.

Logins: each try is counted in Redis before a password is looked at, exactly (a moving window). While Redis does not
answer, none is let through, or they are counted here, by setting.

All else: counted here at once, and every second what came is added in Redis and what others counted is read back, in
one round trip for all clients. A limit can be overrun by what comes within that second; scoring never waits for Redis,
and goes on without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Literal

from pynomaly_pipelines.operations.errors import DependencyUnavailable
from pynomaly_pipelines.service.rates.windows import Count, Limit, Windows

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage
    from redis.asyncio import Redis

log = logging.getLogger(__name__)
PREFIX = "pynomaly:rate"
TELL_SECONDS = 1.0
_Place = tuple[str, str, int, int]
"""Class, key, length of the window in seconds, number of the window."""


class SharedWindows:
    """The counters of all processes, for the tasks of one event loop."""

    def __init__(
        self,
        client: Redis,
        *,
        without_redis: Literal["refuse", "count here"] = "refuse",
        tell_seconds: float = TELL_SECONDS,
        most_keys: int = 50_000,
    ) -> None:
        from limits.aio.strategies import MovingWindowRateLimiter

        self._client = client
        self._without_redis = without_redis
        self._tell_seconds = tell_seconds
        self._most_keys = most_keys
        self._exact = MovingWindowRateLimiter(_storage(client))
        self._here = Windows(most_keys)
        self._untold: dict[_Place, int] = {}
        self._own: dict[_Place, int] = {}
        self._others: dict[_Place, int] = {}
        self._telling: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def strict(self, kind: str, key: str, limit: Limit) -> Count:
        """Count a request exactly.

        Raises:
            DependencyUnavailable: Redis does not answer, and then nothing is to be let through.
        """
        from limits import RateLimitItemPerSecond
        from redis.exceptions import RedisError

        item = RateLimitItemPerSecond(limit.requests, limit.seconds, namespace=PREFIX)
        try:
            allowed = await self._exact.hit(item, kind, key)
            stats = await self._exact.get_window_stats(item, kind, key)
        except (RedisError, OSError, TimeoutError) as error:
            if self._without_redis == "count here":
                return self._here.hit(kind, key, limit)
            raise _away(kind) from error
        return Count(allowed, max(0, stats.remaining), max(1, round(stats.reset_time - time.time())))

    def elsewhere(self, kind: str, key: str, limit: Limit) -> int:
        """What other processes counted in this window, as of a second ago."""
        return self._others.get(_place(kind, key, limit), 0)

    def tell(self, kind: str, key: str, limit: Limit) -> None:
        """A request was let in here; the others learn of it within a second."""
        place = _place(kind, key, limit)
        if place not in self._untold and len(self._untold) >= self._most_keys:
            return
        self._untold[place] = self._untold.get(place, 0) + 1
        if self._telling is None or self._telling.done():
            # An event belongs to the first loop that waits for it.
            self._closing = asyncio.Event()
            self._telling = asyncio.get_running_loop().create_task(self._tell_later())

    async def _tell_later(self) -> None:
        from redis.exceptions import RedisError

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), self._tell_seconds)
        untold, self._untold = self._untold, {}
        try:
            totals = await self._add(untold)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("rates are counted in this process alone, for Redis does not answer: %s", error)
            return
        now = time.time()
        self._own = {place: hits for place, hits in self._own.items() if _current(place, now)}
        self._others = {place: hits for place, hits in self._others.items() if _current(place, now)}
        for (place, hits), total in zip(untold.items(), totals, strict=True):
            self._own[place] = self._own.get(place, 0) + hits
            self._others[place] = max(0, total - self._own[place])

    async def _add(self, untold: dict[_Place, int]) -> list[int]:
        pipe = self._client.pipeline(transaction=False)
        for (kind, key, seconds, number), hits in untold.items():
            name = f"{PREFIX}:{kind}:{key}:{seconds}:{number}"
            pipe.incrby(name, hits)
            pipe.expire(name, 2 * seconds)
        answers = await pipe.execute()
        return [int(total) for total in answers[::2]]

    async def close(self) -> None:
        """What was not told is told now, as far as Redis answers within its time-out."""
        self._closing.set()
        if self._telling is not None:
            # Not cancelled: redis-py loses a connection that is being made.
            await self._telling
        await self._client.aclose()


def _storage(client: Redis) -> RedisStorage:
    from limits.aio.storage import RedisStorage

    # Its own connections would be made with redis-py's time-outs: 20 s for a server that hangs.
    pool: Any = client.connection_pool
    return RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)


def _place(kind: str, key: str, limit: Limit) -> _Place:
    return kind, key, limit.seconds, int(time.time() // limit.seconds)


def _current(place: _Place, now: float) -> bool:
    return place[3] == int(now // place[2])


def _away(kind: str) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"a {kind} cannot be counted: Redis does not answer",
        rule="no password is looked at that is not counted",
        fix="try again; those who are logged in go on. PYNOMALY_SERVICE_RATE_LOGIN_WITHOUT_REDIS=count here lifts this",
        dependency="redis",
        retry_after=5.0,
    )
