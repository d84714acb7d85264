"""Generations in SQLite and PostgreSQL: they grow, also between processes; a hung database is waited for briefly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from pynomaly_pipelines.operations.cache import Cache, CacheSettings, SqlGenerations
from pynomaly_pipelines.operations.resilience import dependencies
from tests.servers import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/folder/generations.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create(f"generations_{tmp_path.name}")


def test_they_grow(url: str) -> None:
    generations = SqlGenerations(url)
    assert generations.read() == {}
    first = generations.advance(["a", "b", "a"])
    second = generations.advance(["a"])
    assert sorted(first) == ["a", "b"]
    assert second["a"] > first["a"]
    assert generations.read() == {**first, **second}
    generations.close()


def test_a_clock_that_goes_back_does_not_take_them_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generations = SqlGenerations(url)
    before = generations.advance(["a"])["a"]
    monkeypatch.setattr("time.time_ns", lambda: 1)
    assert generations.advance(["a"])["a"] == before + 1
    generations.close()


def test_processes_that_come_at_the_same_time_get_different_ones(url: str) -> None:
    """Each has an engine of its own, and finds no table."""
    everyone = [SqlGenerations(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: one.advance(["a", "b"]), everyone))
    assert len({one["a"] for one in found}) == len({one["b"] for one in found}) == 8
    assert everyone[0].read() == {tag: max(one[tag] for one in found) for tag in "ab"}
    for one in everyone:
        one.close()


@pytest.mark.slow
def test_a_database_that_is_locked_up(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exclusive lock hangs reads and writes alike: the cache stops believing, invalidating fails in words."""
    monkeypatch.setenv("PYNOMALY_BREAKER_DATABASE_TIMEOUT_SECONDS", "0.2")
    monkeypatch.setenv("PYNOMALY_RETRY_DATABASE_ATTEMPTS", "1")
    dependencies.cache_clear()
    url = postgres.create(f"locked_{tmp_path.name}")
    cache = Cache(CacheSettings(generations_url=url, poll_seconds=0.05, unknown_after_seconds=0.3))
    cache.set("a", b"1", ttl=60, tags=["x"])
    assert cache.get("a") == b"1"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE pynomaly_cache_generations IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(sa.exc.OperationalError, match="timeout"):
            cache.invalidate("x")
        while cache.seconds_behind() < 0.3:
            pass
        assert cache.get("a") is None
        assert cache.get_or_compute("a", lambda: b"2", ttl=60, tags=["x"]) == b"2"
    engine.dispose()
    cache.close()
