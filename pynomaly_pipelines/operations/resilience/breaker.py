"""Calls to one dependency -> the same calls, or an immediate `DependencyUnavailable` while it is known to be down.

One state for threads and tasks alike, on the monotonic clock. The libraries at hand keep one for each of the two
worlds, count calls from several threads without a lock, and let everyone through as soon as the open period is over;
here one caller alone probes, and the others are told to come back (Nygard, Release It!, 2nd ed., chapter 5).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import ParamSpec, TypeVar

from pynomaly_pipelines.operations.errors import DependencyUnavailable
from pynomaly_pipelines.operations.resilience.faults import is_fault
from pynomaly_pipelines.operations.resilience.policies import BreakerRules
from pynomaly_pipelines.operations.resilience.window import Window

P = ParamSpec("P")
T = TypeVar("T")


class State(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    """They go through."""
    HALF_OPEN = "half-open"
    """One goes through, the probe; the others are refused."""
    OPEN = "open"
    """They are refused."""


@dataclass(frozen=True)
class Change:
    """A breaker went from one state to another."""

    dependency: str
    before: State
    after: State
    reason: str


@dataclass(frozen=True)
class BreakerFigures:
    """What a breaker has seen since the process began."""

    dependency: str
    state: State
    calls: int
    """Calls let through."""
    faults: int
    """Those that the dependency failed."""
    refused: int
    """Calls not made because it was open."""
    opened: int
    """How often it opened."""
    retry_after: float
    """Seconds until it is worth asking again; 0 when closed."""
    last_fault: str
    """The last failure, in words."""


@dataclass(frozen=True)
class _Permit:
    """Leave for one call; what comes of it counts only if the breaker has not changed since."""

    era: int
    probe: bool


class Breaker:
    """Guards one dependency. Safe to share between threads and event loops."""

    def __init__(
        self,
        dependency: str,
        rules: BreakerRules,
        *,
        counts: Callable[[BaseException], bool] = is_fault,
        on_change: Callable[[Change], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counts` tells which exceptions are the dependency's fault; the others are its answers."""
        self.dependency = dependency
        self.rules = rules
        self._counts = counts
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._era = 0
        self._ask_again_at = 0.0
        self._in_a_row = 0
        self._window = Window(rules.window_seconds)
        self._calls = self._faults = self._refused = self._opened = 0
        self._last_fault = ""

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(*args, **kwargs)`, once. A time-out is for the function's own client to keep.

        Raises:
            DependencyUnavailable: the breaker is open; the function was not called.
        """
        with self.guard():
            return function(*args, **kwargs)

    async def call_async(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Likewise, awaited for at most `timeout_seconds`.

        Raises:
            DependencyUnavailable: the breaker is open; the function was not called.
            TimeoutError: it took too long, which counts as a fault.
        """
        with self.guard():
            async with asyncio.timeout(self.rules.timeout_seconds):
                return await function(*args, **kwargs)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """One call as a block.

        Raises:
            DependencyUnavailable: the breaker is open; the block does not run.
        """
        permit = self._admit()
        try:
            yield
        except Exception as error:
            self._settle(permit, error if self._counts(error) else None)
            raise
        except BaseException:
            # Cancelled or interrupted: says nothing about the dependency.
            self._abandon(permit)
            raise
        else:
            self._settle(permit, None)

    @property
    def state(self) -> State:
        """Half-open as soon as the next caller would be the probe."""
        with self._lock:
            return self._state_now()

    def figures(self) -> BreakerFigures:
        """What was seen so far."""
        with self._lock:
            return BreakerFigures(
                dependency=self.dependency,
                state=self._state_now(),
                calls=self._calls,
                faults=self._faults,
                refused=self._refused,
                opened=self._opened,
                retry_after=self._retry_after(),
                last_fault=self._last_fault,
            )

    # ---------------------------------------------------------------------------------------------- one call

    def _admit(self) -> _Permit:
        with self._lock:
            if self._state is State.CLOSED:
                self._calls += 1
                return _Permit(self._era, probe=False)
            if self._clock() < self._ask_again_at:
                self._refused += 1
                raise self._unavailable()
            self._calls += 1
            # A probe that never comes back, as of a thread that hangs, must not shut the door for good.
            lease = max(self.rules.timeout_seconds, self.rules.open_seconds)
            change = self._go(State.HALF_OPEN, "the open period is over; one probe is under way", lease)
            permit = _Permit(self._era, probe=True)
        self._tell(change)
        return permit

    def _settle(self, permit: _Permit, fault: Exception | None) -> None:
        with self._lock:
            if fault is not None:
                self._faults += 1
                self._last_fault = f"{type(fault).__name__}: {fault}"[:300]
            change = self._judge(permit, fault is not None) if permit.era == self._era else None
        self._tell(change)

    def _judge(self, permit: _Permit, failed: bool) -> Change | None:
        if permit.probe:
            return self._open("the probe failed") if failed else self._close()
        self._in_a_row = self._in_a_row + 1 if failed else 0
        calls, faults = self._window.add(self._clock(), failed)
        if self._in_a_row >= self.rules.failures:
            return self._open(f"{self._in_a_row} calls in a row failed")
        if failed and calls >= self.rules.calls and faults >= self.rules.rate * calls:
            return self._open(f"{faults} of {calls} calls within {self.rules.window_seconds:g} s failed")
        return None

    def _abandon(self, permit: _Permit) -> None:
        if not permit.probe:
            return
        with self._lock:
            change = self._go(State.OPEN, "the probe was cancelled", 0.0) if permit.era == self._era else None
        self._tell(change)

    # ------------------------------------------------------------------------------------------------- states

    def _open(self, reason: str) -> Change | None:
        self._opened += 1
        return self._go(State.OPEN, reason, self.rules.open_seconds)

    def _close(self) -> Change | None:
        self._in_a_row = 0
        self._window.clear()
        return self._go(State.CLOSED, "the probe succeeded", 0.0)

    def _go(self, after: State, reason: str, wait: float) -> Change | None:
        before, self._state = self._state, after
        self._era += 1
        self._ask_again_at = self._clock() + wait
        return Change(self.dependency, before, after, reason) if before is not after else None

    def _state_now(self) -> State:
        over = self._state is State.OPEN and self._clock() >= self._ask_again_at
        return State.HALF_OPEN if over else self._state

    def _retry_after(self) -> float:
        return 0.0 if self._state is State.CLOSED else max(0.0, self._ask_again_at - self._clock())

    def _unavailable(self) -> DependencyUnavailable:
        wait = self._retry_after()
        return DependencyUnavailable(
            f"{self.dependency} is down: {self._last_fault}",
            rule=f"after repeated failures it is left alone; the next try is due in {wait:.1f} s",
            fix=f"bring {self.dependency} back; `pynomaly health` tells what each part says",
            dependency=self.dependency,
            retry_after=wait,
        )

    def _tell(self, change: Change | None) -> None:
        # Outside the lock: a listener may ask for figures.
        if change is not None:
            self._on_change(change)
