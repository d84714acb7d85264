"""Variables -> settings of the cache; nothing secret in what is shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pynomaly_pipelines.operations.cache import CacheSettings
from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.settings import Settings


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    for name in ("PYNOMALY_HOME", "PYNOMALY_REDIS_URL", "PYNOMALY_SERVICE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def read() -> CacheSettings:
    return CacheSettings.from_environment(Settings.from_environment())


def test_defaults(tmp_path: Path) -> None:
    found = read()
    assert found.redis_url == ""
    assert found.generations_url == f"sqlite:///{tmp_path}/.pynomaly/generations.db"


def test_the_services_database_knows_what_was_invalidated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_SERVICE_DATABASE_URL", "postgresql+psycopg://db/service")
    assert read().generations_url == "postgresql+psycopg://db/service"
    monkeypatch.setenv("PYNOMALY_CACHE_GENERATIONS_URL", "sqlite:////srv/a.db")
    assert read().generations_url == "sqlite:////srv/a.db"


def test_redis_by_variable_or_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_REDIS_URL", "redis://cache:6379/1")
    assert read().redis_url == "redis://cache:6379/1"
    assert "cache:6379" not in repr(read())


@pytest.mark.parametrize(("name", "value"), [("TTL", "1"), ("MEMORY_BYTES", "-1"), ("NAME", "a b")])
def test_what_can_not_be_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PYNOMALY_CACHE_{name}", value)
    with pytest.raises(SettingsError, match=f"PYNOMALY_CACHE_{name} is '{value}'"):
        read()
