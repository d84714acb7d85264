"""Exclusions, thresholds, drift and lineage over HTTP: the same as the stages and commands say."""

from __future__ import annotations

import pytest

from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.thresholds.proposals import propose
from tests.service.stocked import Serving
from tests.small_pipelines import Trained

SHOP = "/v1/pipelines/shop"
WEEKEND = {"start": "2025-01-04T00:00:00+01:00", "end": "2025-01-06T00:00:00+01:00", "reason": "a move"}


def test_exclusions_come_and_go(serving: Serving, shop_copy: Trained) -> None:
    client = serving(shop_copy)
    made = client.post(f"{SHOP}/exclusions", json={**WEEKEND, "where": {"country": ["DE"]}})
    assert made.status_code == 201
    assert (made.json()["start"], made.json()["by"], made.json()["source"]) == (
        "2025-01-03T23:00:00Z",
        "the-admin",
        "manual",
    )
    assert client.post(f"{SHOP}/exclusions", json={**WEEKEND, "where": {"country": ["DE"]}}).json() == made.json()
    assert [one.id for one in exclusions.read(shop_copy.spec, shop_copy.lake)] == [made.json()["id"]]
    assert client.get(f"{SHOP}/exclusions").json() == {"items": [made.json()]}
    assert client.delete(f"{SHOP}/exclusions/{made.json()['id']}").status_code == 204
    assert client.get(f"{SHOP}/exclusions").json() == {"items": []}
    assert client.delete(f"{SHOP}/exclusions/{made.json()['id']}").status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"end": "2025-01-03T00:00:00Z"}, 422),
        ({"where": {"colour": ["red"]}}, 422),
        ({"start": "2025-01-04T00:00:00"}, 422),
        ({"reason": ""}, 422),
        ({"who": "ann"}, 422),
    ],
    ids=str,
)
def test_exclusions_that_do_not_fit(
    serving: Serving, shop_copy: Trained, change: dict[str, object], status: int
) -> None:
    assert serving(shop_copy).post(f"{SHOP}/exclusions", json=WEEKEND | change).status_code == status
    assert exclusions.read(shop_copy.spec, shop_copy.lake) == ()


def test_only_who_may_decide_excludes(serving: Serving, shop_copy: Trained) -> None:
    client = serving(shop_copy, Role.USER)
    assert client.get(f"{SHOP}/exclusions").status_code == 200
    assert client.post(f"{SHOP}/exclusions", json=WEEKEND).status_code == 403
    assert client.delete(f"{SHOP}/exclusions/x").status_code == 403


def test_the_threshold_and_what_another_would_have_meant(serving: Serving, shop: Trained) -> None:
    client = serving(shop, Role.VIEWER)
    champion = shop.registry.champion("shop")
    told = client.get(f"{SHOP}/threshold").json()
    assert (told["version"], told["threshold"], told["by"]) == (champion.number, champion.threshold, "defs.yaml")
    found = client.post(f"{SHOP}/threshold/preview", json={"score": 0.9}).json()
    expected = propose(shop.spec, shop.lake, shop.registry, type(shop.spec.threshold)(score=0.9))
    assert expected.proposed is not None
    assert found["proposed"]["threshold"] == 0.9
    assert list(found["proposed"]["alerts"].values()) == [float(n) for n in expected.proposed.tried.alerts]
    assert found["proposed"]["caught"] == expected.proposed.caught
    assert client.get(f"{SHOP}/threshold").json() == told


@pytest.mark.parametrize("rule", [{"score": 2}, {"score": 0.5, "alert_rate": 0.1}, {"budget": {"alerts": 0}}, {"x": 1}])
def test_rules_that_are_none(serving: Serving, shop: Trained, rule: dict[str, object]) -> None:
    assert serving(shop).post(f"{SHOP}/threshold/preview", json=rule).status_code == 422


def test_lineage_by_id_and_by_columns(serving: Serving, shop: Trained) -> None:
    client = serving(shop, Role.VIEWER)
    item = client.get(f"{SHOP}/scores", params={"where": "id=17"}).json()["items"][0]
    found = client.get(f"{SHOP}/scores/{item['partition']}/{item['id']}/lineage").json()
    assert found == client.get(f"{SHOP}/scores/lineage", params={"where": "id=17"}).json()
    champion = shop.registry.champion("shop")
    assert (found["score"], found["scoring_run"]) == (item["score"], "run-1")
    assert (found["model"]["version"], found["model"]["mlflow_run"]) == (champion.number, champion.run_id)
    # Ten days of 60 rows: eight were fitted, two held out.
    assert found["training"]["fitted_on"] == {f"2025-01-{day:02}": 60 for day in range(1, 9)}
    assert str(shop.folder) not in str(found)
    assert client.get(f"{SHOP}/scores/lineage", params={"where": "id=99999"}).status_code == 422


def test_drift_says_why_there_is_none(serving: Serving, shop: Trained) -> None:
    found = serving(shop).get(f"{SHOP}/drift").json()
    assert (found["partition"], found["subjects"]) == (None, [])
    assert "`drift.min_partitions`" in found["why_not"]
