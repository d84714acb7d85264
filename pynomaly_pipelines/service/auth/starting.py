"""The accounts' database and what recognises callers: opened before the first request, closed after the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pynomaly_pipelines.service.accounts import management
from pynomaly_pipelines.service.accounts.opening import open_database
from pynomaly_pipelines.service.auth.permission_epoch import unavailable
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.settings import ServiceSettings


@asynccontextmanager
async def authenticating(service: Service) -> AsyncIterator[None]:
    """Migrate, or refuse an old schema; make the parts; close them at the end. All in threads: databases take time."""
    await asyncio.to_thread(_open, service)
    try:
        yield
    finally:
        await asyncio.to_thread(_close, service)


def prepare(settings: ServiceSettings, home: Path, say: Callable[[str], None]) -> None:
    """Before any process serves: migrate once, and say so if nobody could log in.

    Raises:
        SettingsError: the schema is another, and `migrate` is off.
        DependencyUnavailable: the database does not answer.
    """
    try:
        database = open_database(settings, home)
        try:
            with database.reading() as session:
                anybody = bool(management.admins(session))
        finally:
            database.close()
    except SQLAlchemyError as error:
        raise unavailable(error) from error
    if not anybody:
        say(
            "API without an admin: there is no default password, and nobody can log in. `pynomaly accounts bootstrap` "
            "prints a one-time code; POST /v1/auth/bootstrap makes the first admin with it"
        )


def _open(service: Service) -> None:
    try:
        _ = service.auth
    except SQLAlchemyError as error:
        raise unavailable(error) from error


def _close(service: Service) -> None:
    service.auth.close()
    service.database.close()
