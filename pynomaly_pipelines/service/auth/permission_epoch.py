"""The count of changes that decide what callers may do, as it is now.

Triggers in the database count it up with each change of a role, a key, a grant, a revocation. A process that has
verified a token before may trust it again as long as the count has not moved, and it asks for the count with every
request: strictly, the answer is never older than the request. Without an answer nobody is let in.

SQLite: one row from a file that is in memory, on a connection of its own; microseconds, in the event loop.
PostgreSQL: a round trip, in a thread of its own. Requests that arrive while it is on its way share the next one.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import DependencyUnavailable, PynomalyError
from pynomaly_pipelines.service.accounts.database import Database

HELD_SECONDS = 5.0
"""How long a connection is kept for questions before it goes through the pool."""
_QUERY = "SELECT epoch FROM permission_epoch WHERE id = 1"


def read_epoch(session: Session) -> int:
    """The count, in a transaction."""
    return int(session.execute(sa.text(_QUERY)).scalar_one())


class PermissionEpoch(Protocol):
    """Gives the count."""

    async def now(self) -> int:
        """The count at a moment after this was called.

        Raises:
            DependencyUnavailable: the database does not answer.
        """

    def close(self) -> None:
        """Let go of the connection."""


def permission_epoch(database: Database, timeout_seconds: float) -> PermissionEpoch:
    """The way that fits the database."""
    return FileEpoch(database) if database.is_sqlite else SharedEpoch(database, timeout_seconds)


class FileEpoch:
    """Of an SQLite file."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened yet."""
        self._file = database.file
        self._held: tuple[tuple[int, int], sqlite3.Connection] | None = None
        self._lock = threading.Lock()

    async def now(self) -> int:
        """The count."""
        with self._lock:
            try:
                row = self._connection().execute(_QUERY).fetchone()
            except (sqlite3.Error, OSError) as error:
                raise unavailable(error) from error
        if row is None:
            raise unavailable(LookupError("the epoch's row is missing"))
        return int(row[0])

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held[1].close()

    def _connection(self) -> sqlite3.Connection:
        """The one held, unless another file lies under the name: one that was restored, say."""
        found = self._file.stat()
        identity = (found.st_dev, found.st_ino)
        if self._held is None or self._held[0] != identity:
            if self._held is not None:
                self._held[1].close()
            # Requests come from event loops in several threads when tests run several applications.
            opened = sqlite3.connect(self._file, timeout=1.0, isolation_level=None, check_same_thread=False)
            self._held = (identity, opened)
        return self._held[1]


@dataclass
class _Question:
    """Who waits, and in which event loop."""

    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[int]


class _Held:
    """A connection kept over many questions: taking one from the pool is a round trip more."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: sa.Connection | None = None
        self._until = 0.0

    def ask(self) -> int:
        """The count. A connection that broke while it was kept is no reason to refuse anybody: once, another is taken.

        Raises:
            SQLAlchemyError, PynomalyError, OSError: the database, or the store of its credentials, does not answer.
        """
        if time.monotonic() >= self._until:
            # Back through the pool now and then, which drops connections of credentials that have rotated.
            self.let_go()
        kept = self._connection is not None
        try:
            return self._read()
        except (sa.exc.DBAPIError, OSError):
            self._drop()
            if not kept:
                raise
        try:
            return self._read()
        except (sa.exc.DBAPIError, OSError):
            self._drop()
            raise

    def let_go(self) -> None:
        """Give the connection back."""
        found, self._connection = self._connection, None
        if found is not None:
            found.close()

    def _read(self) -> int:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._until = time.monotonic() + HELD_SECONDS
        return int(self._connection.execute(sa.text(_QUERY)).scalar_one())

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
        self.let_go()


class SharedEpoch:
    """Of a database that is asked over the network: one question on its way at a time, for all who wait."""

    def __init__(self, database: Database, timeout_seconds: float) -> None:
        """The thread starts with the first question."""
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._timeout = timeout_seconds
        self._waiting: list[_Question] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def now(self) -> int:
        """The count."""
        loop = asyncio.get_running_loop()
        question = _Question(loop, loop.create_future())
        with self._changed:
            self._waiting.append(question)
            if self._thread is None:
                self._thread = threading.Thread(target=self._ask, name="permission-epoch", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            return await asyncio.wait_for(question.answer, self._timeout)
        except TimeoutError as error:
            with self._changed:
                # While the database hangs, only those who still wait take up room.
                self._waiting = [other for other in self._waiting if other is not question]
            raise unavailable(error) from error

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(self._timeout)

    def _ask(self) -> None:
        held = _Held(self._engine)
        while (questions := self._next()) is not None:
            try:
                found: int | Exception = held.ask()
            except (sa.exc.SQLAlchemyError, PynomalyError, OSError) as error:
                found = error
            _tell(questions, found)
        held.let_go()

    def _next(self) -> list[_Question] | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            questions, self._waiting = self._waiting, []
            return questions


def _tell(questions: list[_Question], found: int | Exception) -> None:
    """Each event loop is woken once."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[int]]] = {}
    for question in questions:
        loops.setdefault(question.loop, []).append(question.answer)
    for loop, answers in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, answers, found)


def _settle(answers: list[asyncio.Future[int]], found: int | Exception) -> None:
    for answer in answers:
        if answer.done():
            continue
        if isinstance(found, Exception):
            answer.set_exception(unavailable(found))
        else:
            answer.set_result(found)


def unavailable(cause: Any) -> DependencyUnavailable:
    """Nobody can be known now, so that nobody is let in."""
    return DependencyUnavailable(
        f"the accounts' database does not answer ({type(cause).__name__})",
        rule="who is asking, and what was revoked, is asked of it with every request",
        fix="try again in a moment",
        dependency="database",
        retry_after=1.0,
    )
