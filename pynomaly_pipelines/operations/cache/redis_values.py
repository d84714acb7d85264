"""Bytes in a Redis that may be refused, hung or empty: each call is short, none is made while it is known to be down.

redis-py's own defaults would wait for 20 s for a hung server and repeat a refused connection for seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pynomaly_pipelines.operations.cache.figures import Counter
from pynomaly_pipelines.operations.errors import DependencyUnavailable
from pynomaly_pipelines.operations.resilience import Breaker, breaker

if TYPE_CHECKING:
    import redis
    import redis.asyncio

T = TypeVar("T")
log = logging.getLogger(__name__)
DEPENDENCY = "redis"
MOST_CONNECTIONS = 256
# Deletes a lock only for the one who holds it: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
_UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


def connect(url: str, *, timeout_seconds: float | None = None) -> redis.Redis:
    """A client for threads: one try, within the time-out. What others build on Redis starts from it too."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **_options(timeout_seconds))


def connect_async(url: str, *, timeout_seconds: float | None = None) -> redis.asyncio.Redis:
    """A client for the tasks of one event loop, likewise."""
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return redis.asyncio.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **_options(timeout_seconds))


def _options(timeout_seconds: float | None) -> dict[str, Any]:
    from redis.maint_notifications import MaintNotificationsConfig

    seconds = breaker(DEPENDENCY).rules.timeout_seconds if timeout_seconds is None else timeout_seconds
    return {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "max_connections": MOST_CONNECTIONS,
        # On by default, it lets a server lengthen our time-outs.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


class RedisValues:
    """Get, set and lock, for threads and for tasks. Failures are counted and answered as "not there"."""

    def __init__(self, url: str, counter: Counter) -> None:
        self._url = url
        self._counter = counter
        self._client: redis.Redis | None = None
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()
        self._said = ""

    def get(self, key: str) -> bytes | None:
        """The value; None if there is none or Redis is away."""
        found: bytes | None = self._try(lambda client: client.get(key), None)
        return found

    def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long, if Redis can."""
        self._try(lambda client: client.set(key, value, px=_milliseconds(seconds)), None)

    def lock(self, key: str, token: str, seconds: float) -> bool:
        """Whether the caller may go on alone: it has the lock, or there is nobody to ask for one."""
        length = _milliseconds(seconds)
        return bool(self._try(lambda client: client.set(key, token, nx=True, px=length), True))

    def unlock(self, key: str, token: str) -> None:
        """Give it back, if it is still the caller's."""
        self._try(lambda client: client.eval(_UNLOCK, 1, key, token), None)

    def publish(self, channel: str, message: bytes) -> None:
        """Tell who listens."""
        self._try(lambda client: client.publish(channel, message), None)

    async def get_async(self, key: str) -> bytes | None:
        """The value; None if there is none or Redis is away."""
        found: bytes | None = await self._try_async(lambda client: client.get(key), None)
        return found

    async def set_async(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long, if Redis can."""
        await self._try_async(lambda client: client.set(key, value, px=_milliseconds(seconds)), None)

    async def lock_async(self, key: str, token: str, seconds: float) -> bool:
        """Whether the caller may go on alone: it has the lock, or there is nobody to ask for one."""
        length = _milliseconds(seconds)
        return bool(await self._try_async(lambda client: client.set(key, token, nx=True, px=length), True))

    async def unlock_async(self, key: str, token: str) -> None:
        """Give it back, if it is still the caller's."""
        await self._try_async(lambda client: client.eval(_UNLOCK, 1, key, token), None)

    def close(self) -> None:
        """Let go of the threads' connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def close_async(self) -> None:
        """Let go of the connections of this event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _try(self, ask: Callable[[redis.Redis], Any], otherwise: T) -> Any | T:
        from redis.exceptions import RedisError

        began = time.perf_counter()
        try:
            return self._breaker().call(ask, self._for_threads())
        except (RedisError, DependencyUnavailable, OSError) as error:
            self._missed(error)
            return otherwise
        finally:
            self._counter.add(redis_calls=1, redis_seconds=time.perf_counter() - began)

    async def _try_async(self, ask: Callable[[redis.asyncio.Redis], Awaitable[Any]], otherwise: T) -> Any | T:
        from redis.exceptions import RedisError

        began = time.perf_counter()
        try:
            return await self._breaker().call_async(ask, self._for_tasks())
        except (RedisError, DependencyUnavailable, OSError) as error:
            self._missed(error)
            return otherwise
        finally:
            self._counter.add(redis_calls=1, redis_seconds=time.perf_counter() - began)

    def _breaker(self) -> Breaker:
        return breaker(DEPENDENCY)

    def _missed(self, error: Exception) -> None:
        self._counter.add(redis_failures=1)
        # The breaker tells of a Redis that is down; this of one that refuses, as for a wrong password or a full memory.
        said = type(error).__name__
        if not isinstance(error, DependencyUnavailable) and said != self._said:
            self._said = said
            log.warning("Redis is not used: %s: %s", said, error)

    def _for_threads(self) -> redis.Redis:
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = connect(self._url)
        return self._client

    def _for_tasks(self) -> redis.asyncio.Redis:
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            with self._lock:
                found = self._clients[loop] = connect_async(self._url)
        return found


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
