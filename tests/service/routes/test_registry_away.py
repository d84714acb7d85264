"""A registry that is away is told as 503, not as a fault of the request; what is loaded scores on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from pynomaly_pipelines.operations.errors import ArtifactsMissing
from pynomaly_pipelines.resources.registry import Registry
from tests.servers import free_port
from tests.service.routes.test_models import MODELS, other, promote
from tests.service.stocked import Serving
from tests.small_pipelines import Trained

ROW = {"amount": 12.5, "tax": 2.5, "items": 1.0, "country": "de", "gift": False}


@dataclass
class Server:
    """An MLflow server on a pipeline's own registry."""

    pipeline: Trained
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        # The worker is a child of its own, and outlives the command that started it.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@pytest.fixture
def mlflow(shop_copy: Trained, tmp_path: Path) -> Iterator[Server]:
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", shop_copy.registry.tracking_uri),
        *("--default-artifact-root", shop_copy.registry.artifacts),
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "mlflow.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    server = Server(replace(shop_copy, registry=Registry(address, shop_copy.registry.artifacts)), process)
    try:
        _until_healthy(address)
        yield server
    finally:
        if process.poll() is None:
            server.kill()


def _until_healthy(address: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail("MLflow does not answer")


@pytest.mark.slow
def test_a_server_that_was_killed(serving: Serving, mlflow: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # As `pynomaly serve` sets it: its client would try for minutes.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client, wanted = serving(mlflow.pipeline), other(mlflow.pipeline)
    before = score(client)
    assert client.get(f"{MODELS}/champion").status_code == 200
    mlflow.kill()
    codes = set()
    # More often than the breaker takes to open: before it and after it the answer is of the same kind.
    for path in (MODELS, f"{MODELS}/champion", f"{MODELS}/{wanted}", f"{MODELS}/{wanted}/comparison") * 2:
        answer = client.get(path)
        assert answer.status_code == 503, (path, answer.text)
        assert int(answer.headers["retry-after"]) >= 1
        codes.add(answer.json()["code"])
    assert codes <= {"registry-unreachable", "dependency-unavailable"}
    assert "registry-unreachable" in codes
    assert promote(client, wanted).status_code == 503
    # What does not need the registry goes on.
    assert client.get("/v1/pipelines/shop/scores", params={"limit": 1}).status_code == 200
    assert client.get("/v1/pipelines/shop/partitions").status_code == 200
    assert score(client) == before


def score(client: Any) -> Any:
    answer = client.post("/v1/pipelines/shop/score", json={"rows": [ROW]})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return told["score"], told["model_version"]


def test_artifacts_that_are_gone(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    champion = registry.champion("shop")
    shutil.rmtree(registry.artifacts)
    with pytest.raises(ArtifactsMissing, match="hold no data/scorer"):
        registry.load(champion)
