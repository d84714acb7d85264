"""New databases for tests, of either kind."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.migrating import migrate

_TEMPLATES = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True)
class NewDatabase:
    """Makes databases; PostgreSQL is only started when one of it is asked for."""

    request: pytest.FixtureRequest
    folder: Path

    def url(self, kind: str, template: str = "") -> str:
        """The URL of a new one, `sqlite` or `postgres`: empty, or a copy of another."""
        name = _name()
        if kind == "postgres":
            made: str = self.request.getfixturevalue("postgres").create(name, template or "template1")
            return made
        file = self.folder / f"{name}.db"
        if template:
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(template, file)
            file.chmod(0o600)
        return f"sqlite:///{file}"

    def migrated(self, kind: str) -> str:
        """The URL of a new one at the newest schema. Migrated once a session: copying takes a fraction of that."""
        templates = self.request.config.stash.setdefault(_TEMPLATES, {})
        if kind not in templates:
            folder = self.request.getfixturevalue("tmp_path_factory").getbasetemp()
            url = NewDatabase(self.request, folder).url(kind)
            database = Database(url)
            migrate(database)
            # Closing the last connection writes SQLite's log into its file; PostgreSQL copies what nobody has open.
            database.close()
            templates[kind] = url.removeprefix("sqlite:///") if kind == "sqlite" else url.rpartition("/")[2]
        return self.url(kind, templates[kind])


def _name() -> str:
    return f"accounts_{uuid.uuid4().hex[:12]}"
