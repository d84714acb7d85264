"""A lake, a registry and small trained pipelines that many tests share; what is read only is made once a session."""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pynomaly_pipelines.operations import redaction
from pynomaly_pipelines.operations.resilience import dependencies
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from tests import servers
from tests.servers import AwsEndpoint, ObjectStorage, OpenBao, Postgres, Redis
from tests.service.stocked_home import StockedHome, made_once
from tests.small_pipelines import Trained, records, series, trained


@pytest.fixture(autouse=True)
def _own_breakers() -> Iterator[None]:
    """What one test saw fail keeps no other test from asking."""
    yield
    dependencies.cache_clear()


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of one test is an ordinary word in another: `registry` would be blotted out of every registry's URL."""
    monkeypatch.setattr(redaction, "_known", OrderedDict(redaction._known))
    monkeypatch.setattr(redaction, "_longest_first", redaction._longest_first)


@pytest.fixture(scope="session")
def migrated_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making its schema takes seconds, copying the file none."""
    file = tmp_path_factory.mktemp("registry") / "registry.db"
    Registry(f"sqlite:///{file}", str(file.parent / "artifacts")).versions("none")
    return file


@pytest.fixture(scope="session")
def new_registry(migrated_registry: Path) -> Callable[[Path], Registry]:
    """A registry of its own in a folder."""

    def make(folder: Path) -> Registry:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "registry.db"
        if not file.exists():
            shutil.copy(migrated_registry, file)
        return Registry(f"sqlite:///{file}", str(folder / "artifacts"), "http://mlflow", folder / "cache")

    return make


@pytest.fixture
def registry(new_registry: Callable[[Path], Registry], tmp_path: Path) -> Registry:
    return new_registry(tmp_path / "registry")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, new_registry: Callable[[Path], Registry]) -> Trained:
    """A records pipeline with labels, trained, judged, promoted and scored. Read only: `Trained.copy` to change it."""
    return trained(records(), tmp_path_factory.mktemp("shop"), new_registry)


@pytest.fixture(scope="session")
def meters(tmp_path_factory: pytest.TempPathFactory, new_registry: Callable[[Path], Registry]) -> Trained:
    """A series pipeline without labels, likewise."""
    return trained(series(), tmp_path_factory.mktemp("meters"), new_registry)


@pytest.fixture
def shop_copy(shop: Trained, tmp_path: Path, new_registry: Callable[[Path], Registry]) -> Trained:
    """The trained records pipeline with tables and a registry that may be changed."""
    return shop.copy(tmp_path / "copy", new_registry)


@pytest.fixture(scope="session")
def stocked_home(tmp_path_factory: pytest.TempPathFactory, migrated_registry: Path) -> StockedHome:
    """A project whose pipeline went the whole way in Dagster's runs. Read only: `StockedHome.copy` to change it."""
    base = tmp_path_factory.getbasetemp()
    return made_once(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base, migrated_registry)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; `postgres.create("name")` makes a database and returns its URL."""
    with servers.postgres() as found:
        yield found


@pytest.fixture(scope="session")
def object_storage() -> Iterator[ObjectStorage]:
    """An S3-compatible server; `object_storage.bucket("name")` makes a bucket."""
    with servers.object_storage() as found:
        yield found


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis of the test's own, in milliseconds: it may be killed, hung and emptied."""
    with servers.redis() as found:
        yield found


@pytest.fixture(scope="session")
def openbao() -> Iterator[OpenBao]:
    """An OpenBao server; `openbao.root()` is a client that may do everything."""
    with servers.openbao() as found:
        yield found


@pytest.fixture(scope="session")
def aws() -> Iterator[AwsEndpoint]:
    """An imitation of AWS; `aws.environment` is what programs need to ask it."""
    with servers.aws() as found:
        yield found
