"""What a cache did since the process began."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class CacheFigures:
    """Counts, and seconds summed up: divide by the count beside them for the mean."""

    memory_hits: int = 0
    """Found in this process."""
    redis_hits: int = 0
    misses: int = 0
    computed: int = 0
    compute_seconds: float = 0.0
    joined: int = 0
    """Got what another caller of this process was already computing."""
    waited: int = 0
    """Got what another process was already computing."""
    refreshed_early: int = 0
    stale: int = 0
    """Found, but invalidated meanwhile; also counted as misses."""
    too_large: int = 0
    """Values over the bound, which are not cached."""
    bypassed: int = 0
    """Asked while it was not known what had been invalidated."""
    invalidations: int = 0
    redis_calls: int = 0
    redis_seconds: float = 0.0
    redis_failures: int = 0
    """Calls to Redis that failed, or were not made because its breaker is open."""
    entries: int = 0
    bytes: int = 0
    evicted: int = 0

    @property
    def hit_rate(self) -> float:
        """Part of the look-ups that were hits; 0 where there were none."""
        hits = self.memory_hits + self.redis_hits
        return hits / (hits + self.misses) if hits + self.misses else 0.0


class Counter:
    """Adds up, from any thread."""

    def __init__(self) -> None:
        self._counts: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, **more: float) -> None:
        """Add to the counts of these names."""
        with self._lock:
            for name, value in more.items():
                self._counts[name] = self._counts.get(name, 0) + value

    def figures(self, **also: float) -> CacheFigures:
        """The counts, with others that are kept elsewhere."""
        with self._lock:
            return replace(CacheFigures(), **self._counts, **also)  # type: ignore[arg-type]
