"""A process that has just started -> one that answers its first requests as fast as later ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.service.figures import figures_of

if TYPE_CHECKING:
    from pynomaly_pipelines.service.context import Service

_log = structlog.get_logger(__name__)


async def warm(service: Service) -> None:
    """Load the champions, and count what lists of pipelines tell."""
    await service.champions.warm()
    await asyncio.to_thread(_count, service)


def _count(service: Service) -> None:
    for spec in service.specs.all():
        try:
            figures_of(service, spec)
        except (PynomalyError, OSError) as error:
            # Whoever asks for it is told; the others are served.
            _log.warning("not warmed", pipeline=spec.name, problem=str(error))
