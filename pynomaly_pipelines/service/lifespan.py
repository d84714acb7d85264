"""What starts and stops with a process of the service: one async context manager for each part that needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from pynomaly_pipelines.operations.health import Phase
from pynomaly_pipelines.service import launching
from pynomaly_pipelines.service.audit.anchoring import anchoring
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.scoring.champions import following

Part = Callable[[Service], AbstractAsyncContextManager[None]]

PARTS: tuple[Part, ...] = (following, launching.running, anchoring)
"""In the order they start; they stop in the opposite one. A part that fails at its start keeps the service from it."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the parts, serve, stop them."""
    service: Service = app.state.service
    async with AsyncExitStack() as stack:
        for part in PARTS:
            await stack.enter_async_context(part(service))
        service.health.phase = Phase.SERVING
        yield
        service.health.phase = Phase.DRAINING
    await asyncio.to_thread(app.state.tracing.close)
