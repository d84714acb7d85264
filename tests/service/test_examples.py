"""The description's examples of success are what a stocked service answers, one for each operation and status.

After a change on purpose: `pytest tests/service/test_examples.py --snapshot-update`, then `python docs/generate.py`,
and look at the diff.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.settings import ServiceSettings
from tests.service.capturing import FILE, captured, differences, written
from tests.service.every_operation import OPERATIONS, House
from tests.service.installation import CHEAP
from tests.service.stocked_home import StockedHome, behind, dagsters_webserver

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
DESCRIBED: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
SUCCESSES = [
    pytest.param(media, id=f"{method.upper()} {path} {status}")
    for path, item in DESCRIBED["paths"].items()
    for method, operation in item.items()
    for status, answer in operation["responses"].items()
    for kind, media in answer.get("content", {}).items()
    if int(status) < 300 and kind == "application/json"
]


@pytest.fixture
def house(stocked_home: StockedHome, tmp_path: Path) -> Iterator[House]:
    with stocked_home.copy(tmp_path / "home").entered() as project, dagsters_webserver(project) as transport:
        app = create_app(ServiceSettings(trusted_hosts=("localhost",), **CHEAP), project)
        behind(app.state.service, transport)
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            yield House(client, app.state.service.auth, app.state.service.dagster)
        app.state.service.dagster.dispose()


def test_what_is_answered_is_what_is_committed(house: House, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = captured(house, tmp_path / "home")
    if request.config.getoption("--snapshot-update"):
        FILE.write_text(written(found), encoding="utf-8")
    committed = json.loads(FILE.read_text(encoding="utf-8"))
    assert list(differences(committed, found)) == []


def test_every_operation_is_asked() -> None:
    described = {f"{method.upper()} {path}" for path, item in DESCRIBED["paths"].items() for method in item}
    assert set(OPERATIONS) | {"POST /v1/auth/bootstrap"} == described


@pytest.mark.parametrize("media", SUCCESSES)
def test_every_success_has_an_example_of_its_own_shape(media: dict[str, Any]) -> None:
    schema = {**media["schema"], "components": DESCRIBED["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(media["example"])


def test_no_example_holds_a_secret() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert "otters" not in text
    assert "eyJ" not in text
