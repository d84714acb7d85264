"""Requests made up from the description, against the application with an administrator's rights: nothing is found.

Every answer has a described status, content type and shape; nothing is a fault; what the description forbids is
refused, and what it allows is not.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings

from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.settings import ServiceSettings

EXAMPLES = 15
"""For each operation; `make fuzz` takes more."""

# Signals in streams, and answers that need a running Dagster, have tests of their own.
WITHOUT = ("/metrics",)


def application() -> FastAPI:
    """The application, asked by an administrator."""
    generous = dict.fromkeys(("rate_login", "rate_score", "rate_read", "rate_write"), "100000000/60")
    app = create_app(ServiceSettings(trusted_hosts=("testserver", "localhost"), **generous), Project.current())  # type: ignore[arg-type]
    who = Caller(account="the-admin", name="the-admin", role=Role.ADMIN)
    app.dependency_overrides[authenticate] = lambda: who
    return app


@pytest.fixture(scope="module", autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYNOMALY_HOME", str(tmp_path_factory.mktemp("fuzzed")))
        yield


@pytest.fixture(scope="module")
def described(_empty_home: None, tmp_path_factory: pytest.TempPathFactory) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", application())


schema = schemathesis.pytest.from_fixture("described").exclude(path=list(WITHOUT))


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_nothing_is_found(case: schemathesis.Case) -> None:
    case.call_and_validate()
