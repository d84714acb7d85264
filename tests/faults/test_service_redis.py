"""The service under load while its Redis is refused, hung or emptied: every answer right, none late twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations.resilience import breaker, dependencies
from pynomaly_pipelines.service.access.permissions import Role
from tests.servers import Redis
from tests.service.scoring_service import app_of
from tests.small_pipelines import Trained

READ = "/v1/pipelines/shop/scores?limit=5"
ROW = {"amount": 40.0, "tax": 8.0, "items": 4, "country": "DE", "gift": False}
ROUNDS = 40
FAULTS: dict[str, Callable[[Redis], None]] = {"refused": Redis.kill, "hung": Redis.hang, "emptied": Redis.flush}


@pytest.fixture
def shared(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Redis:
    """Named to the service; whole again at the end."""
    monkeypatch.setenv("PYNOMALY_REDIS_URL", redis.url)
    dependencies.cache_clear()
    redis.flush()
    return redis


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_scoring_and_reading_go_on(
    fault: str, shared: Redis, shop: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is found in this process: each read asks Redis.
    monkeypatch.setenv("PYNOMALY_CACHE_MEMORY_BYTES", "0")
    app = app_of(shop, tmp_path, Role.ADMIN, rate_read="1000000/60", rate_score="1000000/60")
    with TestClient(app, raise_server_exceptions=False) as client, ThreadPoolExecutor(4) as threads:

        def once(_: int) -> tuple[int, bytes, int, object]:
            scored = client.post("/v1/pipelines/shop/score", json={"rows": [ROW]})
            read = client.get(READ)
            return scored.status_code, scored.content, read.status_code, read.content

        usual = once(0)
        assert (usual[0], usual[2]) == (200, 200), usual
        cache = app.state.service.cache
        assert once(0) == usual
        assert cache.figures().redis_hits >= 1
        before = cache.figures()
        load = [threads.submit(once, number) for number in range(ROUNDS)]
        FAULTS[fault](shared)
        load += [threads.submit(once, number) for number in range(ROUNDS)]
        answers = {future.result(60) for future in load}
        after = cache.figures()
        if fault == "hung":
            shared.go_on()
        if fault == "refused":
            shared.start()
    assert answers == {usual}
    if fault == "emptied":
        assert after.redis_failures == before.redis_failures
        return
    assert after.redis_failures > before.redis_failures
    # Each of the four threads may wait once for a Redis that hangs; who comes later is told by the breaker.
    waits = breaker("redis").rules.timeout_seconds
    assert breaker("redis").figures().refused > 0
    assert after.redis_seconds - before.redis_seconds < 8 * waits
