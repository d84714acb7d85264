"""Fewer waits for the disk, without losing what was written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from pynomaly_pipelines.operations.local_sqlite import fewer_flushes


def synchronous(file: Path) -> int:
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    with engine.connect() as connection:
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())


def test_commits_are_left_to_the_system_only_inside(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    usual = synchronous(file)
    with fewer_flushes():
        assert synchronous(file) == 1
    assert synchronous(file) == usual == 2


def test_what_was_written_is_there_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    with fewer_flushes():
        for number in range(5):
            with engine.begin() as connection:
                connection.execute(text("PRAGMA journal_mode=WAL"))
                connection.execute(text("CREATE TABLE IF NOT EXISTS t (n INTEGER)"))
                connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})
    # No connection is held any more: the log was written back and is gone.
    assert not (tmp_path / "a.db-wal").exists()
    other = sqlite3.connect(file)
    assert other.execute("SELECT n FROM t ORDER BY n").fetchall() == [(n,) for n in range(5)]
    other.close()


def test_databases_in_memory_are_left_alone() -> None:
    with fewer_flushes():
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        engine.dispose()
