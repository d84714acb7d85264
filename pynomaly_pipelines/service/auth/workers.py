"""Work that hashes passwords -> a few threads, and a queue with an end.

The memory and the processor time that logins can take are bounded by the number of threads, whoever asks how often;
requests that score rows go on beside them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pynomaly_pipelines.operations.errors import TooManyRequests

_T = TypeVar("_T")


class Workers:
    """A bounded pool."""

    def __init__(self, threads: int, queue: int) -> None:
        """No thread is started yet."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._places = threading.BoundedSemaphore(threads + queue)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Its result, from one of the threads.

        Raises:
            TooManyRequests: too much is waiting.
        """
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            waiting = self._pool.submit(work)
        except RuntimeError:
            self._places.release()
            raise
        # The place is free when the work ends, not when a client stops waiting for it.
        waiting.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(waiting)

    def close(self) -> None:
        """Let what runs end; drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _busy() -> TooManyRequests:
    error = TooManyRequests(
        "too many logins at the same time", rule="a worker hashes few passwords at a time", fix="try again in a moment"
    )
    error.retry_after = 2.0
    return error
