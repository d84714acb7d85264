"""The parts of a service -> the checks that /health runs: the standard ones, and the project's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.health import process_health
from pynomaly_pipelines.resources.health import add_standard_checks

if TYPE_CHECKING:
    from pynomaly_pipelines.service.context import Service


@asynccontextmanager
async def checked(service: Service) -> AsyncIterator[None]:
    """Its checks are there from the start on, whether or not what they ask is."""
    await asyncio.to_thread(_add, service)
    yield


def _add(service: Service) -> None:
    add_standard_checks(
        service.health,
        service.project.settings,
        database=service.database.engine,
        cache=service.cache,
        dagster_url=service.settings.dagster_url,
    )
    service.project.load_health_checks()
    for own in process_health().checks:
        service.health.add(own)
