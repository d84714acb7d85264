"""Incidents over HTTP: found, read, drawn, changed, judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.incidents.following import follow
from pynomaly_pipelines.stages.incidents.incident import Incident
from tests.service.stocked import Serving
from tests.small_pipelines import Trained, records, series, trained

INCIDENTS = "/v1/pipelines/shop/incidents"


@pytest.fixture
def own_shop(shop: Trained, tmp_path: Path, new_registry: Callable[[Path], Registry]) -> Trained:
    """A copy that a test may write to, with incidents of single orders."""
    copy = shop.copy(tmp_path / "own", new_registry)
    return replace(copy, small=records(incidents={"gap_hours": 0.01}))


@pytest.fixture
def found(own_shop: Trained) -> tuple[Incident, ...]:
    """The incidents of a shop that tests may write to, by start."""
    return follow(own_shop.spec, own_shop.partitions(), own_shop.lake).found


def ids(client: TestClient, **asked: object) -> list[str]:
    """Every incident of a list, page by page."""
    seen: list[str] = []
    cursor: str | None = None
    while True:
        answer = client.get(INCIDENTS, params={"limit": 2, **asked, **({"cursor": cursor} if cursor else {})})  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        seen += [item["id"] for item in answer.json()["items"]]
        cursor = answer.json()["next"]
        if cursor is None:
            return seen


def test_the_newest_first_each_once(serving: Serving, own_shop: Trained, found: tuple[Incident, ...]) -> None:
    client = serving(own_shop, Role.VIEWER)
    newest = sorted(found, key=lambda i: (i.start, i.id), reverse=True)
    assert len(found) > 2
    assert ids(client) == [i.id for i in newest]
    middle = newest[1]
    assert ids(client, since=middle.start.isoformat(), until=newest[0].start.isoformat()) == [middle.id]
    assert ids(client, state="resolved") == []
    assert ids(client, entity="nobody") == []


def test_a_cursor_of_another_question_is_refused(
    serving: Serving, own_shop: Trained, found: tuple[Incident, ...]
) -> None:
    client = serving(own_shop, Role.VIEWER)
    cursor = client.get(INCIDENTS, params={"limit": 1}).json()["next"]
    assert client.get(INCIDENTS, params={"cursor": cursor, "state": "open"}).status_code == 400


def test_one_with_reasons_rows_and_picture(serving: Serving, own_shop: Trained, found: tuple[Incident, ...]) -> None:
    client, first = serving(own_shop, Role.VIEWER), found[0]
    told = client.get(f"{INCIDENTS}/{first.id}").json()
    assert (told["headline"], told["anomalies"], told["state"]) == (first.headline, first.anomalies, "open")
    assert [r["column"] for r in told["reasons"]] == [r.column for r in first.reasons]
    assert [s["score"] for s in told["samples"]] == [s.score for s in first.samples]
    picture = client.get(f"{INCIDENTS}/{first.id}/plot.png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    again = client.get(f"{INCIDENTS}/{first.id}/plot.png", headers={"if-none-match": picture.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"{INCIDENTS}/{'0' * 10}").status_code == 404
    assert client.get(f"{INCIDENTS}/{'0' * 10}/plot.png").status_code == 404


def test_states_follow_each_other(serving: Serving, own_shop: Trained, found: tuple[Incident, ...]) -> None:
    client, one = serving(own_shop, Role.USER), f"{INCIDENTS}/{found[0].id}"

    def say(state: str, **more: object) -> tuple[int, dict[str, object]]:
        answer = client.post(f"{one}/state", json={"state": state, **more})
        return answer.status_code, answer.json()

    assert say("acknowledged", note="mine")[1]["state"] == "acknowledged"
    twice = say("acknowledged")[1]["log"]
    assert isinstance(twice, list)
    assert [(line["action"], line["by"], line["note"]) for line in twice] == [("acknowledged", "the-user", "mine")]
    assert say("resolved")[1]["state"] == "resolved"
    assert say("acknowledged")[0] == 409
    assert say("reopened")[1]["state"] == "open"
    assert say("snoozed")[0] == 422
    assert say("resolved", until="2090-01-01T00:00:00Z")[0] == 422
    assert say("snoozed", until=(datetime.now(UTC) - timedelta(hours=1)).isoformat())[0] == 422
    assert say("snoozed", until="2090-01-01T00:00:00Z")[1]["snoozed_until"] == "2090-01-01T00:00:00Z"
    entries = serving(own_shop, Role.ADMIN).get("/v1/audit", params={"action": "incident.changed"}).json()
    assert len(entries["items"]) == 4


def test_a_verdict_tells_what_it_changed(serving: Serving, own_shop: Trained, found: tuple[Incident, ...]) -> None:
    client, one = serving(own_shop, Role.USER), f"{INCIDENTS}/{found[0].id}/feedback"
    told = client.post(one, json={"verdict": "confirmed", "note": "stolen card"}).json()
    assert (told["labelled_rows"], told["incident"]["state"]) == (found[0].anomalies, "acknowledged")
    (left_out,) = exclusions.read(own_shop.spec, own_shop.lake)
    assert (told["excluded"]["id"], told["excluded"]["reason"]) == (left_out.id, "stolen card")
    back = client.post(one, json={"verdict": "dismissed"}).json()
    assert (back["excluded"], [e["id"] for e in back["learnt_again"]]) == (None, [left_out.id])
    assert back["incident"]["verdict"] == "dismissed"
    assert exclusions.read(own_shop.spec, own_shop.lake) == ()


def test_a_viewer_changes_nothing(serving: Serving, own_shop: Trained, found: tuple[Incident, ...]) -> None:
    client, one = serving(own_shop, Role.VIEWER), f"{INCIDENTS}/{found[0].id}"
    assert client.post(f"{one}/state", json={"state": "resolved"}).status_code == 403
    assert client.post(f"{one}/feedback", json={"verdict": "dismissed"}).status_code == 403
    assert client.get(one).json()["log"] == []


def test_names_that_look_like_formulas_are_drawn(
    serving: Serving, tmp_path: Path, new_registry: Callable[[Path], Registry]
) -> None:
    small = series()
    hostile = small.rows.assign(meter=small.rows["meter"].replace("north", r"$\frac{$<script>"))
    meters = trained(replace(small, rows=hostile), tmp_path, new_registry)
    odd = follow(meters.spec, meters.partitions(), meters.lake).found
    client, of_meters = serving(meters, Role.VIEWER), "/v1/pipelines/meters/incidents"
    loud = next(incident for incident in odd if "script" in incident.entity)
    assert client.get(f"{of_meters}/{loud.id}").json()["entity"] == loud.entity
    assert client.get(f"{of_meters}/{loud.id}/plot.png").content.startswith(b"\x89PNG")
