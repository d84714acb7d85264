"""While the service runs: the end of the audit log is sealed every so often, and once more when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pynomaly_pipelines.operations.secrets.process import resolved
from pynomaly_pipelines.service.audit.anchors import anchor
from pynomaly_pipelines.service.audit.sealing import Seals
from pynomaly_pipelines.service.auth.key_encryption import KeyEncryption
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.settings import ServiceSettings

log = logging.getLogger(__name__)
FILE = "audit-anchors.jsonl"


def seals_of(settings: ServiceSettings, home: Path) -> Seals:
    """The seals of this installation."""
    return Seals(KeyEncryption.of(resolved(settings.key_encryption_key.get_secret_value()), home))


def file_of(settings: ServiceSettings, home: Path) -> Path:
    """Where anchors are kept outside the database."""
    return Path(settings.audit_anchor_file) if settings.audit_anchor_file else home / FILE


@asynccontextmanager
async def anchoring(service: Service) -> AsyncIterator[None]:
    """Seal in the background. The service goes on when it cannot; the log says so."""
    stopped = asyncio.Event()
    task = asyncio.create_task(_seal_until(stopped, service))
    try:
        yield
    finally:
        stopped.set()
        await task
        await asyncio.to_thread(_seal, service)


async def _seal_until(stopped: asyncio.Event, service: Service) -> None:
    while not stopped.is_set():
        try:
            await asyncio.wait_for(stopped.wait(), service.settings.audit_anchor_seconds)
        except TimeoutError:
            await asyncio.to_thread(_seal, service)


def _seal(service: Service) -> None:
    home = service.project.settings.home
    try:
        seals = seals_of(service.settings, home)
        with service.database.writing() as session:
            anchor(session, seals, file_of(service.settings, home))
    except (SQLAlchemyError, OSError) as error:
        log.warning("the audit log could not be anchored, it is tried again: %s", error)
