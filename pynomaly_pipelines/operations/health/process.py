"""The checks of a process -> what probes are told: is it alive, started, ready, and how is each part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TypeVar

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.health.checks import Check, CheckFunction
from pynomaly_pipelines.operations.health.findings import CheckResult, HealthReport, Status, overall

Function = TypeVar("Function", bound=CheckFunction)


class Phase(StrEnum):
    """Where a process is in its life."""

    STARTING = "starting"
    """Warming caches and loading models; not to be sent requests yet."""
    SERVING = "serving"
    DRAINING = "draining"
    """Told to stop: finishes what it has, takes nothing new."""


class Health:
    """The checks and the phase of one process."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._checks: dict[str, Check] = {}
        self._began = time.monotonic()

    def add(self, check: Check) -> None:
        """Have it run with every probe.

        Raises:
            SettingsError: there is another of that name.
        """
        if check.name in self._checks:
            raise SettingsError(
                f"there are two health checks called {check.name!r}",
                rule="each has a name of its own",
                fix="rename one of them",
            )
        self._checks[check.name] = check

    def remove(self, name: str) -> None:
        """Run it no more; no error where there is none of that name."""
        self._checks.pop(name, None)

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks, in the order they were added."""
        return tuple(self._checks.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Of all checks, in the order they were added."""
        return tuple(self._checks)

    def live(self) -> HealthReport:
        """Whether the process itself works: that it answers is the proof. Never asks another part."""
        return self._report((), message=f"up for {time.monotonic() - self._began:.0f} s")

    def startup(self) -> HealthReport:
        """Whether it has finished starting."""
        if self.phase is Phase.STARTING:
            return self._report((), status=Status.FAILED, message="starting")
        return self._report((), message=str(self.phase))

    async def ready(self) -> HealthReport:
        """Whether it may be sent requests: started, not draining, and no critical part failed."""
        if self.phase is not Phase.SERVING:
            return self._report((), status=Status.FAILED, message=str(self.phase))
        return await self.run([name for name, check in self._checks.items() if check.critical])

    async def run(self, names: Collection[str] | None = None) -> HealthReport:
        """All checks, or those named, at the same time; takes as long as the longest time-out at most."""
        chosen = [check for name, check in self._checks.items() if names is None or name in names]
        return self._report(tuple(await asyncio.gather(*(check.result() for check in chosen))))

    def _report(
        self, checks: tuple[CheckResult, ...], *, status: Status | None = None, message: str = ""
    ) -> HealthReport:
        return HealthReport(
            status=overall(checks) if status is None else status,
            checks=checks,
            at=datetime.now(UTC),
            message=message,
        )


@cache
def process_health() -> Health:
    """That of this process, to which `health_check` adds."""
    return Health()


def health_check(name: str, *, timeout: float = 2.0, critical: bool = False) -> Callable[[Function], Function]:
    """Make a function a health check of this process, under a name.

    It returns `ok(...)`, `degraded(...)` or `failed(...)` with figures, or None if all is well; what it raises is its
    failure. It has `timeout` seconds; the failure of a `critical` one takes the service out of the load balancer.
    """

    def register(function: Function) -> Function:
        process_health().add(Check(name, function, timeout=timeout, critical=critical))
        return function

    return register


async def run(names: Collection[str] | None = None) -> HealthReport:
    """All checks of this process, or those named."""
    return await process_health().run(names)
