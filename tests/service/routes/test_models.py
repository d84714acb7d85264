"""Versions of a model over HTTP, promotion, rollback, and who wins a race."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.stages.promotion import champions
from pynomaly_pipelines.stages.promotion.champions import Move
from tests.service.stocked import Serving
from tests.small_pipelines import Trained

MODELS = "/v1/pipelines/shop/models"


def other(shop: Trained) -> int:
    """The candidate that did not become champion."""
    champion = shop.registry.champion("shop").number
    return next(version.number for version in shop.versions if version.number != champion)


def promote(client: TestClient, version: int, headers: dict[str, str] | None = None, **asked: Any) -> httpx.Response:
    asked = {"force": True, "reason": "it is Tuesday"} | asked
    return client.post(f"{MODELS}/{version}/promote", json=asked, headers=headers or {})


def test_versions_and_their_evaluation(serving: Serving, shop: Trained) -> None:
    client = serving(shop, Role.VIEWER)
    listed = client.get(MODELS).json()["items"]
    assert [item["version"] for item in listed] == [2, 1]
    champion = client.get(f"{MODELS}/champion")
    assert champion.json() == next(item for item in listed if "champion" in item["aliases"])
    number = champion.json()["version"]
    assert champion.headers["etag"] == f'"champion-{number}"'
    found = client.get(f"{MODELS}/{number}").json()
    assert found["verdict"]["outcome"] == "passed"
    assert found["verdict"]["rules"]
    assert found["card"].startswith("# ")
    assert found["metrics"] == shop.registry.metrics(shop.registry.version("shop", number))
    plot = client.get(f"{MODELS}/{number}/plots/{found['plots'][0]}")
    assert plot.headers["content-type"] == "image/png"
    assert plot.content.startswith(b"\x89PNG")


def test_pages_of_versions(serving: Serving, shop: Trained) -> None:
    client = serving(shop)
    first = client.get(MODELS, params={"limit": 1}).json()
    last = client.get(MODELS, params={"limit": 1, "cursor": first["next"]}).json()
    assert [page["items"][0]["version"] for page in (first, last)] == [2, 1]
    assert last["next"] is None


def test_a_version_beside_the_champion(serving: Serving, shop: Trained) -> None:
    number = other(shop)
    found = serving(shop).get(f"{MODELS}/{number}/comparison").json()
    own = shop.registry.metrics(shop.registry.version("shop", number))
    champion = shop.registry.metrics(shop.registry.champion("shop"))
    assert found["champion"] == shop.registry.champion("shop").number
    figures = {one["metric"]: one for one in found["metrics"]}
    assert set(figures) == {*own, *champion}
    for metric in set(own) & set(champion):
        assert figures[metric]["difference"] == pytest.approx(own[metric] - champion[metric])
    # The gate compared the winner with no champion, and never saw this one.
    assert found["verdict"] is None


@pytest.mark.parametrize("path", [f"{MODELS}/77", f"{MODELS}/77/comparison", f"{MODELS}/1/plots/none.png"])
def test_what_is_not_there(serving: Serving, shop: Trained, path: str) -> None:
    answer = serving(shop).get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "request-not-found")


def test_a_pipeline_that_was_never_trained(serving: Serving, shop: Trained) -> None:
    client = serving(shop)
    assert client.get("/v1/pipelines/meters/models").json() == {"items": [], "next": None}
    assert client.get("/v1/pipelines/meters/models/champion").status_code == 404
    assert client.get("/v1/pipelines/meters/models/champion/history").json()["items"] == []


def test_without_the_gate_a_promotion_needs_force_and_a_reason(serving: Serving, shop_copy: Trained) -> None:
    client, number = serving(shop_copy), other(shop_copy)
    before = shop_copy.registry.champion("shop").number
    refused = client.post(f"{MODELS}/{number}/promote", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "registry-error")
    assert "the gate did not let version" in refused.json()["detail"]
    silent = promote(client, number, reason="  ")
    assert (silent.status_code, silent.json()["code"]) == (422, "request-unprocessable")
    assert shop_copy.registry.champion("shop").number == before
    assert len(champions.history(shop_copy.lake, "shop")) == 1


def test_promotion_and_rollback_leave_a_trace_and_tell_dagster(serving: Serving, shop_copy: Trained) -> None:
    client, number = serving(shop_copy), other(shop_copy)
    before = shop_copy.registry.champion("shop").number
    moved = promote(client, number)
    assert moved.status_code == 200, moved.text
    assert (moved.json()["before"], moved.json()["champion"]) == (before, number)
    assert moved.json()["rescoring"] | {"note": ""} == {"asked": True, "partitions": 10, "note": ""}
    events = client.app.state.service.dagster.fetch_materializations(_key("shop", "champion"), limit=5).records  # type: ignore[attr-defined]
    assert [event.asset_materialization.metadata["version"].value for event in events] == [number]
    back = client.post(f"{MODELS}/rollback", json={"reason": "it was Wednesday"})
    assert (back.json()["before"], back.json()["champion"]) == (number, before)
    told = client.get(f"{MODELS}/champion/history").json()["items"]
    assert [(m["what"], m["version"], m["by"], m["reason"]) for m in told[:2]] == [
        ("rolled back", before, "the-admin", "it was Wednesday"),
        ("promoted by a person", number, "the-admin", "it is Tuesday"),
    ]


def test_moves_and_exports_are_in_the_audit_log(serving: Serving, shop_copy: Trained) -> None:
    client, number = serving(shop_copy, Role.ADMIN), other(shop_copy)
    assert promote(client, number, force=True, reason="it is Tuesday").status_code == 200
    assert client.post(f"{MODELS}/rollback", json={"reason": "it was Wednesday"}).status_code == 200
    assert client.get("/v1/pipelines/shop/scores/export").status_code == 200
    assert promote(client, 10**6).status_code == 404
    entries = client.get("/v1/audit").json()["items"][::-1]
    assert [(e["action"], e["name"], e["subject"]) for e in entries] == [
        (action, "the-admin", "pipeline:shop") for action in ("model.promoted", "model.rolled-back", "scores.exported")
    ]
    assert entries[0]["details"]["reason"] == "it is Tuesday"
    assert (entries[0]["details"]["version"], entries[1]["details"]["before"]) == (number, number)


def _key(*parts: str) -> Any:
    import dagster as dg

    return dg.AssetKey(list(parts))


def test_a_decision_about_another_champion_is_refused(serving: Serving, shop_copy: Trained) -> None:
    client, number = serving(shop_copy), other(shop_copy)
    seen = client.get(f"{MODELS}/champion").headers["etag"]
    stale = promote(client, number, headers={"If-Match": '"champion-99"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "request-precondition-failed")
    assert promote(client, number, headers={"If-Match": seen}).status_code == 200
    assert client.post(f"{MODELS}/rollback", json={}, headers={"If-Match": seen}).status_code == 412


@pytest.mark.parametrize("role", [Role.VIEWER, Role.USER])
def test_only_who_may_promotes(serving: Serving, shop_copy: Trained, role: Role) -> None:
    client = serving(shop_copy, role)
    before = shop_copy.registry.champion("shop").number
    for answer in (promote(client, other(shop_copy)), client.post(f"{MODELS}/rollback", json={})):
        assert (answer.status_code, answer.json()["code"]) == (403, "request-forbidden")
    assert shop_copy.registry.champion("shop").number == before


BODIES = [{"force": "yes"}, {"force": True, "reason": 7}, {"role": "admin"}, {"by": "ann", "force": True}, []]


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_bodies_that_say_more_or_something_else(serving: Serving, shop: Trained, body: Any) -> None:
    answer = serving(shop).post(f"{MODELS}/{other(shop)}/promote", json=body)
    assert answer.status_code == 422


def test_of_many_promotions_at_once_one_wins(serving: Serving, shop_copy: Trained) -> None:
    client, number = serving(shop_copy), other(shop_copy)
    start = threading.Barrier(4)

    def ask(_: int) -> httpx.Response:
        start.wait()
        return promote(client, number)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"registry-champion-moved", "registry-error"}
    moves = champions.history(shop_copy.lake, "shop")
    assert [move.version for move in moves][1:] == [number]
    assert shop_copy.registry.champion("shop").number == number


@pytest.fixture
def slow_pointing(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The first promotion waits between its record and the registry."""
    there, go_on = threading.Event(), threading.Event()
    point = Registry.point

    def waiting(self: Registry, alias: str, version: Version) -> None:
        if alias == "champion" and not there.is_set():
            there.set()
            go_on.wait(20)
        point(self, alias, version)

    monkeypatch.setattr(Registry, "point", waiting)
    yield there, go_on
    go_on.set()


