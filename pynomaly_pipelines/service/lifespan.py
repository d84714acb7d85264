"""What starts and stops with a process of the service: one async context manager for each part that needs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import structlog
from fastapi import FastAPI

from pynomaly_pipelines.operations.health import Phase
from pynomaly_pipelines.service import launching
from pynomaly_pipelines.service.accounts.sweeping import sweeping
from pynomaly_pipelines.service.audit.anchoring import anchoring
from pynomaly_pipelines.service.auth.starting import authenticating
from pynomaly_pipelines.service.checking import checked
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.incidents.pictures import drawing
from pynomaly_pipelines.service.keeping import caching
from pynomaly_pipelines.service.measuring import measured
from pynomaly_pipelines.service.scoring.champions import following
from pynomaly_pipelines.service.warming import warm

Part = Callable[[Service], AbstractAsyncContextManager[None]]

PARTS: tuple[Part, ...] = (
    authenticating,
    sweeping,
    caching,
    checked,
    measured,
    following,
    launching.running,
    anchoring,
    drawing,
)
"""In the order they start; they stop in the opposite one. A part that fails at its start keeps the service from it."""
_log = structlog.get_logger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the parts, warm up, serve, stop them."""
    service: Service = app.state.service
    async with AsyncExitStack() as stack:
        for part in PARTS:
            await stack.enter_async_context(part(service))
        await stack.enter_async_context(_warming(service))
        yield
        service.health.phase = Phase.DRAINING
    await asyncio.to_thread(app.state.tracing.close)


@asynccontextmanager
async def _warming(service: Service) -> AsyncIterator[None]:
    """Ready once warm. Where that takes long, as with a registry that hangs, probes are answered meanwhile."""
    task = asyncio.create_task(_warmed(service))
    await asyncio.wait({task}, timeout=service.settings.warm_seconds)
    if task.done():
        task.result()
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def _warmed(service: Service) -> None:
    try:
        await warm(service)
    except Exception as error:
        _log.error("not warmed, and so not ready", exc_info=error)
        raise
    # Told to stop meanwhile, it stays so.
    if service.health.phase is Phase.STARTING:
        service.health.phase = Phase.SERVING
