"""Many small SQLite transactions -> fewer waits for the disk, in this process.

Dagster and MLflow open a connection for each event, commit and close it. In WAL mode every commit then waits for the
disk, and closing the last connection writes the whole log back. Here commits are left to the operating system
(`synchronous=NORMAL`: a power cut can lose the last events, never corrupt the file; sqlite.org/pragma.html) and one
idle connection per file keeps the log open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def fewer_flushes() -> Iterator[None]:
    """Applies to every SQLite connection that SQLAlchemy opens inside the block."""
    from sqlalchemy import Engine, event

    held: dict[str, sqlite3.Connection] = {}

    def on_connect(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=NORMAL")
            _hold(connection, held)

    event.listen(Engine, "connect", on_connect)
    try:
        yield
    finally:
        event.remove(Engine, "connect", on_connect)
        for connection in held.values():
            connection.close()


def _hold(connection: sqlite3.Connection, held: dict[str, sqlite3.Connection]) -> None:
    file = connection.execute("PRAGMA database_list").fetchone()[2]
    if not file or file in held:
        return
    # autocommit, and one read so that this connection takes part in the log.
    keeper = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
    held[file] = keeper
