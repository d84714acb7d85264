"""Breakers and the store of secrets -> what this process has met when it asked others."""

from __future__ import annotations

from collections.abc import Callable

from pynomaly_pipelines.operations.errors import SecretMissing
from pynomaly_pipelines.operations.health.findings import Figure, Finding, degraded, ok
from pynomaly_pipelines.operations.resilience import Dependencies, State
from pynomaly_pipelines.operations.secrets import SecretStore

ASKED_FOR = "database-url"
"""A secret of the product, which may be missing: the store answers all the same."""


def breakers(of: Dependencies) -> Callable[[], Finding]:
    """Degraded while one is not closed: what it guards is gone without."""

    def check() -> Finding:
        found = of.breaker_figures()
        figures: dict[str, Figure] = {one.dependency: str(one.state) for one in found}
        away = [f"{one.dependency} ({one.last_fault})" for one in found if one.state is not State.CLOSED]
        return degraded(f"not closed: {', '.join(away)}", **figures) if away else ok("all closed", **figures)

    return check


def secrets(store: Callable[[], SecretStore]) -> Callable[[], Finding]:
    """Whether the store answers; what it answers is not looked at."""

    def check() -> Finding:
        opened = store()
        try:
            opened.get(ASKED_FOR)
        except SecretMissing:
            return ok(opened.origin)
        from pynomaly_pipelines.operations.secrets.secret import SecretName

        # Held from before: the last look may have failed since.
        error = opened.status(SecretName.of(ASKED_FOR)).error
        return degraded(f"{opened.origin}: {error}") if error else ok(opened.origin)

    return check
