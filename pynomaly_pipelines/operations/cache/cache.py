"""Values that cost something to make -> kept for a while, believed until one of their tags is invalidated.

Two places: this process, and Redis if there is one. `get_or_compute` computes a value once, however many ask for it in
how many processes. Everything goes on without Redis: each process then keeps its own copies.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pynomaly_pipelines import __version__
from pynomaly_pipelines.operations.cache.entry import Entry
from pynomaly_pipelines.operations.cache.figures import CacheFigures, Counter
from pynomaly_pipelines.operations.cache.flights import Abandoned, Flights
from pynomaly_pipelines.operations.cache.following import Following
from pynomaly_pipelines.operations.cache.generations import Generations, SqlGenerations
from pynomaly_pipelines.operations.cache.memory import Memory
from pynomaly_pipelines.operations.cache.notices import Notices, write_notice
from pynomaly_pipelines.operations.cache.redis_values import RedisValues
from pynomaly_pipelines.operations.cache.settings import CacheSettings
from pynomaly_pipelines.operations.cache.steps import (
    Compute,
    Fetch,
    Join,
    Keep,
    Lock,
    Pause,
    Procedure,
    Unlock,
    drive,
    drive_async,
)

log = logging.getLogger(__name__)
FORMAT = "1"
"""Of keys and entries; another one makes all older entries invisible."""
LONGEST_KEY = 200
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1
"""Seconds between looks for what another process computes."""


@dataclass(frozen=True)
class _Wanted:
    """One value that somebody asks for."""

    key: str
    """As in Redis."""
    ttl: float
    stamp: Mapping[str, int]

    @property
    def flight(self) -> str:
        """Who asks after an invalidation must not get what was begun before it."""
        return f"{self.key}|{sorted(self.stamp.items())}"

    @property
    def lock(self) -> str:
        """Likewise between processes."""
        return f"{self.key}:lock:{hashlib.blake2b(self.flight.encode(), digest_size=8).hexdigest()}"


class Cache:
    """Bytes by key. Safe to share between threads and event loops."""

    def __init__(
        self,
        settings: CacheSettings,
        *,
        generations: Generations | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        """Connects to nothing yet. `chance` is uniform in [0, 1): it decides who refreshes early."""
        self.settings = settings
        self._counter = Counter()
        self._memory = Memory(settings.memory_bytes)
        self._flights = Flights()
        self._chance = chance or secrets.SystemRandom().random
        self._prefix = f"{settings.name}:{FORMAT}:{__version__}:"
        self._channel = f"{settings.name}:{FORMAT}:invalidated"
        self._listeners: list[Callable[[Sequence[str]], None]] = []
        self._generations = generations or SqlGenerations(settings.generations_url)
        self._following = Following(
            self._generations,
            poll_seconds=settings.poll_seconds,
            unknown_after_seconds=settings.unknown_after_seconds,
            on_news=self._invalidated,
        )
        self._redis = RedisValues(settings.redis_url, self._counter) if settings.redis_url else None
        self._notices: Notices | None = None
        self._starting = threading.Lock()

    # ------------------------------------------------------------------------------------------------- values

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none that can be believed."""
        self.start()
        return drive(self._get(self._name(key)), self._redis, _nothing)

    async def get_async(self, key: str) -> bytes | None:
        """The value, or None where there is none that can be believed."""
        await self.start_async()
        return await drive_async(self._get(self._name(key)), self._redis, _nothing_async)

    def set(self, key: str, value: bytes, *, ttl: float, tags: Collection[str] = ()) -> None:
        """Keep a value for `ttl` seconds, or until one of its tags is invalidated.

        What takes long to make belongs into `get_or_compute`: it knows what was invalidated while it was made.
        """
        self.start()
        drive(self._set(key, value, ttl, tags), self._redis, _nothing)

    async def set_async(self, key: str, value: bytes, *, ttl: float, tags: Collection[str] = ()) -> None:
        """Likewise."""
        await self.start_async()
        await drive_async(self._set(key, value, ttl, tags), self._redis, _nothing_async)

    def get_or_compute(
        self, key: str, compute: Callable[[], bytes], *, ttl: float, tags: Collection[str] = ()
    ) -> bytes:
        """The value, or what `compute()` returns, which is then kept for `ttl` seconds.

        It is computed by one caller at a time, in all processes that share a Redis; the others wait for it. Shortly
        before it expires one of the callers computes it anew while the others still get the old one.
        """
        self.start()
        return drive(self._get_or_compute(key, ttl, tags), self._redis, compute)

    async def get_or_compute_async(
        self, key: str, compute: Callable[[], Awaitable[bytes]], *, ttl: float, tags: Collection[str] = ()
    ) -> bytes:
        """Likewise; `compute` is awaited."""
        await self.start_async()
        return await drive_async(self._get_or_compute(key, ttl, tags), self._redis, compute)

    # ------------------------------------------------------------------------------------------- invalidation

    def invalidate(self, *tags: str) -> None:
        """From its return on, nothing made under these tags before is believed: here at once, elsewhere by a notice.

        A process that hears no notice finds out within `poll_seconds`. For programs that only invalidate, nothing else
        of the cache is started.

        Raises:
            DependencyUnavailable, sqlalchemy.exc.OperationalError: the database of generations can't be written.
        """
        news = self._generations.advance(tags)
        self._counter.add(invalidations=len(news))
        self._following.learn(news)
        if self._redis is not None:
            self._redis.publish(self._channel, write_notice(news))

    async def invalidate_async(self, *tags: str) -> None:
        """Likewise."""
        import asyncio

        await asyncio.to_thread(self.invalidate, *tags)

    def generation(self, tag: str) -> int:
        """Grows with each invalidation of the tag; 0 if there was none. From memory: cheap enough for each request.

        For what can't be kept as bytes, as a loaded model: keep the generation beside it and compare.
        """
        if not self._following.started:
            self.start()
        return self._following.generation(tag)

    def listen(self, listener: Callable[[Sequence[str]], None]) -> None:
        """Have it called with tags that were invalidated, here or elsewhere; in the thread that learnt of it."""
        self._listeners.append(listener)

    # -------------------------------------------------------------------------------------------- running it

    def start(self) -> None:
        """Begin to follow invalidations; the first use does it too."""
        if self._following.started:
            return
        with self._starting:
            self._following.start()
            if self._redis is not None and self._notices is None:
                self._notices = Notices(
                    self.settings.redis_url,
                    self._channel,
                    on_notice=self._following.learn,
                    on_connected=self._following.try_to_look,
                    pause_seconds=self.settings.poll_seconds,
                )
                self._notices.start()

    async def start_async(self) -> None:
        """Likewise, without blocking the event loop."""
        if not self._following.started:
            import asyncio

            await asyncio.to_thread(self.start)

    def close(self) -> None:
        """Stop following and let go of connections."""
        self._following.stop()
        if self._notices is not None:
            self._notices.stop()
        if self._redis is not None:
            self._redis.close()
        self._generations.close()

    async def close_async(self) -> None:
        """Likewise, with the connections of this event loop."""
        import asyncio

        if self._redis is not None:
            await self._redis.close_async()
        await asyncio.to_thread(self.close)

    def figures(self) -> CacheFigures:
        """What it did since the process began."""
        kept = self._memory.figures()
        return self._counter.figures(entries=kept.entries, bytes=kept.bytes, evicted=kept.evicted)

    def seconds_behind(self) -> float:
        """Since it was last known what was invalidated; infinite before the start."""
        return self._following.seconds_behind()

    # --------------------------------------------------------------------------------------------- procedures

    def _get(self, key: str) -> Procedure[bytes | None]:
        found = yield from self._find(key)
        return None if found is None else found.value

    def _set(self, key: str, value: bytes, ttl: float, tags: Collection[str]) -> Procedure[None]:
        stamp = self._following.stamp(tags)
        if stamp is None:
            self._counter.add(bypassed=1)
            return
        yield from self._store(self._name(key), Entry(value, time.time() + ttl, 0.0, stamp))

    def _get_or_compute(self, key: str, ttl: float, tags: Collection[str]) -> Procedure[bytes]:
        stamp = self._following.stamp(tags)
        if stamp is None:
            self._counter.add(bypassed=1)
            return (yield from _computed())
        wanted = _Wanted(self._name(key), ttl, stamp)
        found = yield from self._find(wanted.key)
        if found is not None and not found.due(1.0 - self._chance()):
            return found.value
        return (yield from self._fly(wanted, found))

    def _find(self, key: str) -> Procedure[Entry | None]:
        """In this process, then in Redis; counted."""
        found = self._believed(self._memory.get(key))
        if found is not None:
            self._counter.add(memory_hits=1)
            return found
        self._memory.drop(key)
        found = yield from self._fetch(key)
        self._counter.add(**{"misses" if found is None else "redis_hits": 1})
        return found

    def _fetch(self, key: str) -> Procedure[Entry | None]:
        if self._redis is None:
            return None
        data = yield Fetch(key)
        found = self._believed(None if data is None else Entry.from_bytes(data))
        if found is not None:
            self._memory.put(key, found)
        return found

    def _fly(self, wanted: _Wanted, old: Entry | None) -> Procedure[bytes]:
        """Compute it, unless somebody does already: then wait for that, or make do with the old one."""
        while True:
            flight, pilot = self._flights.board(wanted.flight)
            if pilot:
                return (yield from self._pilot(wanted, old))
            if old is not None:
                return old.value
            try:
                value: bytes = yield Join(flight, self.settings.lock_seconds)
            except Abandoned:
                continue
            except TimeoutError:
                if flight.done():
                    raise
                # Whoever computes it takes too long: two at a time are better than none.
                return (yield from _computed())
            self._counter.add(joined=1)
            return value

    def _pilot(self, wanted: _Wanted, old: Entry | None) -> Procedure[bytes]:
        try:
            value: bytes = yield from self._agree(wanted, old)
        except BaseException as error:
            self._flights.crash(wanted.flight, error)
            if old is not None and isinstance(error, Exception):
                log.warning("%s could not be refreshed ahead of time: %s", wanted.key, error)
                return old.value
            raise
        self._flights.land(wanted.flight, value)
        return value

    def _agree(self, wanted: _Wanted, old: Entry | None) -> Procedure[bytes]:
        """Between processes: the one with the lock computes, the others look whether it is there yet."""
        just_landed = None if old is not None else self._believed(self._memory.get(wanted.key))
        if just_landed is not None:
            return just_landed.value
        if self._redis is None:
            return (yield from self._compute(wanted, early=old is not None))
        token, pause = secrets.token_hex(8), FIRST_PAUSE
        while not (yield Lock(wanted.lock, token, self.settings.lock_seconds)):
            if old is not None:
                return old.value
            yield Pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            found = yield from self._fetch(wanted.key)
            if found is not None:
                self._counter.add(waited=1)
                return found.value
        try:
            # It may have come between the look and the lock.
            found = None if old is not None else (yield from self._fetch(wanted.key))
            return found.value if found is not None else (yield from self._compute(wanted, early=old is not None))
        finally:
            yield Unlock(wanted.lock, token)

    def _compute(self, wanted: _Wanted, *, early: bool) -> Procedure[bytes]:
        began = time.perf_counter()
        value = yield from _computed()
        seconds = time.perf_counter() - began
        self._counter.add(computed=1, compute_seconds=seconds, refreshed_early=int(early))
        # Under the generations of its beginning: what was invalidated meanwhile makes it unbelievable at once.
        yield from self._store(wanted.key, Entry(value, time.time() + wanted.ttl, seconds, wanted.stamp))
        return value

    def _store(self, key: str, entry: Entry) -> Procedure[None]:
        if len(entry.value) > self.settings.value_bytes:
            self._counter.add(too_large=1)
            return
        self._memory.put(key, entry)
        if self._redis is not None:
            yield Keep(key, entry.to_bytes(), entry.expires - time.time())

    # ------------------------------------------------------------------------------------------------ helpers

    def _believed(self, entry: Entry | None) -> Entry | None:
        """The entry if it is neither expired nor invalidated, as far as is known."""
        if entry is None or not entry.alive():
            return None
        if not entry.stamp:
            return entry
        # Made under a generation that this process has not heard of: now it has.
        self._following.learn(entry.stamp)
        known = self._following.stamp(entry.stamp)
        if known is None or known != entry.stamp:
            self._counter.add(stale=known is not None)
            return None
        return entry

    def _invalidated(self, tags: Sequence[str]) -> None:
        for tag in tags:
            self._memory.drop_tagged(tag)
        for listener in self._listeners:
            listener(tags)

    def _name(self, key: str) -> str:
        # Hashed where it is long: keys may hold what users wrote.
        short = key if len(key) <= LONGEST_KEY else hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
        return self._prefix + short


def _computed() -> Procedure[bytes]:
    value: bytes = yield Compute()
    return value


def _nothing() -> bytes:
    raise AssertionError("getting and setting compute nothing")


async def _nothing_async() -> bytes:
    raise AssertionError("getting and setting compute nothing")
