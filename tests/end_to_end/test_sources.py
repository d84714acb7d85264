"""From a database, object storage and a Delta table to scores: init, new, check, run, and late rows after that."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import obstore
import pyarrow as pa
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from pynomaly_pipelines.cli import main
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.resources.tables import Lake
from tests.servers import ObjectStorage, Postgres
from tests.small_pipelines import records

pytestmark = pytest.mark.slow
DAYS = 5


def rows_of_days() -> list[pa.Table]:
    """Orders by day."""
    frame = records(DAYS).rows.drop(columns=["fraud"])
    return [pa.Table.from_pandas(part, preserve_index=False) for _, part in frame.groupby(frame["at"].dt.date)]


def pynomaly(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYNOMALY_HOME", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("PYNOMALY_PROJECT", raising=False)
    pynomaly("init", "watch")
    return tmp_path


def from_new_to_scores(project: Path, place: str, add_late_row: Callable[[], None]) -> None:
    """All days are scored; a late row is found by its source alone, and its day scored again."""
    pynomaly("new", "orders", "--from", place)
    file = project / "watch" / "defs" / "orders" / "defs.yaml"
    text = file.read_text().replace("partition: hourly", "partition: daily")
    file.write_text(text + "  training: {detectors: [HBOS]}\n  promotion: {min_injected_auc: 0}\n")
    assert "1 files, no problems" in pynomaly("check").output
    pynomaly("run", "orders")
    lake = Lake(Settings.from_environment().lake)
    before = lake.counts("orders", "scores")
    assert list(before) == [f"2025-01-0{day}" for day in range(1, DAYS + 1)]
    add_late_row()
    pynomaly("run", "orders", "--partition", "2025-01-02", "--no-train")
    assert lake.counts("orders", "scores") == {**before, "2025-01-02": before["2025-01-02"] + 1}


def test_a_database(project: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.create("to_scores")
    monkeypatch.setenv("SHOP_URL", url)
    engine = sa.create_engine(url)
    frame = pa.concat_tables(rows_of_days()).to_pandas()
    frame["updated_at"] = frame["at"]
    frame.to_sql("orders", engine, index=False)

    def late() -> None:
        with engine.begin() as connection:
            values = "VALUES (9999, '2025-01-02 23:00+00', 40, 8, 4, 'DE', false, now())"
            connection.execute(sa.text(f"INSERT INTO orders {values}"))

    from_new_to_scores(project, "sql:SHOP_URL/orders", late)
    assert "watermark: updated_at" in (project / "watch/defs/orders/defs.yaml").read_text()
    engine.dispose()


def test_packed_files_in_object_storage(
    project: Path, object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = object_storage.bucket("landing")
    for name, value in object_storage.environment.items():
        monkeypatch.setenv(name, value)
    for number, rows in enumerate(rows_of_days(), start=1):
        obstore.put(bucket, f"in/{number}.csv.gz", gzip.compress(rows.to_pandas().to_csv(index=False).encode()))

    def late() -> None:
        row = b"id,at,amount,tax,items,country,gift\n9999,2025-01-02T23:00Z,40,8,4,DE,False\n"
        obstore.put(bucket, "in/late.csv.gz", gzip.compress(row))

    from_new_to_scores(project, "s3://landing/in/*.csv.gz", late)


def test_a_delta_table_in_object_storage(
    project: Path, object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_storage.bucket("warehouse")
    for name, value in object_storage.environment.items():
        monkeypatch.setenv(name, value)
    # The pipeline's own tables as well.
    monkeypatch.setenv("PYNOMALY_LAKE", "s3://warehouse/lake")
    rows = rows_of_days()
    for part in rows:
        write_deltalake("s3://warehouse/orders", part, mode="append")

    def late() -> None:
        write_deltalake("s3://warehouse/orders", rows[1].slice(30, 1).set_column(0, "id", [[9999]]), mode="append")

    from_new_to_scores(project, "s3://warehouse/orders", late)
