"""/health over the service's real parts: each one failed, hung and back again."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations.health import Phase, process_health
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.settings import ServiceSettings
from tests.servers import Postgres, free_port
from tests.service.scoring_service import app_of
from tests.small_pipelines import Trained

STANDARD = {"database", "registry", "lake", "cache", "secrets", "dagster", "breakers", "disk", "memory", "champions"}


def client_of(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


def parts(client: TestClient) -> dict[str, Any]:
    """All checks by name, no older than this."""
    threading.Event().wait(1.1)
    answer = client.get("/health")
    assert answer.status_code == 200
    return {part["name"]: part for part in answer.json()["parts"]}


@pytest.fixture(autouse=True)
def _own_checks() -> Iterator[None]:
    process_health.cache_clear()
    yield
    process_health.cache_clear()


def test_the_lake_and_the_registry_vanish(shop_copy: Trained, tmp_path: Path) -> None:
    with client_of(app_of(shop_copy, tmp_path, Role.ADMIN)) as client:
        before = parts(client)
        assert set(before) == STANDARD
        assert (before["lake"]["status"], before["registry"]["status"]) == ("ok", "ok")
        # Nothing listens where Dagster should be: somebody should look, and requests are served all the same.
        assert before["dagster"]["status"] == "failed"
        assert client.get("/health").json()["status"] == "degraded"
        assert client.get("/health/ready").status_code == 200

        shutil.move(shop_copy.folder / "registry" / "registry.db", tmp_path / "registry.db")
        assert parts(client)["registry"]["status"] == "failed"
        assert client.get("/health/ready").status_code == 200

        shutil.move(shop_copy.folder / "lake", tmp_path / "lake-elsewhere")
        assert parts(client)["lake"]["status"] == "failed"
        refused = client.get("/health/ready")
        assert (refused.status_code, refused.json()["status"]) == (503, "failed")
        assert client.get("/health/live").status_code == 200

        shutil.move(tmp_path / "lake-elsewhere", shop_copy.folder / "lake")
        assert parts(client)["lake"]["status"] == "ok"
        assert client.get("/health/ready").status_code == 200


@pytest.mark.slow
def test_a_hung_database_takes_its_worker_out_until_it_goes_on(
    postgres: Postgres, shop: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYNOMALY_HEALTH_TIMEOUT_SECONDS", "0.5")
    url = postgres.create("health_of_service")
    with client_of(app_of(shop, tmp_path, Role.ADMIN, database_url=url, rate_read="100000/60")) as client:
        assert client.get("/health/ready").status_code == 200
        postgres.hang()
        try:
            found = parts(client)["database"]
            assert (found["status"], found["critical"]) == ("failed", True)
            assert "no answer within 0.5 s" in found["message"]
            # Its own time-out, not the ten seconds that the database's driver waits.
            assert found["milliseconds"] < 5_000
            assert client.get("/health/ready").status_code == 503
            assert client.get("/health/live").status_code == 200
        finally:
            postgres.go_on()
        for _ in range(200):
            if client.get("/health/ready").status_code == 200:
                break
            threading.Event().wait(0.1)
        assert parts(client)["database"]["status"] == "ok"


def test_not_ready_until_champions_are_loaded_nor_while_draining(
    shop: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(shop, tmp_path, warm_seconds=0.05)
    service, may_load = app.state.service, threading.Event()
    load = service.registry.load
    monkeypatch.setattr(type(service.registry), "load", lambda _, version: may_load.wait(60) and load(version))
    with client_of(app) as client:
        try:
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/startup").json()["message"] == "starting"
            assert client.get("/health/ready").status_code == 503
        finally:
            may_load.set()
        for _ in range(300):
            if client.get("/health/startup").status_code == 200:
                break
            threading.Event().wait(0.1)
        assert service.champions.held("shop") is not None
        assert client.get("/health/ready").status_code == 200
        service.health.phase = Phase.DRAINING
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200


def test_checks_of_the_project_run_beside_the_others(
    shop: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "health_watch"
    app = app_of(shop, folder, Role.ADMIN)
    (folder / "__init__.py").write_text("")
    (folder / "health.py").write_text(
        "from pynomaly_pipelines.operations.health import degraded, health_check\n\n"
        '@health_check("warehouse")\n'
        "def warehouse():\n"
        '    return degraded("files pile up", waiting=1200)\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    service = app.state.service
    own = replace(service, project=replace(service.project, module="health_watch"))
    app.state.service = own
    with client_of(app) as client:
        found = parts(client)["warehouse"]
    assert (found["status"], found["figures"]) == ("degraded", {"waiting": 1200})


def test_details_are_for_those_who_may_see_them(shop: Trained, tmp_path: Path) -> None:
    with client_of(app_of(shop, tmp_path, Role.VIEWER)) as client:
        assert client.get("/health").status_code == 403
        assert set(client.get("/health/ready").json()) == {"status", "message", "at"}
    with client_of(create_app(ServiceSettings(trusted_hosts=("testserver",)))) as nobody:
        assert nobody.get("/health").status_code == 401


def test_a_registry_that_is_away_is_told_as_such(
    shop_copy: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `pynomaly serve` has it.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with client_of(app_of(shop_copy, tmp_path, Role.ADMIN, kept_seconds=0)) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        service.registry.tracking_uri = f"http://127.0.0.1:{free_port()}"
        for address in ("models", "models/1", "models/champion"):
            answer = client.get(f"/v1/pipelines/shop/{address}")
            assert (answer.status_code, answer.json()["code"]) == (503, "registry-unreachable"), address
            assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/health/live").status_code == 200
