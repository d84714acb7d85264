"""Requests of a key in the last N seconds, counted in this process.

A sliding window of two counters (the approximation that large proxies use): what came in the current window, and what
came in the one before, weighted by how much of it still lies within the last N seconds. Three numbers a key, a bounded
number of keys, no thread: a hit is a few hundred nanoseconds.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """So many requests in so many seconds."""

    requests: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Count:
    """Where a key stands after a request."""

    allowed: bool
    remaining: int
    """Requests that would still be let in now."""
    reset_seconds: int
    """Until the current window ends; for a refused request, until another has room."""


class Windows:
    """Counters by key. The key used longest ago is forgotten when there are too many."""

    def __init__(self, most_keys: int, clock: Callable[[], float] = time.time) -> None:
        self._most_keys = most_keys
        self._clock = clock
        # key -> [number of the window, hits in it, hits in the one before]
        self._counters: OrderedDict[tuple[str, str], list[int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counters)

    def hit(self, kind: str, key: str, limit: Limit, elsewhere: int = 0) -> Count:
        """Count a request, unless it is over the limit.

        Args:
            kind: class of requests; each has counters of its own.
            key: client or account.
            limit: what holds for it.
            elsewhere: hits that other processes counted in this window.
        """
        number, into = divmod(self._clock(), limit.seconds)
        counter = self._counter((kind, key), int(number))
        before = counter[2] * (1 - into / limit.seconds)
        used = math.floor(before) + counter[1] + elsewhere
        if used >= limit.requests:
            return Count(False, 0, _until_room(counter, limit, into, elsewhere))
        counter[1] += 1
        return Count(True, limit.requests - used - 1, math.ceil(limit.seconds - into))

    def _counter(self, place: tuple[str, str], number: int) -> list[int]:
        counter = self._counters.get(place)
        if counter is None:
            if len(self._counters) >= self._most_keys:
                self._counters.popitem(last=False)
            counter = self._counters[place] = [number, 0, 0]
            return counter
        self._counters.move_to_end(place)
        if counter[0] != number:
            counter[:] = [number, 0, counter[1] if counter[0] == number - 1 else 0]
        return counter


def _until_room(counter: list[int], limit: Limit, into: float, elsewhere: int) -> int:
    """Seconds until a request would be let in, if none comes before."""
    _, current, before = counter
    free = limit.requests - current - elsewhere
    if free > 0 and before:
        # before × (1 − t/seconds) < free, solved for t.
        return max(1, math.ceil(limit.seconds * (1 - free / before) - into))
    # In the next window the current one is what lies before.
    hits = current + elsewhere
    return max(1, math.ceil(limit.seconds - into + limit.seconds * max(0.0, 1 - limit.requests / max(hits, 1))))
