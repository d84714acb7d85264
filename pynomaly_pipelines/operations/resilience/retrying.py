"""A call that may be repeated -> repeated after transient faults, with growing pauses, within a budget.

Each attempt passes the breaker. Only for calls that are safe to repeat: reads, and writes that change nothing the
second time. Pauses are exponential with jitter, and a budget keeps a failing server from a storm: a share of the calls,
plus a reserve for those who make few (Beyer et al., Site Reliability Engineering, chapter 22).
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

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
        import stamina

        self._begin()
        for attempt in stamina.retry_context(**self._how()):
            with attempt:
                return self._breaker.call(function, *args, **kwargs)
        raise AssertionError("the last attempt returns or raises")

    async def call_async(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Likewise, awaited; each attempt for at most `timeout_seconds`."""
        import stamina

        self._begin()
        async for attempt in stamina.retry_context(**self._how()):
            with attempt:
                return await self._breaker.call_async(function, *args, **kwargs)
        raise AssertionError("the last attempt returns or raises")

    def figures(self) -> RetryFigures:
        """What was repeated so far."""
        with self._lock:
            return RetryFigures(self._breaker.dependency, self._calls, self._retries, self._over_budget)

    def _begin(self) -> None:
        self._budget.earn()
        with self._lock:
            self._calls += 1

    def _how(self) -> dict[str, Any]:
        made = 0

        def again(error: Exception) -> bool:
            nonlocal made
            made += 1
            # Asked after the last attempt too, where there is nothing to allow.
            return made < self.rules.attempts and self._repeats(error) and self._allowed()

        return {
            "on": again,
            "attempts": self.rules.attempts,
            "timeout": None,
            "wait_initial": self.rules.wait_seconds,
            "wait_max": self.rules.wait_max_seconds,
            "wait_jitter": self.rules.jitter_seconds,
        }

    def _allowed(self) -> bool:
        allowed = self._budget.spend()
        with self._lock:
            self._retries += allowed
            self._over_budget += not allowed
        return allowed
