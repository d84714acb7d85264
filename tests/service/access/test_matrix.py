"""Every role × every endpoint of the application. A new endpoint is in it by being there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations.errors import NotAuthenticated
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.matrix import Endpoint, endpoints
from pynomaly_pipelines.service.access.permissions import PER_PIPELINE, Permission, Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.auth.recognition import Identity
from pynomaly_pipelines.service.settings import ServiceSettings

ENDPOINTS = endpoints(create_app(ServiceSettings(), Project.current()))
SEEN, HIDDEN = "flights", "cytology"

# Written out, not taken from the code under test: who may do what by role alone.
VIEWER = {
    "pipelines:read", "scores:read", "models:read", "runs:read", "incidents:read", "access:request", "keys:own",
    "dagster:read", "mlflow:read",
}  # fmt: skip
USER = VIEWER | {
    "score", "quarantine:read", "runs:launch", "runs:cancel", "feedback:write", "health:details", "dagster:write",
}  # fmt: skip
ADMIN = {p.value for p in Permission}


@dataclass(frozen=True)
class Asking:
    """A caller, and which permissions it has on `SEEN`, written out."""

    caller: Caller | None
    has: set[str] = field(default_factory=set)
    sees_hidden: bool = True


def _caller(role: Role, **more: object) -> Caller:
    return Caller(role.value, role.value, role, **more)  # type: ignore[arg-type]


PROMOTER = {SEEN: frozenset({Permission.MODELS_PROMOTE})}
ASKING = {
    "anonymous": Asking(None),
    "viewer": Asking(_caller(Role.VIEWER), VIEWER),
    "user": Asking(_caller(Role.USER), USER),
    "admin": Asking(_caller(Role.ADMIN), ADMIN),
    "viewer with a grant": Asking(_caller(Role.VIEWER, grants=PROMOTER), VIEWER | {"models:promote"}),
    "viewer limited to a grant": Asking(
        _caller(Role.VIEWER, grants=PROMOTER, all_pipelines=False),
        (VIEWER | {"models:promote"}) - {"dagster:read", "mlflow:read"},
        sees_hidden=False,
    ),
    "admin's key for scores": Asking(_caller(Role.ADMIN, scopes=frozenset({Permission.SCORES_READ})), {"scores:read"}),
}


class Clients:
    def __init__(self, app: FastAPI, client: TestClient) -> None:
        self.app = app
        self.client = client

    def ask(self, who: Asking, endpoint: Endpoint, pipeline: str) -> int:
        def found(request: Request) -> Caller:
            if who.caller is None:
                raise NotAuthenticated("nobody")
            request.state.identity = Identity(who.caller, epoch=1, until=0.0, session="0" * 32)
            return who.caller

        self.app.dependency_overrides[authenticate] = found
        return self.client.request(endpoint.method, url_of(endpoint, pipeline), json={}).status_code


def url_of(endpoint: Endpoint, pipeline: str) -> str:
    """The path with something in each place; the pipeline's is called `name`."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda place: pipeline if place.group(1) == "name" else "0" * 32, endpoint.path)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    home: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYNOMALY_HOME", str(home))
        every = dict.fromkeys(("rate_login", "rate_score", "rate_read", "rate_write", "rate_pages"), "100000/60")
        app = create_app(ServiceSettings(trusted_hosts=("testserver",), **every), Project.current())
        yield Clients(app, TestClient(app, raise_server_exceptions=False))


def test_every_endpoint_says_who_may_call_it() -> None:
    assert [f"{e.method} {e.path}" for e in ENDPOINTS if not e.says_who] == []
    assert len(ENDPOINTS) > 15


def test_an_endpoint_that_says_nothing_is_found() -> None:
    app = FastAPI()

    @app.post("/v1/forgotten")
    def forgotten() -> None: ...

    assert [e.path for e in endpoints(app) if not e.says_who and e.path.startswith("/v1")] == ["/v1/forgotten"]


def test_the_public_ones_are_these() -> None:
    public = {e.path for e in ENDPOINTS if e.public is not None}
    assert {p for p in public if not p.startswith(("/v1/auth/", "/login", "/logout", "/pages/"))} <= {
        "/", "/docs", "/openapi.json", "/problems", "/problems/{code}", "/health/live", "/health/ready",
        "/health/startup", "/favicon.ico", "/docs/{file}", "/login", "/login/{file}", "/.well-known/jwks.json",
    }  # fmt: skip
    assert all(e.permission is None for e in ENDPOINTS if e.public is not None)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: f"{e.method} {e.path}")
@pytest.mark.parametrize("who", ASKING.values(), ids=list(ASKING))
def test_each_caller_is_let_in_or_refused(clients: Clients, endpoint: Endpoint, who: Asking) -> None:
    code = clients.ask(who, endpoint, SEEN)
    assert code < 500 or code == 503
    if endpoint.public is not None:
        return
    if who.caller is None:
        assert code == 401
    elif endpoint.account_only or allowed(endpoint, who):
        assert code not in (401, 403)
    else:
        assert code == 403


def allowed(endpoint: Endpoint, who: Asking) -> bool:
    permission = endpoint.permission
    assert permission is not None
    if permission.value not in who.has:
        return False
    named = "{name}" in endpoint.path
    if permission is Permission.MODELS_PROMOTE and "with a grant" in str(who) and not named:
        return endpoint.somewhere
    granted_there_only = permission is Permission.MODELS_PROMOTE and bool(who.caller and who.caller.grants)
    return named or endpoint.somewhere or not (granted_there_only and permission in PER_PIPELINE)


@pytest.mark.parametrize(
    "endpoint",
    [e for e in ENDPOINTS if "{name}" in e.path and e.public is None],
    ids=lambda e: f"{e.method} {e.path}",
)
def test_a_pipeline_that_is_not_seen_is_not_there(clients: Clients, endpoint: Endpoint) -> None:
    limited = ASKING["viewer limited to a grant"]
    everything = Asking(_caller(Role.ADMIN, grants=PROMOTER, all_pipelines=False), ADMIN)
    for who in (limited, everything):
        assert clients.ask(who, endpoint, HIDDEN) == 404
        assert clients.ask(who, endpoint, "not_there") == 404
