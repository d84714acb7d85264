"""The breakers and the cache of this process -> figures at /metrics, at most a few seconds old in other workers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.resilience import dependencies
from pynomaly_pipelines.operations.telemetry.parts import changed

if TYPE_CHECKING:
    from pynomaly_pipelines.service.context import Service

SECONDS = 5.0


@contextlib.asynccontextmanager
async def measured(service: Service) -> AsyncIterator[None]:
    """Told again and again: whoever is asked for /metrics answers for all workers."""
    dependencies().listen(changed)
    task = asyncio.create_task(_telling(service))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _telling(service: Service) -> None:
    while True:
        await asyncio.sleep(SECONDS)
        service.parts.tell()
