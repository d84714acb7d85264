"""Tables of real databases: what is new is found by the watermark, read once, and in the partition it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pynomaly_pipelines.operations.errors import (
    PynomalyError,
    SchemaError,
    SettingsError,
    SourceDenied,
    SourceMissing,
    SourceUnreachable,
)
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.ingestion import IngestReport, ingest
from pynomaly_pipelines.stages.sources import landing
from tests.servers import Postgres

TYPES = {
    "sqlite": "id int, at text, amount float, updated_at text",
    "postgres": "id int, at timestamptz, amount numeric(10, 2), updated_at timestamp",
}
_databases = iter(range(1000))


class Orders:
    """A table of orders, and a pipeline that reads it."""

    def __init__(self, url: str, columns: str, folder: Path, **more: Any) -> None:
        self.engine = sa.create_engine(url)
        self.folder, self.lake = folder, Lake(str(folder / "lake"))
        self.attributes: dict[str, Any] = {
            "name": "shop",
            "source": {"type": "sql", "url_env": "SHOP_URL", "table": "orders", "watermark": "updated_at"},
            "time": "at",
            "partition": "daily",
            "start": "2025-01-01",
            "key": "id",
            **more,
        }
        self.run(f"CREATE TABLE orders ({columns})")

    @property
    def spec(self) -> PipelineSpec:
        return PipelineSpec.model_validate(self.attributes)

    def run(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def add(self, number: int, at: str, updated: str = "2025-02-01 00:00:00", amount: float = 1.0) -> None:
        statement = "INSERT INTO orders (id, at, amount, updated_at) VALUES (:id, :at, :amount, :updated)"
        self.run(statement, id=number, at=at, amount=amount, updated=updated)

    def pending(self) -> list[str]:
        return list(landing.pending(self.spec, self.lake, self.folder))

    def ingest(self, *keys: str) -> IngestReport:
        calendar = Calendar(self.spec)
        partitions = [calendar.partition(key) for key in keys or self.pending()]
        return ingest(self.spec, partitions, self.lake, self.folder)

    def rows(self) -> list[tuple[str, int]]:
        """Partition and id of each row in `raw`."""
        found = self.lake.read("shop", "raw", columns=["_partition", "id"]).to_pylist()
        return sorted((row["_partition"], row["id"]) for row in found)


@pytest.fixture(params=["sqlite", "postgres"])
def orders(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orders]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create(f"orders{next(_databases)}")
    monkeypatch.setenv("SHOP_URL", url)
    made = Orders(url, TYPES[request.param], tmp_path)
    made.add(1, "2025-01-01 10:00:00")
    made.add(2, "2025-01-02 10:00:00")
    made.add(3, "2025-01-02 11:00:00")
    yield made
    made.engine.dispose()


def test_rows_are_read_once_and_late_ones_revise_their_partition(orders: Orders) -> None:
    assert orders.pending() == ["2025-01-01", "2025-01-02"]
    assert orders.ingest().rows == 3
    assert orders.pending() == []
    version = orders.lake.version("shop", "files")
    assert orders.pending() == []
    assert orders.lake.version("shop", "files") == version
    orders.add(4, "2025-01-01 09:00:00", "2025-02-02 00:00:00")
    assert orders.pending() == ["2025-01-01"]
    orders.ingest()
    assert orders.rows() == [("2025-01-01", 1), ("2025-01-01", 4), ("2025-01-02", 2), ("2025-01-02", 3)]


def test_a_row_with_the_watermark_of_the_last_look_is_found(orders: Orders) -> None:
    orders.ingest()
    orders.add(4, "2025-01-02 12:00:00")
    assert orders.pending() == ["2025-01-02"]


def test_a_changed_row_is_read_again_and_a_moved_one_leaves_its_old_partition(orders: Orders) -> None:
    orders.ingest()
    orders.run("UPDATE orders SET amount = 7, updated_at = '2025-02-02 00:00:00' WHERE id = 1")
    assert orders.pending() == ["2025-01-01"]
    orders.ingest()
    assert orders.lake.read("shop", "raw", partitions=["2025-01-01"])["amount"].to_pylist() == [7.0]
    orders.run("UPDATE orders SET at = '2025-01-03 00:00:00', updated_at = '2025-02-03 00:00:00' WHERE id = 1")
    assert orders.pending() == ["2025-01-01", "2025-01-03"]
    orders.ingest()
    assert orders.rows() == [("2025-01-02", 2), ("2025-01-02", 3), ("2025-01-03", 1)]
    assert orders.pending() == []


def test_the_cursor_outlives_the_process_and_a_run_that_failed(orders: Orders) -> None:
    assert orders.pending() == ["2025-01-01", "2025-01-02"]
    again = Lake(orders.lake.root)
    assert list(landing.pending(orders.spec, again, orders.folder)) == ["2025-01-01", "2025-01-02"]
    orders.ingest("2025-01-02")
    assert orders.pending() == ["2025-01-01"]


def test_conditions_and_values_are_the_database_s_own(orders: Orders) -> None:
    orders.attributes["source"] |= {"where": "amount < 100 AND 'a:b' <> 'c'"}
    orders.add(9, "2025-01-01 10:00:00", amount=500.0)
    orders.ingest()
    assert [number for _, number in orders.rows()] == [1, 2, 3]


def test_a_query_and_only_the_columns_that_are_needed(orders: Orders) -> None:
    query = "SELECT id, at, amount * 2 AS twice, updated_at, 'x' AS unused FROM orders;"
    orders.attributes["source"] = {"type": "sql", "url_env": "SHOP_URL", "query": query, "watermark": "updated_at"}
    orders.attributes["features"] = ["twice"]
    report = orders.ingest()
    assert report.schema.names == ["at", "id", "twice"]
    assert orders.lake.read("shop", "raw")["twice"].to_pylist() == [2.0, 2.0, 2.0]


def test_without_a_watermark_the_time_is_one(orders: Orders) -> None:
    del orders.attributes["source"]["watermark"]
    orders.ingest()
    orders.add(4, "2025-01-03 10:00:00")
    assert orders.pending() == ["2025-01-03"]


def test_the_whole(orders: Orders) -> None:
    orders.attributes |= {"partition": "whole", "start": None}
    assert orders.pending() == ["all"]
    assert orders.ingest().rows == 3
    assert orders.pending() == []
    orders.add(4, "2025-01-03 10:00:00")
    assert orders.pending() == ["all"]
    assert orders.ingest().rows == 4


def test_borders_of_days_are_those_of_the_time_zone(orders: Orders) -> None:
    orders.attributes["timezone"] = "America/New_York"
    orders.add(4, "2025-01-03 03:00:00")  # Naive in SQLite; a moment of UTC in PostgreSQL, whose session is in UTC.
    orders.add(5, "2025-01-02 05:00:00")
    orders.ingest()
    naive = orders.engine.dialect.name == "sqlite"
    assert ("2025-01-03" if naive else "2025-01-02", 4) in orders.rows()
    assert ("2025-01-02", 5) in orders.rows()
    assert len(orders.rows()) == 5


def test_transactions_that_commit_late(orders: Orders) -> None:
    if orders.engine.dialect.name == "sqlite":
        pytest.skip("texts have no overlap")
    orders.ingest()
    orders.add(4, "2025-01-01 12:00:00", "2025-01-31 23:57:00")  # Three minutes before the last watermark.
    assert orders.pending() == ["2025-01-01"]
    orders.ingest()
    orders.add(5, "2025-01-01 12:00:00", "2025-01-31 23:50:00")  # Out of reach, as the setting says.
    assert orders.pending() == []


# ------------------------------------------------------------------------------------------------------ errors


def told(source: dict[str, Any], tmp_path: Path) -> PynomalyError:
    spec = PipelineSpec.model_validate(
        {
            "name": "shop",
            "source": {"type": "sql", "url_env": "SHOP_URL", "timeout_seconds": 3, **source},
            "time": "at",
            "partition": "daily",
            "start": "2025-01-01",
        }
    )
    with pytest.raises(PynomalyError) as caught:
        landing.available(spec, Lake(str(tmp_path / "empty")), tmp_path)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize(
    ("source", "kind", "problem"),
    [
        ({"table": "nope"}, SourceMissing, "nope of SHOP_URL does not exist"),
        ({"table": "orders", "watermark": "nope"}, SchemaError, "orders of SHOP_URL has no column 'nope'"),
        (
            {"query": "SELECT id AS at, 1 AS n FROM orders"},
            SchemaError,
            "the time column 'at' of the query of SHOP_URL",
        ),
        ({"table": "orders", "where": "id ="}, SourceMissing, ""),
    ],
)
def test_what_is_not_there(orders: Orders, source: dict[str, Any], kind: type, problem: str, tmp_path: Path) -> None:
    error = told(source, tmp_path)
    if "where" in source and orders.engine.dialect.name == "sqlite":
        kind = SourceUnreachable if isinstance(error, SourceUnreachable) else kind
    assert isinstance(error, kind)
    assert problem in str(error)


def test_denied_unreachable_and_wrong_urls(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {
        postgres.url().replace(postgres.password, "wrong"): (SourceDenied, "password authentication failed", False),
        "postgresql+psycopg://a@127.0.0.1:9/x": (SourceUnreachable, "does not answer", True),
        postgres.url("nowhere"): (SourceMissing, "there is no database where SHOP_URL points", False),
        "mysql+nodriver://a:hush@b/c": (SettingsError, "is no SQLAlchemy URL", False),  # pragma: allowlist secret
        "postgresql+pg8000://a@b/c": (SettingsError, "needs the driver 'pg8000'", False),
        "": (SettingsError, "SHOP_URL is not set", False),
    }
    for url, (kind, problem, retryable) in cases.items():
        monkeypatch.setenv("SHOP_URL", url)
        error = told({"table": "orders"}, tmp_path)
        assert isinstance(error, kind), url
        assert problem in str(error)
        assert error.retryable == retryable
        assert "hush" not in str(error)
