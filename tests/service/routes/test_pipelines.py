"""GET /v1/pipelines."""

from __future__ import annotations

from fastapi.testclient import TestClient

from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.app import create_app
from tests.service.conftest import ClientAs


def test_each_role_sees_the_pipelines(client_as: ClientAs) -> None:
    for role in Role:
        answer = client_as(role).get("/v1/pipelines")
        assert answer.status_code == 200
        assert [p["name"] for p in answer.json()] == ["airport_delays", "cytology", "flights"]


def test_an_account_limited_to_grants_sees_those(client_as: ClientAs) -> None:
    granted = {"flights": frozenset({Permission.SCORE})}
    answer = client_as(Role.VIEWER, all_pipelines=False, grants=granted).get("/v1/pipelines")
    assert answer.json() == [{"name": "flights"}]


def test_nobody_is_told_to_log_in() -> None:
    with TestClient(create_app()) as client:
        answer = client.get("/v1/pipelines")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "request-not-authenticated"
    assert answer.json()["fix"] == "log in: POST /v1/auth/token"
