"""Requests made up from the description, against the application with an administrator's rights: nothing is found.

Every answer has a described status, content type and shape; nothing is a fault; what the description forbids is
refused, and what it allows is not.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth import codes, login, redeeming
from pynomaly_pipelines.service.auth.login import From
from pynomaly_pipelines.service.auth.parts import Auth
from pynomaly_pipelines.service.serving.listening import listen
from pynomaly_pipelines.service.serving.protocol import bounded_protocol
from pynomaly_pipelines.service.settings import ServiceSettings
from tests.service.installation import CHEAP, PASSWORD

EXAMPLES = 15
"""For each operation, of each kind: as described, and against it."""

ADMIN = "ada"
# Which fields of these bodies go together is told in words, not by the schema.
TOLD_IN_WORDS = (
    "/v1/access-requests",
    "/v1/pipelines/{name}/threshold/preview",
    "/v1/pipelines/{name}/incidents/{incident}/state",
    # How long a key may hold is a setting.
    "/v1/api-keys",
)
# Asking ends the login that it was asked with.
ENDS_LOGINS = ("/v1/auth/logout", "/v1/auth/logout-all", "/v1/auth/session", "/v1/auth/signing-keys/rotate")
# Not JSON.
WITHOUT = ("/metrics",)
COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
OPERATIONS = [
    (method.upper(), path)
    for path, item in json.loads(COMMITTED.read_text(encoding="utf-8"))["paths"].items()
    for method in item
    if path not in WITHOUT
]


@dataclass
class Asking:
    """The service's address, and an administrator that can log in."""

    description: schemathesis.BaseSchema
    auth: Auth
    headers: dict[str, str] = field(default_factory=dict)

    def log_in(self) -> None:
        """A login as that of `POST /v1/auth/token`."""
        found = login.by_password(self.auth, ADMIN, PASSWORD, "", From("127.0.0.1"))
        self.headers = {"Authorization": f"Bearer {found.access}"}

    def check(self, case: schemathesis.Case) -> None:
        """Ask, and hold the answer against the description; no Dagster runs here, so that 503 is an honest answer."""
        if not self.headers or case.path in ENDS_LOGINS:
            self.log_in()
        answer = case.call(headers=self.headers)
        allowed: list[Any] = [not_a_server_error] if answer.status_code == 503 else []
        # A cursor is whatever the page before said: no schema can describe it.
        if answer.status_code == 400 and "cursor" in answer.json()["detail"]:
            allowed.append(positive_data_acceptance)
        if answer.status_code == 422 and case.path in TOLD_IN_WORDS:
            allowed.append(positive_data_acceptance)
        case.validate_response(answer, excluded_checks=allowed, headers=self.headers)
        if case.path in ENDS_LOGINS:
            self.log_in()


@pytest.fixture(scope="module", autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYNOMALY_HOME", str(tmp_path_factory.mktemp("fuzzed")))
        yield


@pytest.fixture(scope="module")
def asking(_empty_home: None) -> Iterator[Asking]:
    """The description as a real server gives it, which is then asked over real connections."""
    settings = ServiceSettings(trusted_hosts=("127.0.0.1",), **CHEAP)
    app = create_app(settings, Project.current())
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    config = uvicorn.Config(app, http=bounded_protocol(settings), ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        description = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json", wait_for_schema=60)
        auth = app.state.service.auth
        add_admin(auth)
        yield Asking(description, auth)
    finally:
        server.should_exit = True
        thread.join(60)


def add_admin(auth: Auth) -> None:
    """The first administrator, by a code as `pynomaly accounts bootstrap` prints it."""
    with auth.database.writing() as session:
        code, _ = codes.make(session, None, auth.now())
    redeeming.bootstrap(auth, code, ADMIN, PASSWORD, From("127.0.0.1"))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_is_found(asking: Asking, method: str, path: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=asking.description[path][method].as_strategy())
    def ask(case: schemathesis.Case) -> None:
        asking.check(case)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=asking.description[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def ask_wrongly(case: schemathesis.Case) -> None:
        asking.check(case)

    ask()
    with contextlib.suppress(Unsatisfiable):
        ask_wrongly()
