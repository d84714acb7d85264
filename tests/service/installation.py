"""A service with real accounts for tests: its application, its clock, and clients that log in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.accounts import management
from pynomaly_pipelines.service.accounts.tables import Account
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.entries import Actor
from pynomaly_pipelines.service.audit.log import Asked, page
from pynomaly_pipelines.service.auth.parts import Auth
from pynomaly_pipelines.service.settings import ServiceSettings

PASSWORD = "seven green otters juggle"  # pragma: allowlist secret
START = 1_800_000_000.0
# Rates of requests have tests of their own.
_OFTEN = {f"rate_{kind}": "1000000/60" for kind in ("login", "score", "read", "write", "pages")}
CHEAP: dict[str, Any] = {
    "argon2_memory_kib": 1024,
    "argon2_passes": 1,
    "signing_algorithm": "Ed25519",
    "log_level": "error",
    **_OFTEN,
}


@dataclass
class Clock:
    """Seconds since 1970, moved by hand."""

    at: float = START

    def __call__(self) -> float:
        return self.at


@dataclass
class Installation:
    """One service with a database; `app` is one process of it, `another()` a second one."""

    home: Path
    url: str
    settings: dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    closing: list[Callable[[], object]] = field(default_factory=list)
    _first: dict[int, TestClient] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = self.another()
        self.client = self.client_of(self.app)

    @property
    def auth(self) -> Auth:
        found: Auth = self.app.state.service.auth
        return found

    def another(self) -> FastAPI:
        """Another process on the same database and home."""
        settings = ServiceSettings(database_url=SecretStr(self.url), **{**CHEAP, **self.settings})
        app = create_app(settings, Project(Settings.from_environment(), "pynomaly_pipelines", _DEFS))
        service = app.state.service
        service.__dict__["auth"] = auth = Auth.of(settings, service.database, self.home, self.clock)
        self.closing += [auth.close, service.database.close]
        return app

    def client_of(self, app: FastAPI, address: str = "127.0.0.1") -> TestClient:
        """A client of it; all clients of one application are in one event loop, as in one process."""
        client = TestClient(app, base_url="http://localhost", client=(address, 50_000), raise_server_exceptions=False)
        first = self._first.setdefault(id(app), client)
        if first is client:
            client.__enter__()
            self.closing.insert(0, lambda: client.__exit__(None, None, None))
        else:
            client.portal = first.portal
        return client

    def add(self, name: str, role: Role = Role.USER, *, password: str = PASSWORD) -> Account:
        """An account that can log in."""
        actor = Actor.system("test")
        with self.auth.database.writing() as session:
            account = management.create(session, actor, name, role, all_pipelines=True, at=self.auth.now())
            stored = self.auth.passwords.hash(password)
            management.set_password(session, actor, account, stored, Action.LOGIN_CHANGED, self.auth.now())
        return account

    def try_login(self, name: str, password: str = PASSWORD, client: TestClient | None = None) -> httpx2.Response:
        form = {"grant_type": "password", "username": name, "password": password}
        return (client or self.client).post("/v1/auth/token", data=form)

    def login(self, name: str, password: str = PASSWORD) -> dict[str, Any]:
        answer = self.try_login(name, password)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refresh(self, token: str, client: TestClient | None = None) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return (client or self.client).post("/v1/auth/token", data=form)

    def me(self, token: str, client: TestClient | None = None) -> httpx2.Response:
        return (client or self.client).get("/v1/users/me", headers=bearer(token))

    def audited(self, action: Action) -> int:
        """How often the audit log tells of it."""
        with self.auth.database.reading() as session:
            return len(page(session, Asked(action=action.value, limit=500)))

    def close(self) -> None:
        for close in self.closing:
            close()


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}


_DEFS = Path(management.__file__).parents[2] / "defs"
