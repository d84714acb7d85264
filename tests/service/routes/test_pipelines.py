"""GET /v1/pipelines and one of them."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.app import create_app
from tests.service.conftest import ClientAs
from tests.service.stocked import Serving
from tests.small_pipelines import DAYS, ROWS, Trained


def test_each_role_sees_the_pipelines(client_as: ClientAs) -> None:
    for role in Role:
        answer = client_as(role).get("/v1/pipelines")
        assert answer.status_code == 200
        assert [p["name"] for p in answer.json()["items"]] == ["airport_delays", "cytology", "flights"]


def test_an_account_limited_to_grants_sees_those(client_as: ClientAs) -> None:
    granted = {"flights": frozenset({Permission.SCORE})}
    answer = client_as(Role.VIEWER, all_pipelines=False, grants=granted).get("/v1/pipelines")
    assert [p["name"] for p in answer.json()["items"]] == ["flights"]


def test_nobody_is_told_to_log_in() -> None:
    with TestClient(create_app()) as client:
        answer = client.get("/v1/pipelines")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "request-not-authenticated"
    assert answer.json()["fix"] == "log in: POST /v1/auth/token"


def test_a_pipeline_that_has_run_tells_how_far_it_came(serving: Serving, shop: Trained) -> None:
    meters, found = serving(shop).get("/v1/pipelines").json()["items"]
    champion = shop.registry.champion("shop")
    assert found["champion"] == {
        "version": champion.number,
        "detector": champion.detector,
        "threshold": champion.threshold,
    }
    rows = DAYS * ROWS
    # The small pipelines begin behind the ingestion.
    assert found["counts"] == {
        "partitions": DAYS,
        "ingested": 0,
        "validated": rows,
        "quarantined": 0,
        "scored": rows,
    }
    assert found["freshness"]["last_partition"] == "2025-01-10"
    # The calendar goes on, the scores do not: they are behind by the days since.
    assert found["freshness"]["behind_seconds"] > 300 * 86_400
    assert (meters["champion"], meters["counts"]["scored"], meters["freshness"]["last_partition"]) == (None, 0, None)


def test_one_pipeline_tells_its_spec_without_where_secrets_come_from(serving: Serving, shop: Trained) -> None:
    answer = serving(shop).get("/v1/pipelines/shop")
    found = answer.json()
    assert found["anomalies"] == int(shop.scores()["is_anomaly"].sum())
    assert found["models"] == len(shop.versions)
    assert found["checks"] == [
        {
            "name": "expect_column_values_to_be_between",
            "columns": ["amount"],
            "severity": "error",
            "arguments": {"min_value": 0},
        }
    ]
    assert found["spec"]["threshold"]["alert_rate"] == 0.02
    assert found["spec"]["source"]["path"] == "in/%Y-%m-%d.csv"
    assert "credentials" not in found["spec"]["source"]["storage"]
    assert "SHOP_KEY_NAME" not in answer.text


def test_pages_of_pipelines(client_as: ClientAs) -> None:
    client = client_as(Role.VIEWER)
    first = client.get("/v1/pipelines", params={"limit": 2})
    assert [p["name"] for p in first.json()["items"]] == ["airport_delays", "cytology"]
    assert f"cursor={first.json()['next']}" in first.headers["link"]
    last = client.get("/v1/pipelines", params={"limit": 2, "cursor": first.json()["next"]}).json()
    assert ([p["name"] for p in last["items"]], last["next"]) == (["flights"], None)


def test_a_caller_that_has_the_answer_is_told_so(serving: Serving, shop: Trained) -> None:
    client = serving(shop)
    for path in ("/v1/pipelines/shop/scores", "/v1/pipelines/shop/partitions", "/v1/pipelines/shop/drift"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert client.get(path, headers={"If-None-Match": '"another"'}).status_code == 200


def test_a_file_that_changes_is_read_again(serving: Serving, tmp_path: Path) -> None:
    client = serving()
    assert client.get("/v1/pipelines/shop").json()["description"] == "Orders"
    file = tmp_path / "project" / "watch" / "defs" / "shop" / "defs.yaml"
    file.write_text(file.read_text().replace("description: Orders", "description: All the orders"))
    assert client.get("/v1/pipelines/shop").json()["description"] == "All the orders"
