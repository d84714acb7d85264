"""What the routes on runs share in a process: the client of Dagster, the launcher, the streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.health import Phase
from pynomaly_pipelines.service.launching.client import DagsterClient
from pynomaly_pipelines.service.launching.feeds import Feeds
from pynomaly_pipelines.service.launching.idempotency import IdempotencyKeys
from pynomaly_pipelines.service.launching.launcher import Launcher
from pynomaly_pipelines.service.launching.reading import RunReader
from pynomaly_pipelines.service.launching.streams import Following, Places

if TYPE_CHECKING:
    from pynomaly_pipelines.service.context import Service


@dataclass(frozen=True)
class Runs:
    """Everything that has to do with runs. Belongs to one event loop."""

    client: DagsterClient
    launcher: Launcher
    reader: RunReader
    following: Following
    places: Places

    @classmethod
    def of(cls, service: Service) -> Runs:
        """Those of a process. Nothing is asked yet."""
        settings = service.settings
        client = DagsterClient(settings.dagster_url, settings.dagster_location)
        keys = IdempotencyKeys(lambda: service.database, timedelta(hours=settings.idempotency_hours))
        return cls(
            client=client,
            launcher=Launcher(client, settings, service.specs.of, keys),
            reader=RunReader(client),
            following=Following(Feeds(client, settings.stream_poll_seconds), settings, _draining(service)),
            places=Places(settings.streams, settings.streams_per_account),
        )


def _draining(service: Service) -> Callable[[], bool]:
    return lambda: service.health.phase is Phase.DRAINING


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """Close the connections to Dagster when the process stops."""
    yield
    if "runs" in vars(service):
        await service.runs.client.close()
