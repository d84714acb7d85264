"""What is done to models and data over HTTP, and what was tried, stands in the audit log."""

from __future__ import annotations

from pynomaly_pipelines.service.access.permissions import Role
from tests.service.audited import entries
from tests.service.routes.test_models import MODELS, other, promote
from tests.service.routes.test_quarantine import DAYS, HELD, Till, till, zone
from tests.service.stocked import Serving
from tests.small_pipelines import Trained

__all__ = ["till", "zone"]
SHOP = {"by": "the-admin", "subject": "pipeline:shop"}
MOVES = ("model.promoted", "model.rolled-back", "model.refused")


def test_moves_of_the_champion_and_those_that_were_refused(serving: Serving, shop_copy: Trained) -> None:
    client = serving(shop_copy)
    champion, wanted = shop_copy.registry.champion("shop").number, other(shop_copy)
    stale = {"If-Match": f'"champion-{wanted}"'}
    assert promote(client, wanted, force=False, reason="").status_code == 409
    assert promote(client, wanted, stale).status_code == 412
    assert promote(client, wanted).status_code == 200
    assert client.post(f"{MODELS}/rollback", json={"reason": "it was Monday"}).status_code == 200
    assert client.post(f"{MODELS}/rollback", json={"to": 99}).status_code == 409
    found = entries(client, *MOVES)
    whys = [found[number].pop("why") for number in (0, 1, 4)]
    assert all(whys)
    forced = {"version": wanted, "forced": True, "reason": "it is Tuesday"}
    assert found == [
        {
            **SHOP,
            **forced,
            "action": "model.refused",
            "forced": False,
            "reason": "",
            "code": "registry-error",
        },
        {**SHOP, **forced, "action": "model.refused", "code": "request-precondition-failed"},
        {**SHOP, **forced, "action": "model.promoted", "before": champion},
        {**SHOP, "action": "model.rolled-back", "version": champion, "before": wanted, "reason": "it was Monday"},
        {**SHOP, "action": "model.refused", "to": 99, "reason": "", "code": "registry-error"},
    ]


def test_who_may_not_leaves_no_entry_of_a_move(serving: Serving, shop_copy: Trained) -> None:
    client = serving(shop_copy, Role.USER)
    assert promote(client, other(shop_copy)).status_code == 403
    assert entries(client, *MOVES) == []


def test_exclusions(serving: Serving, shop_copy: Trained) -> None:
    client = serving(shop_copy)
    asked = {"start": "2025-01-01T00:00:00Z", "end": "2025-01-02T00:00:00Z", "reason": "a sale"}
    made = client.post("/v1/pipelines/shop/exclusions", json=asked).json()["id"]
    assert client.delete(f"/v1/pipelines/shop/exclusions/{made}").status_code == 204
    assert client.delete(f"/v1/pipelines/shop/exclusions/{made}").status_code == 404
    start, end = "2025-01-01T00:00:00+00:00", "2025-01-02T00:00:00+00:00"
    assert entries(client, "exclusion.added", "exclusion.removed") == [
        {**SHOP, "action": "exclusion.added", "id": made, "start": start, "end": end, "reason": "a sale"},
        {**SHOP, "action": "exclusion.removed", "id": made},
    ]


def test_files_of_scores(serving: Serving, shop: Trained) -> None:
    client = serving(shop, Role.VIEWER)
    asked = {"top": 3, "format": "parquet", "partition": ["2025-01-01", "2025-01-02"]}
    assert client.get("/v1/pipelines/shop/scores/export", params=asked).status_code == 200
    assert client.get("/v1/pipelines/shop/scores/export", params={"top": 0}).status_code == 422
    assert entries(client, "scores.exported") == [
        {
            "by": "the-viewer",
            "subject": "pipeline:shop",
            "action": "scores.exported",
            "format": "parquet",
            "partitions": ["2025-01-01", "2025-01-02"],
        }
    ]


def test_files_of_quarantined_rows(till: Till) -> None:
    client = till(Role.ADMIN)
    assert client.get(f"{HELD}/export", params={"partition": DAYS[1]}).status_code == 200
    assert entries(client, "quarantine.exported") == [
        {**SHOP, "action": "quarantine.exported", "format": "csv", "partitions": [DAYS[1]]}
    ]
