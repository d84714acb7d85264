"""The application with a caller of each role, without a server in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.settings import ServiceSettings
from tests.service.databases import NewDatabase
from tests.service.installation import Installation
from tests.service.stocked import serving

ClientAs = Callable[..., TestClient]


@pytest.fixture(autouse=True)
def _known_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test client calls itself `testserver`, which no service is called by default."""
    monkeypatch.setenv("PYNOMALY_SERVICE_TRUSTED_HOSTS", '["testserver", "localhost", "127.0.0.1"]')


@pytest.fixture
def client_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClientAs]:
    """`client_as(Role.USER)`: a client whose requests come from an account of that role.

    More of `Caller`'s fields can be given. The pipelines are those that come with the package; the home is empty.
    """
    monkeypatch.setenv("PYNOMALY_HOME", str(tmp_path / "home"))
    with ExitStack() as stack:

        def make(role: Role, **caller: object) -> TestClient:
            app = create_app(ServiceSettings(), Project.current())
            who = Caller(account=f"the-{role}", name=f"the-{role}", role=role, **caller)  # type: ignore[arg-type]
            app.dependency_overrides[authenticate] = lambda: who
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield make


__all__ = ["ClientAs", "client_as", "serving"]


@pytest.fixture
def installed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Installation]]:
    """`installed("sqlite", lockout_failures=3)`: a service with a database of its own."""
    monkeypatch.setenv("PYNOMALY_HOME", str(tmp_path / "home"))
    with ExitStack() as stack:

        def make(kind: str = "sqlite", **settings: object) -> Installation:
            url = NewDatabase(request, tmp_path).migrated(kind)
            found = Installation(tmp_path / "home", url, settings)
            stack.callback(found.close)
            return found

        yield make


@pytest.fixture(params=["sqlite", "postgres"])
def installation(request: pytest.FixtureRequest, installed: Callable[..., Installation]) -> Installation:
    """A service with the usual settings, on either database."""
    return installed(request.param)
