"""Dagster's queue -> its depth by priority, how long the oldest waits, and what limits it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from pynomaly_pipelines.service.launching.answers import DagsterRun
from pynomaly_pipelines.service.launching.client import DagsterClient
from pynomaly_pipelines.service.launching.describing import in_order, priority_of
from pynomaly_pipelines.service.launching.views import PoolView, PriorityDepth, QueueView

LOOKED_AT = 1000
"""Most waiting runs that are looked at one by one; the depth counts all."""


async def queued(client: DagsterClient) -> list[DagsterRun]:
    """Waiting runs in the order in which they leave."""
    return in_order(await client.runs(statuses=("QUEUED",), limit=LOOKED_AT))


async def queue_view(client: DagsterClient) -> QueueView:
    """How the queue is now."""
    waiting, depth, starting, running, limits = await asyncio.gather(
        queued(client),
        client.count(statuses=("QUEUED",)),
        client.count(statuses=("STARTING",)),
        client.count(statuses=("STARTED", "CANCELING")),
        client.limits(),
    )
    now = datetime.now(UTC)
    return QueueView(
        depth=depth,
        starting=starting,
        running=running,
        oldest_wait_seconds=_oldest(waiting, now) if waiting else None,
        priorities=tuple(_by_priority(waiting, now)),
        max_concurrent_runs=limits.runs,
        default_pool_limit=limits.pool_default,
        # Dagster lists them in any order.
        pools=tuple(PoolView(**vars(pool)) for pool in sorted(limits.pools, key=lambda pool: pool.name)),
        at=now,
    )


def _by_priority(waiting: Sequence[DagsterRun], now: datetime) -> Iterator[PriorityDepth]:
    for priority, group in groupby(waiting, key=priority_of):
        runs = list(group)
        yield PriorityDepth(priority=priority, runs=len(runs), oldest_wait_seconds=_oldest(runs, now))


def _oldest(runs: Sequence[DagsterRun], now: datetime) -> float:
    return max((now - run.created).total_seconds() for run in runs)
