"""Settings -> the accounts' database, at the schema this program needs, with the credentials of the moment."""

from __future__ import annotations

from pathlib import Path

from pynomaly_pipelines.operations.errors import SecretMissing, SettingsError
from pynomaly_pipelines.operations.redaction import remember
from pynomaly_pipelines.operations.secrets.database import follow, url_of
from pynomaly_pipelines.operations.secrets.process import process_store
from pynomaly_pipelines.operations.secrets.secret import SecretName
from pynomaly_pipelines.service.accounts.database import Database, Timeouts
from pynomaly_pipelines.service.accounts.migrating import migrate, require_current
from pynomaly_pipelines.service.settings import ServiceSettings

REFERENCE = "secret:"
DEFAULT = "database-url"


def connect(settings: ServiceSettings, home: Path) -> Database:
    """The database as it is: of the URL, of the secret it names, of the secret `database-url`, or a file in the home.

    Raises:
        SettingsError: the URL or the secret is none of a database that is supported.
        SecretError: the store can't be asked. A file instead would be another database, with other accounts.
    """
    timeouts = Timeouts(settings.database_connect_seconds, settings.database_statement_seconds)
    given = settings.database_url.get_secret_value()
    if given.startswith(REFERENCE):
        return _followed(given.removeprefix(REFERENCE), timeouts, settings.database_pool)
    if given:
        # So that its password is blotted out of logs as that of a stored one is.
        remember(given)
        return Database.at(given, home, timeouts, pool_size=settings.database_pool)
    try:
        return _followed(DEFAULT, timeouts, settings.database_pool)
    except SecretMissing:
        return Database.at("", home, timeouts, pool_size=settings.database_pool)


def open_database(settings: ServiceSettings, home: Path) -> Database:
    """The database, migrated where that is allowed.

    Raises:
        SettingsError: it is at another step, and `migrate` is off.
    """
    database = connect(settings, home)
    try:
        if settings.migrate:
            migrate(database)
        else:
            require_current(database)
    except BaseException:
        database.close()
        raise
    return database


def _followed(text: str, timeouts: Timeouts, pool_size: int) -> Database:
    """A database whose connections are made with what the store says then."""
    name, store = SecretName.of(text), process_store()
    url = url_of(name, store.current(name))
    database = Database(url.render_as_string(hide_password=False), timeouts, pool_size=pool_size)
    if database.is_sqlite:
        return database
    if url.drivername != database.url.drivername:
        database.close()
        raise SettingsError(
            f"the secret {text!r} holds a URL of {url.drivername}",
            rule=f"connections are made with what it says, by the driver of {database.url.drivername}",
            fix="write postgresql+psycopg:// in it",
        )
    database.on_close(follow(database.engine, store, name))
    return database
