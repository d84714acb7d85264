"""Accounts of each role in a real database, asking over HTTP; who asks is told by a header instead of a token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations.errors import NotAuthenticated
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.access.standing import standing_of
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.tables import Account, now
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.settings import ServiceSettings
from tests.service.databases import NewDatabase

HEADER = "x-test-account"


@dataclass(frozen=True)
class People:
    """`people("ann").get(…)`: a request of ann."""

    app: FastAPI
    client: TestClient

    @property
    def database(self) -> Database:
        found: Database = self.app.state.service.database
        return found

    def add(self, name: str, role: Role = Role.VIEWER, *, all_pipelines: bool = True) -> str:
        with self.database.writing() as session:
            account = Account(name=name, role=role.value, all_pipelines=all_pipelines)
            session.add(account)
            session.flush()
            return account.id

    def __call__(self, name: str) -> TestClient:
        found = TestClient(self.app, headers={HEADER: name}, raise_server_exceptions=False)
        found.base_url = self.client.base_url
        return found

    def caller(self, name: str) -> Caller:
        with self.database.reading() as session:
            account = session.query(Account).filter_by(name=name).one()
            standing = standing_of(session, account.id, Role(account.role), now())
        return Caller(
            account.id, account.name, standing.role, account.all_pipelines, standing.grants, standing.granted,
            holds_until=standing.holds_until,
        )  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def people(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    """Two admins (root, second), a user (bo) and a viewer (ann)."""
    monkeypatch.setenv("PYNOMALY_HOME", str(tmp_path / "home"))
    url = NewDatabase(request, tmp_path).migrated(request.param)
    app = create_app(ServiceSettings(database_url=url, trusted_hosts=("testserver",)), Project.current())
    client = TestClient(app, raise_server_exceptions=False)
    found = People(app, client)

    def who(request: Request) -> Caller:
        name = request.headers.get(HEADER)
        if name is None:
            raise NotAuthenticated("nobody")
        return found.caller(name)

    app.dependency_overrides[authenticate] = who
    for name, role in (("root", Role.ADMIN), ("second", Role.ADMIN), ("bo", Role.USER), ("ann", Role.VIEWER)):
        found.add(name, role)
    yield found
    found.database.close()
