"""A promotion and a scored partition invalidate what depends on them, where a service has ever cached anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pynomaly_pipelines.operations.cache import Cache, CacheSettings, announce, tags
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.stages.promotion import champions
from tests.small_pipelines import Trained


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    monkeypatch.delenv("PYNOMALY_HOME", raising=False)
    return tmp_path / ".pynomaly"


def test_without_a_service_nothing_is_made(home: Path) -> None:
    announce(tags.data("shop"))
    assert not home.exists()


def test_a_move_of_the_champion_is_announced(home: Path, shop_copy: Trained) -> None:
    cache = Cache(CacheSettings.from_environment(Settings.from_environment()))
    name = shop_copy.spec.name
    before = cache.generation(tags.champion(name))
    cache.set("a", b"1", ttl=60, tags=[tags.champion(name)])
    champions.record(shop_copy.lake, name, champions.Move("promoted by a person", 2, 1, "alice", "better"))
    cache._following.look()
    assert cache.generation(tags.champion(name)) > before
    assert cache.get("a") is None
    cache.close()
