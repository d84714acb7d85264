"""What reading routes keep: the same answers as without, made once, for those who may read them, and never old."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.resources.registry import CHAMPION
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.routes import scores
from tests.service.scoring_service import app_of
from tests.small_pipelines import Trained

ROUTES = (
    "/v1/pipelines",
    "/v1/pipelines/shop",
    "/v1/pipelines/shop/partitions?limit=3",
    "/v1/pipelines/shop/partitions?order=oldest&state=scored",
    "/v1/pipelines/shop/scores?limit=5",
    "/v1/pipelines/shop/scores?order=latest&anomalies=true",
    "/v1/pipelines/shop/models",
    "/v1/pipelines/shop/models/1",
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where announcements are written, for stages that are called in tests as for the service.
    monkeypatch.setenv("PYNOMALY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    assert Settings.from_environment().home == tmp_path / "home"


@contextmanager
def client_of(made: Trained, folder: Path, **settings: object) -> Iterator[tuple[TestClient, Service]]:
    app = app_of(made, folder, Role.ADMIN, rate_read="1000000/60", **settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, app.state.service


def without_now(answer: object) -> object:
    """How far scores are behind is counted anew for each answer."""
    if isinstance(answer, dict):
        return {name: without_now(value) for name, value in answer.items() if name != "behind_seconds"}
    return [without_now(one) for one in answer] if isinstance(answer, list) else answer


def test_answers_are_the_same_with_and_without(shop: Trained, tmp_path: Path) -> None:
    with ExitStack() as stack:
        plain, _ = stack.enter_context(client_of(shop, tmp_path, kept_seconds=0))
        keeping, service = stack.enter_context(client_of(shop, tmp_path))
        for route in ROUTES:
            expected, first, second = plain.get(route), keeping.get(route), keeping.get(route)
            assert expected.status_code == 200, expected.text
            assert without_now(expected.json()) == without_now(first.json()) == without_now(second.json()), route
            if "behind_seconds" not in expected.text:
                assert expected.content == first.content == second.content
                assert expected.headers["etag"] == second.headers["etag"]
            assert expected.headers.get("link") == second.headers.get("link")
            same = keeping.get(route, headers={"If-None-Match": second.headers["etag"]})
            assert same.status_code == 304 or "behind_seconds" in expected.text
        assert service.cache.figures().memory_hits >= len(ROUTES)


def test_fifty_equal_questions_at_once_are_worked_out_once(
    shop: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    page = scores.page

    def counted(*given: object, **more: object) -> object:
        made.append(1)
        return page(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(scores, "page", counted)
    with client_of(shop, tmp_path) as (client, _), ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: client.get(ROUTES[4]), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(made) == 1


def test_what_is_kept_is_told_to_nobody_else(shop: Trained, tmp_path: Path) -> None:
    with client_of(shop, tmp_path) as (client, _):
        for route in ROUTES:
            assert client.get(route).status_code == 200
        elsewhere = {"flights": frozenset({Permission.SCORE})}
        who = Caller(account="b", name="bob", role=Role.ADMIN, all_pipelines=False, grants=elsewhere)
        client.app.dependency_overrides[authenticate] = lambda: who  # type: ignore[attr-defined]
        assert client.get(ROUTES[0]).json()["items"] == []
        for route in ROUTES[1:]:
            assert client.get(route).status_code in (403, 404), route


def test_a_new_partition_is_told_at_once(shop_copy: Trained, tmp_path: Path) -> None:
    with client_of(shop_copy, tmp_path) as (client, _):
        before = client.get("/v1/pipelines/shop").json()
        pages = [client.get(route).content for route in ROUTES[2:6]]
        lake = shop_copy.lake
        rows = lake.read("shop", "scores", partitions=["2025-01-10"])
        place = rows.schema.get_field_index("_partition")
        rows = rows.set_column(place, "_partition", pa.array(["2025-01-11"] * rows.num_rows))
        lake.replace("shop", "scores", ["2025-01-11"], rows)
        after = client.get("/v1/pipelines/shop").json()
        assert after["counts"]["scored"] == before["counts"]["scored"] + rows.num_rows
        assert after["freshness"]["last_partition"] == "2025-01-11"
        assert after["anomalies"] == before["anomalies"] + (pc.sum(rows["is_anomaly"]).as_py() or 0)
        assert all(client.get(route).content != old for route, old in zip(ROUTES[2:6], pages, strict=True))


def test_a_moved_champion_is_told_at_once(shop_copy: Trained, tmp_path: Path) -> None:
    from pynomaly_pipelines.operations.cache import announce, tags

    with client_of(shop_copy, tmp_path, champion_poll_seconds=600) as (client, service):
        first = client.get("/v1/pipelines/shop").json()["champion"]["version"]
        registry = shop_copy.registry
        other = next(one for one in registry.versions("shop") if one.number != first)
        registry.point(CHAMPION, other)
        assert client.get("/v1/pipelines/shop").json()["champion"]["version"] == first
        announce(tags.champion("shop"))
        assert client.get("/v1/pipelines/shop").json()["champion"]["version"] == other.number
        assert client.get("/v1/pipelines/shop/models").json()["items"][0]["aliases"] == list(
            registry.versions("shop")[0].aliases
        )
        # Scoring follows it, too, without waiting for its own next look.
        for _ in range(600):
            if service.champions.held("shop").version.number == other.number:  # type: ignore[union-attr]
                break
            client.get("/health/live")
        assert service.champions.held("shop").version.number == other.number  # type: ignore[union-attr]


def test_what_it_does_is_counted(shop: Trained, tmp_path: Path) -> None:
    def figures(client: TestClient) -> dict[str, float]:
        lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    with client_of(shop, tmp_path) as (client, _):
        before = figures(client)
        for _ in range(4):
            client.get(ROUTES[4])
        after = figures(client)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more('pynomaly_kept_answers_total{kind="scores",outcome="computed"}') == 1
    assert more('pynomaly_kept_answers_total{kind="scores",outcome="kept"}') == 3
    assert more('pynomaly_cache_lookups_total{found="memory"}') == 3
    assert after["pynomaly_cache_bytes"] > 0
    assert after['pynomaly_dependency_state{dependency="database:generations"}'] == 0
