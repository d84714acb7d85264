"""What obtaining a value asks of the outside, so that one procedure serves threads and tasks.

The procedure is a generator that yields these and is sent the answers; one driver does them with calls that block, the
other with calls that are awaited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from pynomaly_pipelines.operations.cache.redis_values import RedisValues

T = TypeVar("T")


@dataclass(frozen=True)
class Fetch:
    """Answer: the bytes in Redis, or None."""

    key: str


@dataclass(frozen=True)
class Keep:
    """Put bytes into Redis."""

    key: str
    value: bytes
    seconds: float


@dataclass(frozen=True)
class Lock:
    """Answer: whether to go on alone."""

    key: str
    token: str
    seconds: float


@dataclass(frozen=True)
class Unlock:
    """Give a lock back."""

    key: str
    token: str


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Join:
    """Answer: what another caller of this process computes.

    Raises TimeoutError if it takes longer.
    """

    flight: Future[bytes]
    seconds: float


@dataclass(frozen=True)
class Compute:
    """Answer: the value, from the function that the caller gave."""


Step = Fetch | Keep | Lock | Unlock | Pause | Join | Compute
Procedure = Generator[Step, Any, T]


def drive(procedure: Procedure[T], redis: RedisValues | None, compute: Callable[[], bytes]) -> T:
    """Take the steps in this thread."""
    try:
        step = next(procedure)
        while True:
            try:
                answer = _take(step, redis, compute)
            except BaseException as error:  # noqa: BLE001 (it is the procedure's to handle)
                step = procedure.throw(error)
            else:
                step = procedure.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found


async def drive_async(procedure: Procedure[T], redis: RedisValues | None, compute: Callable[[], Awaitable[bytes]]) -> T:
    """Take the steps in this task."""
    try:
        step = next(procedure)
        while True:
            try:
                answer = await _take_async(step, redis, compute)
            except BaseException as error:  # noqa: BLE001 (it is the procedure's to handle)
                step = procedure.throw(error)
            else:
                step = procedure.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found


def _take(step: Step, redis: RedisValues | None, compute: Callable[[], bytes]) -> Any:
    match step:
        case Compute():
            return compute()
        case Pause(seconds):
            return time.sleep(seconds)
        case Join(flight, seconds):
            return flight.result(seconds)
    assert redis is not None
    match step:
        case Fetch(key):
            return redis.get(key)
        case Keep(key, value, seconds):
            return redis.set(key, value, seconds)
        case Lock(key, token, seconds):
            return redis.lock(key, token, seconds)
        case Unlock(key, token):
            return redis.unlock(key, token)


async def _take_async(step: Step, redis: RedisValues | None, compute: Callable[[], Awaitable[bytes]]) -> Any:
    match step:
        case Compute():
            return await compute()
        case Pause(seconds):
            return await asyncio.sleep(seconds)
        case Join(flight, seconds):
            return await asyncio.wait_for(asyncio.wrap_future(flight), seconds)
    assert redis is not None
    match step:
        case Fetch(key):
            return await redis.get_async(key)
        case Keep(key, value, seconds):
            return await redis.set_async(key, value, seconds)
        case Lock(key, token, seconds):
            return await redis.lock_async(key, token, seconds)
        case Unlock(key, token):
            return await redis.unlock_async(key, token)
