"""Requests made up from the description, against the application with an administrator's rights: nothing is found.

Every answer has a described status, content type and shape; nothing is a fault; what the description forbids is
refused, and what it allows is not.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI, Request
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pynomaly_pipelines.operations.errors import NotAuthenticated
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.serving.listening import listen
from pynomaly_pipelines.service.serving.protocol import bounded_protocol
from pynomaly_pipelines.service.settings import ServiceSettings

EXAMPLES = 15
"""For each operation, of each kind: as described, and against it."""

CREDENTIALS = {"Authorization": "Bearer of-the-administrator"}
# Which fields of these bodies go together is told in words, not by the schema.
TOLD_IN_WORDS = (
    "/v1/access-requests",
    "/v1/pipelines/{name}/threshold/preview",
    "/v1/pipelines/{name}/incidents/{incident}/state",
)
# Not JSON.
WITHOUT = ("/metrics",)
COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
OPERATIONS = [
    (method.upper(), path)
    for path, item in json.loads(COMMITTED.read_text(encoding="utf-8"))["paths"].items()
    for method in item
    if path not in WITHOUT
]


def application() -> FastAPI:
    """The application, asked by an administrator."""
    generous = dict.fromkeys(("rate_login", "rate_score", "rate_read", "rate_write"), "100000000/60")
    app = create_app(ServiceSettings(trusted_hosts=("127.0.0.1",), **generous), Project.current())  # type: ignore[arg-type]
    who = Caller(account="the-admin", name="the-admin", role=Role.ADMIN)

    async def known(request: Request) -> Caller:
        if request.headers.get("authorization") != CREDENTIALS["Authorization"]:
            raise NotAuthenticated("no credentials, or others")
        return who

    app.dependency_overrides[authenticate] = known
    return app


def check(case: schemathesis.Case) -> None:
    """Ask, and hold the answer against the description; no Dagster runs here, so that 503 is an honest answer."""
    answer = case.call(headers=CREDENTIALS)
    allowed: list[Any] = [not_a_server_error] if answer.status_code == 503 else []
    # A cursor is whatever the page before said: no schema can describe it.
    if answer.status_code == 400 and "cursor" in answer.json()["detail"]:
        allowed.append(positive_data_acceptance)
    if answer.status_code == 422 and case.path in TOLD_IN_WORDS:
        allowed.append(positive_data_acceptance)
    case.validate_response(answer, excluded_checks=allowed, headers=CREDENTIALS)


@pytest.fixture(scope="module", autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYNOMALY_HOME", str(tmp_path_factory.mktemp("fuzzed")))
        yield


@pytest.fixture(scope="module")
def described(_empty_home: None) -> Iterator[schemathesis.BaseSchema]:
    """The description as a real server gives it, which is then asked over real connections."""
    app = application()
    listening = listen("127.0.0.1", 0)
    protocol = bounded_protocol(ServiceSettings())
    server = uvicorn.Server(uvicorn.Config(app, http=protocol, ws="none", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    port = listening.getsockname()[1]
    thread.start()
    yield schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json", wait_for_schema=60)
    server.should_exit = True
    thread.join(30)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_is_found(described: schemathesis.BaseSchema, method: str, path: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy())
    def ask(case: schemathesis.Case) -> None:
        check(case)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def ask_wrongly(case: schemathesis.Case) -> None:
        check(case)

    ask()
    with contextlib.suppress(Unsatisfiable):
        ask_wrongly()
