"""What a check found, and what all of them amount to: ok, degraded or failed, with figures measured at the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Figure = float | int | str | bool


class Status(StrEnum):
    """From good to bad."""

    OK = "ok"
    DEGRADED = "degraded"
    """Works, with something missing or short."""
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What a check returns."""

    status: Status
    message: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Name with unit -> what was measured: `free_bytes`, `connect_seconds`."""


def ok(message: str = "", **figures: Figure) -> Finding:
    """All is well."""
    return Finding(Status.OK, message, figures)


def degraded(message: str, **figures: Figure) -> Finding:
    """It works, but somebody should look."""
    return Finding(Status.DEGRADED, message, figures)


def failed(message: str, **figures: Figure) -> Finding:
    """It does not work."""
    return Finding(Status.FAILED, message, figures)


@dataclass(frozen=True)
class CheckResult:
    """One check at one time."""

    name: str
    status: Status
    message: str
    figures: Mapping[str, Figure]
    critical: bool
    """Whether its failure makes the whole fail; otherwise the whole is degraded."""
    seconds: float
    """How long it took, or has been taking."""
    at: datetime
    """When it was measured, UTC."""


@dataclass(frozen=True)
class HealthReport:
    """All checks of one probe."""

    status: Status
    checks: tuple[CheckResult, ...]
    at: datetime
    """When it was put together, UTC."""
    message: str = ""

    @property
    def healthy(self) -> bool:
        """Whether a load balancer may send requests: degraded still works."""
        return self.status is not Status.FAILED

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the checks that are not ok."""
        return tuple(check.name for check in self.checks if check.status is not Status.OK)


def overall(results: Iterable[CheckResult]) -> Status:
    """Failed if a critical check failed; degraded if any other is not ok."""
    found = list(results)
    if any(one.status is Status.FAILED and one.critical for one in found):
        return Status.FAILED
    return Status.OK if all(one.status is Status.OK for one in found) else Status.DEGRADED
