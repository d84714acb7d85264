"""The checks every deployment has, on real parts: what works is measured, what is away, hung or full is told."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from pynomaly_pipelines.cli import main
from pynomaly_pipelines.operations.cache import Cache, CacheSettings
from pynomaly_pipelines.operations.health import Check, CheckResult, Finding, Health, Status, process_health
from pynomaly_pipelines.operations.health.built_in import caching, dagster, databases, dependencies, machine
from pynomaly_pipelines.operations.health.settings import HealthSettings
from pynomaly_pipelines.operations.resilience import breaker
from pynomaly_pipelines.operations.resilience import dependencies as of_process
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.resources.health import add_standard_checks, lake
from tests.servers import Postgres, Redis, free_port


def checked(function: Callable[[], Finding], timeout: float = 10.0) -> CheckResult:
    health = Health()
    health.add(Check("it", function, timeout=timeout))
    return asyncio.run(health.run()).checks[0]


def test_a_database_answers_or_does_not(postgres: Postgres) -> None:
    engine = sa.create_engine(postgres.url(), poolclass=sa.NullPool)
    found = checked(databases.database(engine))
    assert (found.status, found.message) == (Status.OK, "postgresql")
    assert 0 < float(found.figures["answer_seconds"]) < 10
    away = databases.database_at(f"postgresql+psycopg://127.0.0.1:{free_port()}/a", timeout_seconds=2)
    assert "OperationalError" in checked(away).message


def test_an_sqlite_file_is_read_and_never_made(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    check = databases.registry(f"sqlite:///{file}", timeout_seconds=2)
    assert checked(check).status is Status.OK
    assert not file.exists()
    file.write_bytes(b"this is no database, but long enough to look like a header of one" * 20)
    assert "file is not a database" in checked(check).message


class Answers(BaseHTTPRequestHandler):
    """A webserver of Dagster's that tells of one daemon, heard of `age` seconds ago."""

    age = 5.0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        one = {"daemonType": "SENSOR", "required": True, "lastHeartbeatErrors": [],
               "lastHeartbeatTime": time.time() - self.age}  # fmt: skip
        body = {"data": {"instance": {"daemonHealth": {"allDaemonStatuses": [one]}}}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def webserver() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("age", "status"), [(5.0, Status.OK), (100.0, Status.FAILED)])
def test_a_daemon_is_known_by_its_heartbeat(
    webserver: str, age: float, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster itself would call it healthy for half an hour."""
    monkeypatch.setattr(Answers, "age", age)
    found = checked(dagster.daemon_at(webserver, timeout_seconds=5, silent_seconds=90))
    assert found.status is status
    assert float(found.figures["sensor_heartbeat_age_seconds"]) == pytest.approx(age, abs=20)


def test_redis_measured_hung_and_gone(redis: Redis, tmp_path: Path) -> None:
    cache = Cache(CacheSettings(redis_url=redis.url, generations_url=f"sqlite:///{tmp_path}/g.db"))
    check = caching.cache(cache)
    found = checked(check)
    assert found.status is Status.OK
    assert "set maxmemory" in found.message
    assert int(found.figures["used_bytes"]) > 0
    redis.hang()
    assert "TimeoutError" in checked(check).message
    redis.go_on()
    redis.kill()
    assert "ConnectionError" in checked(check).message
    cache.close()


def test_an_open_breaker_is_seen() -> None:
    check = dependencies.breakers(of_process())
    assert checked(check).status is Status.OK
    for _ in range(5):
        with pytest.raises(ConnectionResetError):
            breaker("registry").call(_fail)
    found = checked(check)
    assert found.status is Status.DEGRADED
    assert found.figures["registry"] == "open"
    assert "gone" in found.message


def _fail() -> None:
    raise ConnectionResetError("gone")


@pytest.mark.parametrize(
    ("degraded", "failed", "status"), [(0, 0, Status.OK), (100, 0, Status.DEGRADED), (100, 100, Status.FAILED)]
)
def test_disk_and_memory_against_their_limits(degraded: float, failed: float, status: Status, tmp_path: Path) -> None:
    settings = HealthSettings(
        disk_degraded_percent=degraded,
        disk_failed_percent=failed,
        memory_degraded_percent=degraded,
        memory_failed_percent=failed,
    )
    disk = checked(machine.disk(tmp_path / "not" / "there", settings))
    there = os.statvfs(tmp_path)
    assert disk.status is status
    assert disk.figures["total_bytes"] == there.f_blocks * there.f_frsize
    assert checked(machine.memory(settings)).status is status


def test_memory_of_a_container_is_its_limit(tmp_path: Path) -> None:
    """400 of 1000 used, 100 of them cached files that give way: 700 left."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 100\n")
    found = checked(machine.memory(HealthSettings(), cgroup=tmp_path))
    assert (found.figures["available_bytes"], found.figures["total_bytes"]) == (700, 1000)
    (tmp_path / "memory.max").write_text("max\n")
    assert int(checked(machine.memory(HealthSettings(), cgroup=tmp_path)).figures["total_bytes"]) > 1000


def test_a_lake_that_is_not_there_yet_or_is_a_file(tmp_path: Path) -> None:
    assert checked(lake(str(tmp_path / "lake"), timeout_seconds=5)).status is Status.OK
    (tmp_path / "lake" / "shop").mkdir(parents=True)
    assert checked(lake(str(tmp_path / "lake"), timeout_seconds=5)).figures["pipelines"] == 1
    (tmp_path / "file").write_text("")
    assert checked(lake(str(tmp_path / "file"), timeout_seconds=5)).status is Status.FAILED


def test_all_standard_checks_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    health = Health()
    add_standard_checks(health, Settings.from_environment(), database=f"sqlite:///{tmp_path}/a.db")
    assert health.names == ("database", "registry", "lake", "secrets", "breakers", "disk", "memory")
    assert asyncio.run(health.run()).healthy


@pytest.mark.parametrize(("limit", "code"), [("0", 0), ("100", 1)])
def test_the_command_exits_by_the_state(limit: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    for name in ("DEGRADED", "FAILED"):
        monkeypatch.setenv(f"PYNOMALY_HEALTH_DISK_{name}_PERCENT", limit)
    process_health.cache_clear()
    address = f"http://127.0.0.1:{free_port()}"
    found = CliRunner().invoke(main, ["health", "--format", "json", "--dagster-url", address])
    process_health.cache_clear()
    assert found.exit_code == code, found.output
    states = {one["name"]: one["status"] for one in json.loads(found.output)["checks"]}
    assert states["disk"] == ("failed" if code else "ok")
    assert states["dagster"] == "failed"
