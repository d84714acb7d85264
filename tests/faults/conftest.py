"""Servers and deployments of a test's own, which it may break; projects and files are those of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pynomaly_pipelines.resources.registry import Registry
from tests import servers
from tests.end_to_end.conftest import environment as environment
from tests.end_to_end.conftest import own_project as own_project
from tests.faults.deployment import SQLITE, Deployment, Storage
from tests.servers import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> Storage:
    """Where Dagster keeps its runs and events."""
    if request.param == "sqlite":
        return SQLITE
    pytest.importorskip("dagster_postgres")
    server = request.getfixturevalue("postgres")
    url = server.create(f"dagster_{request.node.name.split('[')[0]}"[:60]).replace("+psycopg", "")
    return {"postgres": {"postgres_url": url}}


@pytest.fixture
def deployment(
    own_project: Path, environment: dict[str, str], storage: Storage, new_registry: Callable[[Path], Registry]
) -> Iterator[Deployment]:
    """Not started yet, with a champion."""
    made = Deployment(own_project, environment, storage)
    made.teach(new_registry)
    yield made
    made.kill()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of the test's own."""
    with servers.postgres() as found:
        yield found
