"""`pynomaly serve` where nobody can log in yet: it says so, and a code of the command makes the first admin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.serving import Serving, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PASSWORD = "seven green otters juggle"  # pragma: allowlist secret


def code_of(served: Serving, folder: Path) -> str:
    """What `pynomaly accounts bootstrap` prints, at a terminal beside the service."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYNOMALY_", "DAGSTER_"))}
    environment |= {"PYNOMALY_PROJECT": str(folder), "PYNOMALY_HOME": str(folder / "home")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", "from pynomaly_pipelines.cli import main; main()", "accounts", "bootstrap"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_case_21_only_bootstrapping_is_offered(tmp_path: Path) -> None:
    with serving(tmp_path) as served, httpx2.Client(base_url=f"http://localhost:{served.port}") as client:
        assert "API without an admin" in served.said()
        assert "pynomaly accounts bootstrap" in served.said()
        assert client.get("/v1/pipelines").status_code == 401
        form = {"grant_type": "password", "username": "admin", "password": "admin"}  # pragma: allowlist secret
        assert client.post("/v1/auth/token", data=form).status_code == 401
        body = {"code": code_of(served, tmp_path), "name": "root", "password": PASSWORD}
        assert client.post("/v1/auth/bootstrap", json=body).status_code == 204
        token = client.post("/v1/auth/token", data=form | {"username": "root", "password": PASSWORD}).json()
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        assert client.get("/v1/users/me", headers=bearer).json()["role"] == "admin"
        assert served.stop() == 0
    with serving(tmp_path) as again:
        assert "API without an admin" not in again.said()


def test_an_old_schema_is_refused_where_migrating_is_off(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="pynomaly accounts migrate"), serving(tmp_path, migrate="false"):
        pass
