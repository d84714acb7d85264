"""Settings -> the accounts' database, at the schema this program needs."""

from __future__ import annotations

from pathlib import Path

from pynomaly_pipelines.service.accounts.database import Database, Timeouts
from pynomaly_pipelines.service.accounts.migrating import migrate, require_current
from pynomaly_pipelines.service.settings import ServiceSettings


def connect(settings: ServiceSettings, home: Path) -> Database:
    """The database as it is."""
    timeouts = Timeouts(settings.database_connect_seconds, settings.database_statement_seconds)
    return Database.at(settings.database_url.get_secret_value(), home, timeouts, pool_size=settings.database_pool)


def open_database(settings: ServiceSettings, home: Path) -> Database:
    """The database, migrated where that is allowed.

    Raises:
        SettingsError: it is at another step, and `migrate` is off.
    """
    database = connect(settings, home)
    if settings.migrate:
        migrate(database)
    else:
        require_current(database)
    return database
