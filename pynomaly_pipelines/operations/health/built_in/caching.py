"""The cache and its Redis -> whether it answers, how full it is, and whether it is set up as a cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pynomaly_pipelines.operations.cache import Cache, connect
from pynomaly_pipelines.operations.health.findings import Figure, Finding, degraded, ok


def cache(of: Cache) -> Callable[[], Finding]:
    """The cache of this process: whether it knows what was invalidated, and what Redis says of itself."""
    redis_of = redis(of.settings.redis_url) if of.settings.redis_url else None

    def check() -> Finding:
        figures = of.figures()
        told: dict[str, Figure] = {
            "hit_rate": round(figures.hit_rate, 4),
            "entries": figures.entries,
            "bytes": figures.bytes,
            "evicted": figures.evicted,
        }
        if figures.bypassed and of.seconds_behind() > of.settings.unknown_after_seconds:
            return degraded("the database of generations can't be read, so that nothing cached is believed", **told)
        if redis_of is None:
            return ok("in this process", **told)
        found = redis_of()
        return Finding(found.status, found.message, {**told, **found.figures})

    return check


def redis(url: str) -> Callable[[], Finding]:
    """A Redis, over a connection of its own: the breaker's opinion is not asked."""

    def check() -> Finding:
        began = time.perf_counter()
        with connect(url) as client:
            client.ping()
            seconds = time.perf_counter() - began
            used: dict[str, Any] = client.info("memory")
        most, policy = int(used.get("maxmemory", 0)), str(used.get("maxmemory_policy", "unknown"))
        figures: dict[str, Figure] = {
            "answer_seconds": seconds,
            "used_bytes": int(used["used_memory"]),
            "most_bytes": most,
            "eviction": policy,
        }
        if most and policy == "noeviction" and int(used["used_memory"]) > 0.95 * most:
            return degraded("full, and set to refuse what is new: set maxmemory-policy to allkeys-lru", **figures)
        if not most:
            return ok("answers; it has no bound: set maxmemory, and maxmemory-policy to allkeys-lru", **figures)
        return ok("answers", **figures)

    return check