def test_a_move_on_its_way_keeps_others_off(
    serving: Serving, shop_copy: Trained, slow_pointing: tuple[threading.Event, threading.Event]
) -> None:
    there, go_on = slow_pointing
    client, number = serving(shop_copy), other(shop_copy)
    before = shop_copy.registry.champion("shop").number
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(promote, client, number)
        assert there.wait(20)
        second = client.post(f"{MODELS}/rollback", json={"to": before})
        assert (second.status_code, second.json()["code"]) == (409, "registry-champion-moved")
        go_on.set()
        assert first.result().status_code == 200
    assert shop_copy.registry.champion("shop").number == number


def test_a_move_that_fails_is_recorded_as_taken_back(
    serving: Serving, shop_copy: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, number = serving(shop_copy), other(shop_copy)
    before = shop_copy.registry.champion("shop").number

    def lost(*_: object) -> None:
        raise ConnectionError("the registry went away")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "point", lost)
        assert promote(client, number).status_code >= 500
    last = champions.history(shop_copy.lake, "shop")[-1]
    assert (last.what, last.version, last.before) == ("not carried out", before, number)
    assert promote(client, number).status_code == 200


def test_one_record_follows_a_generation(shop_copy: Trained) -> None:
    from pynomaly_pipelines.operations.errors import ChampionMoved

    since = champions.generation(shop_copy.lake, "shop")
    start = threading.Barrier(6)

    def write(number: int) -> bool:
        start.wait()
        try:
            champions.record(shop_copy.lake, "shop", Move("moved", number, 1, "someone", ""), after=since)
        except ChampionMoved:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = [number for number, one in enumerate(pool.map(write, range(6))) if one]
    assert len(won) == 1
    assert champions.history(shop_copy.lake, "shop")[-1].version == won[0]
