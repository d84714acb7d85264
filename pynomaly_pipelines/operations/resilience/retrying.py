"""A call that may be repeated -> repeated after transient faults, with growing pauses, within a budget.

Each attempt passes the breaker. Only for calls that are safe to repeat: reads, and writes that change nothing the
second time. Pauses are exponential with jitter, and a budget keeps a failing server from a storm: a share of the calls,
plus a reserve for those who make few (Beyer et al., Site Reliability Engineering, chapter 22).
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from pynomaly_pipelines.operations.resilience.breaker import Breaker
from pynomaly_pipelines.operations.resilience.faults import is_transient
from pynomaly_pipelines.operations.resilience.policies import RetryRules

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class RetryFigures:
    """What was repeated since the process began."""

    dependency: str
    calls: int
    """Calls asked for, each counted once."""
    retries: int
    """Attempts beyond the first."""
    over_budget: int
    """Calls given up before their last attempt, because too many others were being repeated."""


class Budget:
    """Repeated calls allowed: `ratio` for each call, and at most `reserve` saved up."""

    def __init__(self, rules: RetryRules) -> None:
        self._ratio = rules.ratio
        self._most = float(rules.reserve)
        self._saved = self._most
        self._lock = threading.Lock()

    def earn(self) -> None:
        """One call was asked for."""
        with self._lock:
            # At least one whole try can be saved up, or a ratio without a reserve would never allow any.
            self._saved = min(self._saved + self._ratio, max(self._most, 1.0))

    def spend(self) -> bool:
        """Take leave for one repeated call; False when there is none left."""
        with self._lock:
            # Ten times 0.1 is a little less than 1.
            if self._saved < 1.0 - 1e-9:
                return False
            self._saved -= 1.0
            return True


class Retrying:
    """Repeats calls to one dependency. Safe to share between threads and event loops."""

    def __init__(
        self, breaker: Breaker, rules: RetryRules, *, repeats: Callable[[BaseException], bool] = is_transient
    ) -> None:
        """`repeats` tells which exceptions another attempt may mend."""
        self.rules = rules
        self._breaker = breaker
        self._repeats = repeats
        self._budget = Budget(rules)
        self._lock = threading.Lock()
        self._calls = self._retries = self._over_budget = 0

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(*args, **kwargs)`, until it succeeds, its error is none to repeat, or attempts or budget run out.

        Raises:
            DependencyUnavailable: the breaker is or went open.
        """
        for pause in self._pauses():
            try:
                return self._breaker.call(function, *args, **kwargs)
            except Exception as error:
                if not self._again(error):
                    raise
            time.sleep(pause)
        return self._breaker.call(function, *args, **kwargs)

    async def call_async(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Likewise, awaited; each attempt for at most `timeout_seconds`."""
        for pause in self._pauses():
            try:
                return await self._breaker.call_async(function, *args, **kwargs)
            except Exception as error:
                if not self._again(error):
                    raise
            await asyncio.sleep(pause)
        return await self._breaker.call_async(function, *args, **kwargs)

    def figures(self) -> RetryFigures:
        """What was repeated so far."""
        with self._lock:
            return RetryFigures(self._breaker.dependency, self._calls, self._retries, self._over_budget)

    def _pauses(self) -> Iterator[float]:
        """Seconds after each attempt but the last."""
        self._budget.earn()
        with self._lock:
            self._calls += 1
        chance = secrets.SystemRandom()
        for repeated in range(self.rules.attempts - 1):
            pause = self.rules.wait_seconds * 2.0**repeated + chance.uniform(0.0, self.rules.jitter_seconds)
            yield min(pause, self.rules.wait_max_seconds)

    def _again(self, error: Exception) -> bool:
        """Whether to ask once more; counted."""
        if not self._repeats(error):
            return False
        allowed = self._budget.spend()
        with self._lock:
            self._retries += allowed
            self._over_budget += not allowed
        return allowed
