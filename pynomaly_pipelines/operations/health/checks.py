"""One check -> its result within its time-out, whatever it does.

A check runs in a thread of its own, at most one at a time. One that hangs is left behind, and until it returns each
probe is told so at once; no further thread is started for it. Results younger than a second are given again, and probes
that come at the same time share one run: a storm of probes is not a storm of checks.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime

from pynomaly_pipelines.operations.health.findings import CheckResult, Finding, Status

CheckFunction = Callable[[], Finding | None] | Callable[[], Awaitable[Finding | None]]
"""Returns what it found, or None if all is well; raises if it fails. Plain or async."""
KEPT_SECONDS = 1.0


@dataclass(frozen=True)
class _Run:
    """A check under way."""

    began: float
    outcome: Future[CheckResult]


class Check:
    """A named check with a time-out."""

    def __init__(self, name: str, function: CheckFunction, *, timeout: float = 2.0, critical: bool = False) -> None:
        """`timeout` in seconds; the failure of a `critical` check makes the service not ready."""
        self.name = name
        self.timeout = timeout
        self.critical = critical
        self._function = function
        self._lock = threading.Lock()
        self._running: _Run | None = None
        self._last: tuple[float, CheckResult] | None = None
        self._task: asyncio.Future[None] | None = None

    async def result(self) -> CheckResult:
        """The result, not older than a second."""
        found = self._begin()
        if isinstance(found, CheckResult):
            return found
        left = found.began + self.timeout - time.monotonic()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(found.outcome), max(left, 0))
        except TimeoutError:
            return self._overdue(found)

    def _begin(self) -> _Run | CheckResult:
        """The run under way, or a new one; or the last result if it is young."""
        with self._lock:
            if self._running is not None:
                return self._running
            if self._last is not None and time.monotonic() - self._last[0] < KEPT_SECONDS:
                return self._last[1]
            run = self._running = _Run(time.monotonic(), Future())
        # Once running it can't be cancelled: a probe that goes away must not take the others' run with it.
        run.outcome.set_running_or_notify_cancel()
        if inspect.iscoroutinefunction(self._function):
            # On the caller's loop, to which its connections belong; the loop itself holds tasks only weakly.
            self._task = asyncio.ensure_future(self._work_async(run))
        else:
            threading.Thread(target=self._work, args=(run,), name=f"health-{self.name}", daemon=True).start()
        return run

    async def _work_async(self, run: _Run) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                found = self._function()
                finding = await found if inspect.isawaitable(found) else found
        except asyncio.CancelledError:
            self._finish(run, self._failed("interrupted"))
            raise
        except TimeoutError:
            self._finish(run, self._failed(f"no answer within {self.timeout:g} s"))
        except Exception as error:  # noqa: BLE001 (whatever it raises is the finding)
            self._finish(run, self._failed(_told(error)))
        else:
            self._finish(run, finding)

    def _work(self, run: _Run) -> None:
        try:
            finding = self._function()
        except Exception as error:  # noqa: BLE001 (whatever it raises is the finding)
            self._finish(run, self._failed(_told(error)))
        else:
            self._finish(run, finding)

    def _finish(self, run: _Run, finding: object) -> None:
        if not isinstance(finding, Finding):
            wrong = self._failed(f"the check returned {finding!r}; it returns ok(…), degraded(…), failed(…) or None")
            finding = Finding(Status.OK) if finding is None else wrong
        result = self._as_result(finding, time.monotonic() - run.began)
        with self._lock:
            self._running, self._last = None, (time.monotonic(), result)
        run.outcome.set_result(result)

    def _overdue(self, run: _Run) -> CheckResult:
        taken = time.monotonic() - run.began
        return self._as_result(self._failed(f"no answer within {self.timeout:g} s; asked {taken:.1f} s ago"), taken)

    def _failed(self, message: str) -> Finding:
        return Finding(Status.FAILED, message)

    def _as_result(self, finding: Finding, seconds: float) -> CheckResult:
        return CheckResult(
            name=self.name,
            status=finding.status,
            message=finding.message,
            figures=dict(finding.figures),
            critical=self.critical,
            seconds=seconds,
            at=datetime.now(UTC),
        )


def _told(error: Exception) -> str:
    # One line: libraries append advice and SQL.
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__
