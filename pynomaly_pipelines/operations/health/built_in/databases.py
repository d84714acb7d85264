"""A database or an MLflow server -> whether it answers, and how fast."""

from __future__ import annotations

import sqlite3
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.health.findings import Finding, failed, ok

if TYPE_CHECKING:
    import sqlalchemy as sa

_SQLITE = "sqlite:///"


def database(engine: sa.Engine) -> Callable[[], Finding]:
    """`SELECT 1` through an engine in use: its pool is part of what is checked."""
    import sqlalchemy as sa

    def check() -> Finding:
        began = time.perf_counter()
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1")).scalar_one()
        return ok(engine.dialect.name, answer_seconds=time.perf_counter() - began)

    return check


def database_at(url: str, *, timeout_seconds: float) -> Callable[[], Finding]:
    """`SELECT 1` over a connection of its own. An SQLite file that is not there yet is not made."""
    if url.startswith(_SQLITE):
        return _sqlite(Path(url.removeprefix(_SQLITE)))
    import sqlalchemy as sa

    target = sa.make_url(url)
    arguments = {"connect_timeout": max(2, round(timeout_seconds))} if target.get_backend_name() == "postgresql" else {}
    # No pool: each check proves that a connection can be had.
    return database(sa.create_engine(target, poolclass=sa.NullPool, connect_args=arguments))


def registry(tracking_uri: str, *, timeout_seconds: float) -> Callable[[], Finding]:
    """Of an MLflow tracking server by its own health page, of a database or folder directly. MLflow is not imported."""
    if tracking_uri.startswith(("http://", "https://")):
        return _server(f"{tracking_uri.rstrip('/')}/health", timeout_seconds)
    if tracking_uri.startswith("file:") or "://" not in tracking_uri:
        return _folder(Path(tracking_uri.removeprefix("file://")))
    return database_at(tracking_uri, timeout_seconds=timeout_seconds)


def _sqlite(file: Path) -> Callable[[], Finding]:
    was_there = False

    def check() -> Finding:
        nonlocal was_there
        if not file.exists():
            gone = failed(f"{file} was there, and is gone")
            return gone if was_there else ok(f"{file} will be made when it is first needed")
        was_there = True
        began = time.perf_counter()
        # Of the schema's table: opening alone does not read the file.
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=1)
        try:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()
        return ok("sqlite", answer_seconds=time.perf_counter() - began, tables=tables)

    return check


def _server(address: str, timeout_seconds: float) -> Callable[[], Finding]:
    def check() -> Finding:
        began = time.perf_counter()
        # The address is the operator's own setting, and http by its prefix.
        with urllib.request.urlopen(address, timeout=timeout_seconds) as answer:  # nosec B310
            answer.read(100)
        return ok(address, answer_seconds=time.perf_counter() - began)

    return check


def _folder(folder: Path) -> Callable[[], Finding]:
    def check() -> Finding:
        return ok(str(folder)) if folder.is_dir() else failed(f"there is no folder {folder}")

    return check
