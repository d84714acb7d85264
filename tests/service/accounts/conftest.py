"""The accounts' database, empty, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pynomaly_pipelines.service.accounts.database import Database
from tests.service.databases import NewDatabase


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with nothing in it."""
    found = Database(NewDatabase(request, tmp_path).url(request.param))
    yield found
    found.close()
