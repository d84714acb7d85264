"""The description: valid, complete, committed, and usable by a client that knows nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.deprecation import deprecated
from pynomaly_pipelines.service.openapi import TAGS
from tests.service.conftest import ClientAs

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
    return found


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_it_is_valid_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    validate(described)


def test_it_is_the_running_applications(described: dict[str, Any]) -> None:
    assert TestClient(create_app()).get("/openapi.json").json() == described


def test_every_operation_has_a_name_a_tag_and_a_text(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(names) == len(set(names))
    for path, method, operation in operations(described):
        assert operation["operationId"].isidentifier(), (method, path)
        assert operation["tags"], (method, path)
        assert set(operation["tags"]) <= set(TAGS), (method, path)
        assert operation["description"], (method, path)


def test_every_problem_has_an_example_of_its_own_status(described: dict[str, Any]) -> None:
    for path, method, operation in operations(described):
        for status, answer in operation["responses"].items():
            if int(status) < 400 or "application/json" in answer.get("content", {}):
                continue
            examples = answer["content"]["application/problem+json"]["examples"]
            assert examples, (method, path, status)
            assert {example["value"]["status"] for example in examples.values()} == {int(status)}


def test_what_asks_for_an_account_says_so(described: dict[str, Any]) -> None:
    schemes = set(described["components"]["securitySchemes"])
    for path, method, operation in operations(described):
        if "security" in operation:
            assert {name for option in operation["security"] for name in option} <= schemes
            assert {"401", "403"} <= set(operation["responses"]), (method, path)


class GeneratedClient:
    """A client made from nothing but the description: a method for each operation id."""

    def __init__(self, described: dict[str, Any], client: TestClient) -> None:
        self._operations = {o["operationId"]: (path, method, o) for path, method, o in operations(described)}
        self._client = client

    def __getattr__(self, name: str) -> Any:
        path, method, operation = self._operations[name]

        def call(body: object = None, **given: Any) -> Any:
            places = {p["name"]: p["in"] for p in operation.get("parameters", [])}
            chosen = {place: {k: v for k, v in given.items() if places[k] == place} for place in ("query", "header")}
            inside = {k: v for k, v in given.items() if places[k] == "path"}
            answer = self._client.request(
                method, path.format(**inside), params=chosen["query"], headers=chosen["header"], json=body
            )
            assert str(answer.status_code) in operation["responses"]
            return answer.json()

        return call


def test_a_generated_client_works(described: dict[str, Any], client_as: ClientAs) -> None:
    client = GeneratedClient(described, client_as(Role.ADMIN))
    names = [pipeline["name"] for pipeline in client.list_pipelines()["items"]]
    assert "flights" in names
    assert client.ready()["status"] == "ok"


def test_what_will_go_says_so() -> None:
    router = APIRouter()

    @router.get("/old", **deprecated(date(2026, 1, 1), date(2026, 12, 1), "/v1/new"))
    async def old() -> dict[str, int]:
        return {"a": 1}

    app = FastAPI()
    app.include_router(router)
    answer = TestClient(app).get("/old")
    assert answer.headers["deprecation"] == "@1767225600"
    assert answer.headers["sunset"] == "Tue, 01 Dec 2026 00:00:00 GMT"
    assert answer.headers["link"] == '</v1/new>; rel="successor-version"'
    assert app.openapi()["paths"]["/old"]["get"]["deprecated"] is True
    with pytest.raises(ValueError, match="180 days"):
        deprecated(date(2026, 1, 1), date(2026, 2, 1), "/v1/new")
