"""What a process knows of the parts it depends on, as figures for Prometheus: breakers, retries, the cache."""

from __future__ import annotations

import threading
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from pynomaly_pipelines.operations.cache import CacheFigures
from pynomaly_pipelines.operations.resilience import Change, Dependencies, State

_NUMBERS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}

# The worst of all workers: one that can't reach a part is worth knowing of.
STATE = Gauge(
    "pynomaly_dependency_state", "Circuit breaker: 0 closed, 1 half-open, 2 open.", ["dependency"],
    multiprocess_mode="livemax",
)  # fmt: skip
CHANGES = Counter("pynomaly_dependency_changes_total", "Changes of a circuit breaker, by its new state.",
                  ["dependency", "state"])  # fmt: skip
CALLS = Counter("pynomaly_dependency_calls_total", "Calls to a dependency, by what came of them.",
                ["dependency", "outcome"])  # fmt: skip
KEPT = Counter("pynomaly_kept_answers_total", "Answers that were kept, or computed and then kept.",
               ["kind", "outcome"])  # fmt: skip
LOOKUPS = Counter("pynomaly_cache_lookups_total", "Looks into the cache, by where the value was found.", ["found"])
CACHE = Counter("pynomaly_cache_events_total", "What became of values in the cache.", ["event"])
REDIS_SECONDS = Counter("pynomaly_cache_redis_seconds_total", "Time spent waiting for Redis.")
BYTES = Gauge("pynomaly_cache_bytes", "Memory that cached values take.", multiprocess_mode="livesum")
ENTRIES = Gauge("pynomaly_cache_entries", "Values in memory.", multiprocess_mode="livesum")

_LOOKUPS = {"memory_hits": "memory", "redis_hits": "redis", "misses": "nowhere"}
_EVENTS = (
    "computed",
    "joined",
    "waited",
    "refreshed_early",
    "stale",
    "too_large",
    "bypassed",
    "invalidations",
    "redis_failures",
    "evicted",
)
_OUTCOMES = ("calls", "faults", "refused")


def changed(change: Change) -> None:
    """A breaker went from one state to another; for `Dependencies.listen`."""
    STATE.labels(change.dependency).set(_NUMBERS[change.after])
    CHANGES.labels(change.dependency, str(change.after)).inc()


class Parts:
    """Tells the counters what was added since it last looked. Safe to share between threads."""

    def __init__(self, dependencies: Callable[[], Dependencies], cache: Callable[[], CacheFigures]) -> None:
        self._dependencies, self._cache = dependencies, cache
        self._seen: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def tell(self) -> None:
        """Bring the figures up to now."""
        with self._lock:
            self._tell_dependencies()
            self._tell_cache(self._cache())

    def _tell_dependencies(self) -> None:
        for one in self._dependencies().breaker_figures():
            STATE.labels(one.dependency).set(_NUMBERS[one.state])
            for outcome in _OUTCOMES:
                self._add(CALLS.labels(one.dependency, outcome), (one.dependency, outcome), getattr(one, outcome))

    def _tell_cache(self, now: CacheFigures) -> None:
        for name, found in _LOOKUPS.items():
            self._add(LOOKUPS.labels(found), ("cache", name), getattr(now, name))
        for event in _EVENTS:
            self._add(CACHE.labels(event), ("cache", event), getattr(now, event))
        self._add(REDIS_SECONDS, ("cache", "redis_seconds"), now.redis_seconds)
        BYTES.set(now.bytes)
        ENTRIES.set(now.entries)

    def _add(self, counter: Counter, name: tuple[str, str], value: float) -> None:
        more = value - self._seen.get(name, 0.0)
        self._seen[name] = value
        if more > 0:
            counter.inc(more)
