"""A URL -> the accounts' database: SQLite by default, PostgreSQL by URL.

Synchronous: endpoints that use it are `def`, or call it in a thread. Every transaction says whether it writes, because
SQLite must take its write lock at the beginning: a reader that turns into a writer is refused at once when another has
written in between (SQLITE_BUSY_SNAPSHOT), however long it would be willing to wait.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from pynomaly_pipelines.operations.errors import SettingsError

FILE = "accounts.db"
WRITES = {"pynomaly_writes": True}
"""Execution options of a connection whose transactions write."""


@dataclass(frozen=True)
class Timeouts:
    """How long the database may take, in seconds."""

    connect: float = 5.0
    statement: float = 10.0
    """For PostgreSQL also how long a statement waits for a lock; for SQLite, how long for the write lock."""


class Database:
    """Sessions on the accounts' database."""

    def __init__(self, url: str, timeouts: Timeouts | None = None, *, pool_size: int = 5) -> None:
        """Nothing is connected yet.

        Raises:
            SettingsError: neither SQLite nor PostgreSQL.
        """
        self.url = parsed(url)
        self.engine = _engine(self.url, timeouts or Timeouts(), pool_size)
        self._at_close: list[Callable[[], None]] = []
        self._reading = sessionmaker(self.engine, expire_on_commit=False)
        self._writing = sessionmaker(self.engine.execution_options(**WRITES), expire_on_commit=False)

    @classmethod
    def at(cls, url: str, home: Path, timeouts: Timeouts | None = None, *, pool_size: int = 5) -> Database:
        """The database of a URL; without one, of the file in the home."""
        return cls(url or f"sqlite:///{home / FILE}", timeouts, pool_size=pool_size)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.engine.dialect.name == "sqlite"

    @property
    def file(self) -> Path:
        """Where an SQLite database lies."""
        return Path(str(self.url.database))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One transaction that only reads, on one state of the database."""
        with self._reading() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction that writes: committed at the end of the block, rolled back when it raises."""
        with self._writing.begin() as session:
            yield session

    def on_close(self, end: Callable[[], None]) -> None:
        """Have this called when the database is closed."""
        self._at_close.append(end)

    def close(self) -> None:
        """Let go of all connections."""
        while self._at_close:
            self._at_close.pop()()
        self.engine.dispose()


def parsed(url: str) -> sa.URL:
    """The URL, with the driver that is installed.

    Raises:
        SettingsError: it is not one, or of a database that is not supported.
    """
    try:
        found = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise _unsupported("PYNOMALY_SERVICE_DATABASE_URL is not a URL of SQLAlchemy's form") from error
    backend = found.get_backend_name()
    if backend == "sqlite" and found.database:
        return found
    if backend == "postgresql":
        return found.set(drivername="postgresql+psycopg") if "+" not in found.drivername else found
    raise _unsupported(f"the accounts' database cannot be {backend!r}" + (" in memory" if backend == "sqlite" else ""))


def _unsupported(problem: str) -> SettingsError:
    return SettingsError(
        problem,
        rule="`sqlite:///<file>` and `postgresql+psycopg://<user>@<host>/<database>` are supported",
        fix="set PYNOMALY_SERVICE_DATABASE_URL to one of them, or leave it empty for a file in the home",
    )


def _engine(url: sa.URL, timeouts: Timeouts, pool_size: int) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, timeouts)
    return sa.create_engine(
        url,
        # Without it, the first call after PostgreSQL was restarted fails.
        pool_pre_ping=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=timeouts.connect,
        connect_args={
            "connect_timeout": max(1, round(timeouts.connect)),
            "options": f"-c statement_timeout={round(timeouts.statement * 1000)} -c timezone=UTC",
            # A server that was stopped, not closed, answers nothing at all: without these, a call hangs for minutes.
            "tcp_user_timeout": round(timeouts.statement * 1000),
            "keepalives_idle": 5,
            "application_name": "pynomaly",
        },
    )


def _sqlite(url: sa.URL, timeouts: Timeouts) -> sa.Engine:
    file = Path(str(url.database))
    engine = sa.create_engine(url, connect_args={"timeout": timeouts.statement})

    @sa.event.listens_for(engine, "do_connect")
    def private(*_: Any) -> None:
        _make_private(file)

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        # Transactions are begun below, not by the driver before the first write.
        connection.isolation_level = None
        _write_ahead(connection, timeouts.statement)
        connection.execute("PRAGMA foreign_keys=ON")
        # A power cut must not undo a revocation.
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("pynomaly_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _make_private(file: Path) -> None:
    """The file, made for its owner only before anything is in it; SQLite's log beside it takes over its mode."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))


def _write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    """Readers and a writer at the same time. Asked for once a file: the change needs the file for itself.

    SQLite refuses two that ask at the same moment at once, whatever the connection's timeout: each would wait for the
    other's lock. So the later one looks again, for up to `seconds`.
    """
    end = time.monotonic() + seconds
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01 + 0.04 * random.random())  # nosec B311
