"""Where a request's work is done: small ones at once, larger ones in a few threads beside the event loop.

A row takes the loop some tens of microseconds, less than handing it to a thread costs. A thousand rows take
milliseconds, in which no other request would be answered; the compiled kernels let other threads run meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pynomaly_pipelines.operations.errors import TooManyRequests

T = TypeVar("T")

INLINE_BYTES = 16_384
"""Bodies up to this size are read on the loop: a tenth of a millisecond."""


class Workers:
    """Some threads for large requests, and a bound on those that wait for one."""

    def __init__(self, threads: int, queue: int, inline_seconds: float) -> None:
        self._threads, self._most = threads, threads + queue
        self._inline_seconds = inline_seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")
        self._taken = 0

    def at_once(self, seconds: float) -> bool:
        """Whether work of that length is better done on the loop."""
        return seconds <= self._inline_seconds

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, done in a thread.

        Raises:
            TooManyRequests: too many wait already.
        """
        if self._taken >= self._most:
            raise _busy(self._taken)
        self._taken += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        # Until it is done, not until somebody stops waiting: a request that is given up still holds its thread.
        future.add_done_callback(self._free)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _free(self, _done: asyncio.Future[T]) -> None:
        self._taken -= 1


def _busy(taken: int) -> TooManyRequests:
    error = TooManyRequests(
        f"{taken} large requests are at work or wait already",
        rule="PYNOMALY_SERVICE_SCORE_THREADS and …_SCORE_QUEUE bound them",
        fix="try again in a second, send fewer rows at once, or raise the settings",
    )
    error.retry_after = 1.0
    return error
