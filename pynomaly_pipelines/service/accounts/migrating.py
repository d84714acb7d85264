"""The database as it is -> the schema this program needs, once, however many processes start together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.service.accounts.database import WRITES, Database

HEAD = "head"
_FOLDER = Path(__file__).parent / "migrations"
# Any number, the same in every process: what PostgreSQL's advisory lock is known by.
_LOCK = 0x70796E6F


def scripts() -> ScriptDirectory:
    """The steps there are."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def revision(database: Database) -> str | None:
    """The step the database is at; None for an empty one."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def migrate(database: Database, target: str = HEAD) -> tuple[str | None, str | None]:
    """Take the steps up to `target` that the database lacks: (where it was, where it is).

    One transaction under a lock: either all steps are taken or none; a second process waits, then finds them taken.
    """
    directory = scripts()
    return _take(database, directory, lambda found, _: directory._upgrade_revs(target, found))


def undo(database: Database, target: str = "base") -> tuple[str | None, str | None]:
    """Take the steps after `target` back; with `base` nothing is left."""
    directory = scripts()
    return _take(database, directory, lambda found, _: directory._downgrade_revs(target, found))


def require_current(database: Database) -> None:
    """Refuse a database that is not at the newest step.

    Raises:
        SettingsError: it is behind, or ahead of this program.
    """
    directory, found = scripts(), revision(database)
    _known(directory, found)
    if found != directory.get_current_head():
        raise SettingsError(
            f"the accounts' database is at step {found or 'none'}, this program needs {directory.get_current_head()}",
            rule="with PYNOMALY_SERVICE_MIGRATE=false nothing but the command changes the schema",
            fix="`pynomaly accounts migrate`, once, before the service starts",
        )


def _known(directory: ScriptDirectory, found: str | None) -> None:
    if found is not None and found not in {script.revision for script in directory.walk_revisions()}:
        raise SettingsError(
            f"the accounts' database is at step {found!r}, which this version of the program does not know",
            rule="a database may be older than the program, never newer",
            fix="run the version that made it, or a newer one",
        )


def _take(
    database: Database, directory: ScriptDirectory, steps: Callable[[Any, Any], Any]
) -> tuple[str | None, str | None]:
    with database.engine.execution_options(**WRITES).begin() as connection:
        if not database.is_sqlite:
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = MigrationContext.configure(connection).get_current_revision()
        _known(directory, before)
        with EnvironmentContext(Config(), directory, fn=steps) as environment:
            # The transaction is the one above, for all steps.
            environment.configure(connection=connection, transaction_per_migration=False)
            environment.run_migrations()
        return before, MigrationContext.configure(connection).get_current_revision()
