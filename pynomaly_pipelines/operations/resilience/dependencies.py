"""The names of dependencies -> their breakers and retries, one each in a process, made when first asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache

from pynomaly_pipelines.operations.resilience.breaker import Breaker, BreakerFigures, Change, State
from pynomaly_pipelines.operations.resilience.policies import BREAKER_PREFIX, RETRY_PREFIX, Policies
from pynomaly_pipelines.operations.resilience.retrying import RetryFigures, Retrying
from pynomaly_pipelines.operations.settings import variables

Listener = Callable[[Change], None]
log = logging.getLogger(__name__)


class Dependencies:
    """Every dependency of one process."""

    def __init__(self, policies: Policies) -> None:
        self.policies = policies
        self._breakers: dict[str, Breaker] = {}
        self._retrying: dict[str, Retrying] = {}
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    def breaker(self, dependency: str) -> Breaker:
        """Its breaker."""
        found = self._breakers.get(dependency)
        if found is None:
            with self._lock:
                found = self._breakers.get(dependency)
                if found is None:
                    found = Breaker(dependency, self.policies.breaker(dependency), on_change=self._changed)
                    self._breakers[dependency] = found
        return found

    def retrying(self, dependency: str) -> Retrying:
        """Its retries, each attempt through its breaker."""
        breaker = self.breaker(dependency)
        found = self._retrying.get(dependency)
        if found is None:
            with self._lock:
                found = self._retrying.setdefault(dependency, Retrying(breaker, self.policies.retry(dependency)))
        return found

    def listen(self, listener: Listener) -> None:
        """Have it called at each change of a breaker's state, in the thread that caused it."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def breaker_figures(self) -> list[BreakerFigures]:
        """Of every breaker in use, by name."""
        with self._lock:
            used = sorted(self._breakers.items())
        return [breaker.figures() for _, breaker in used]

    def retry_figures(self) -> list[RetryFigures]:
        """Of every dependency whose calls are repeated, by name."""
        with self._lock:
            used = sorted(self._retrying.items())
        return [retrying.figures() for _, retrying in used]

    def _changed(self, change: Change) -> None:
        loud = logging.WARNING if change.after is State.OPEN else logging.INFO
        log.log(loud, "breaker %s: %s -> %s: %s", change.dependency, change.before, change.after, change.reason)
        for listener in self._listeners:
            listener(change)


@cache
def dependencies() -> Dependencies:
    """Those of this process, with the rules that its environment gives.

    Raises:
        SettingsError: a variable breaks a rule.
    """
    return Dependencies(Policies({**variables(BREAKER_PREFIX), **variables(RETRY_PREFIX)}))


def breaker(dependency: str) -> Breaker:
    """The breaker of a dependency in this process: `breaker("registry").call(function, *args)`."""
    return dependencies().breaker(dependency)


def retrying(dependency: str) -> Retrying:
    """The retries of a dependency in this process: `retrying("registry").call(function, *args)`."""
    return dependencies().retrying(dependency)
