"""Counting together in a real Redis, which may hang or be gone."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from pynomaly_pipelines.operations.cache import connect_async
from pynomaly_pipelines.operations.errors import DependencyUnavailable
from pynomaly_pipelines.service.rates.limiter import RateLimiter
from pynomaly_pipelines.service.rates.middleware import RateLimits
from pynomaly_pipelines.service.rates.rules import Kind
from pynomaly_pipelines.service.rates.shared import SharedWindows
from pynomaly_pipelines.service.rates.windows import Limit, Windows
from tests.servers import Redis

LIMITS = dict.fromkeys(Kind, Limit(3, 3600))


def process(redis: Redis, **more: object) -> RateLimiter:
    """The limiter of one of several processes."""
    client = connect_async(redis.url, timeout_seconds=0.25)
    settings = {"tell_seconds": 0.05, **more}
    return RateLimiter(LIMITS, Windows(100), SharedWindows(client, **settings))  # type: ignore[arg-type]


def test_logins_are_counted_exactly_over_all_processes(redis: Redis) -> None:
    async def tries() -> list[bool]:
        several = [process(redis), process(redis)]
        found = await asyncio.gather(*(p.client(Kind.LOGIN, "192.0.2.1") for p in several * 5))
        for each in several:
            assert each.shared is not None
            await each.shared.close()
        return [count.allowed for count in found]

    assert sum(asyncio.run(tries())) == 3


def test_other_requests_are_counted_together_within_the_interval(redis: Redis) -> None:
    async def tries() -> list[bool]:
        one, other = process(redis), process(redis)
        found = [(await one.client(Kind.SCORE, "192.0.2.1")).allowed for _ in range(2)]
        await asyncio.sleep(0.3)
        found.append((await other.client(Kind.SCORE, "192.0.2.1")).allowed)
        await asyncio.sleep(0.3)
        found += [(await other.client(Kind.SCORE, "192.0.2.1")).allowed for _ in range(2)]
        for each in (one, other):
            assert each.shared is not None
            await each.shared.close()
        return found

    assert asyncio.run(tries()) == [True, True, True, False, False]


def test_what_was_not_told_yet_is_told_at_the_end(redis: Redis) -> None:
    async def counted() -> int:
        leaving, staying = process(redis, tell_seconds=3600), process(redis)
        for _ in range(2):
            await leaving.client(Kind.SCORE, "192.0.2.1")
        assert leaving.shared is not None
        await leaving.shared.close()
        await staying.client(Kind.SCORE, "192.0.2.1")
        await asyncio.sleep(0.3)
        last = await staying.client(Kind.SCORE, "192.0.2.1")
        assert staying.shared is not None
        await staying.shared.close()
        return last.remaining

    assert asyncio.run(counted()) == 0


def test_a_server_hears_of_the_end_after_the_last_was_told(redis: Redis) -> None:
    async def told_at_the_end() -> list[str]:
        limiter, seen = process(redis, tell_seconds=3600), []

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await limiter.client(Kind.SCORE, "192.0.2.1")
            await send({"type": "lifespan.shutdown.complete"})

        async def receive() -> Message:
            raise AssertionError

        async def send(message: Message) -> None:
            client = connect_async(redis.url)
            seen.append(f"{message['type']} {len(await client.keys())}")
            await client.aclose()

        await RateLimits(app, limiter)({"type": "lifespan"}, receive, send)
        return seen

    assert asyncio.run(told_at_the_end()) == ["lifespan.shutdown.complete 1"]


def test_while_redis_hangs_scoring_goes_on_and_logins_are_refused(redis: Redis) -> None:
    async def tries() -> list[bool]:
        strict, here = process(redis), process(redis, without_redis="count here")
        redis.hang()
        found = [(await strict.client(Kind.SCORE, "192.0.2.1")).allowed for _ in range(4)]
        with pytest.raises(DependencyUnavailable):
            await strict.client(Kind.LOGIN, "192.0.2.1")
        counted = [(await here.client(Kind.LOGIN, "192.0.2.1")).allowed for _ in range(4)]
        assert counted == [True, True, True, False]
        for each in (strict, here):
            assert each.shared is not None
            await each.shared.close()
        return found

    assert asyncio.run(tries()) == [True, True, True, False]
