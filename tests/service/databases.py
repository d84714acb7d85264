"""New databases for tests, of either kind."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class NewDatabase:
    """Makes empty databases; PostgreSQL is only started when one of it is asked for."""

    request: pytest.FixtureRequest
    folder: Path

    def url(self, kind: str) -> str:
        """The URL of a new one: `sqlite` or `postgres`."""
        name = f"accounts_{uuid.uuid4().hex[:12]}"
        if kind == "sqlite":
            return f"sqlite:///{self.folder / name}.db"
        url: str = self.request.getfixturevalue("postgres").create(name)
        return url
