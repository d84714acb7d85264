"""Delta tables: what is new is found by the version, in the partitions that commits touched."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pynomaly_pipelines.operations.errors import PynomalyError, SchemaError, SourceDenied, SourceMissing
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.ingestion import ingest
from pynomaly_pipelines.stages.sources import landing
from tests.servers import ObjectStorage

TIME = pa.timestamp("us", tz="UTC")


def rows(*ids_and_times: tuple[int, str]) -> pa.Table:
    times = [datetime.fromisoformat(f"{at}+00:00") for _, at in ids_and_times]
    return pa.table({"id": [number for number, _ in ids_and_times], "at": pa.array(times, TIME)})


class Table:
    """A Delta table and a pipeline that reads it."""

    def __init__(self, url: str, lake: Lake, folder: Path, storage: dict[str, Any], **options: Any) -> None:
        self.url, self.lake, self.folder, self.options = url, lake, folder, options
        self.attributes: dict[str, Any] = {
            "name": "shop",
            "source": {"type": "delta", "path": url, "storage": storage},
            "time": "at",
            "partition": "daily",
            "start": "2025-01-01",
        }
        first = rows((1, "2025-01-01T10:00"), (2, "2025-01-02T10:00"))
        write_deltalake(url, first, **options)
        self.add((3, "2025-01-03T10:00"))

    def add(self, *ids_and_times: tuple[int, str]) -> None:
        write_deltalake(
            self.url, rows(*ids_and_times), mode="append", storage_options=self.options.get("storage_options")
        )

    @property
    def table(self) -> DeltaTable:
        return DeltaTable(self.url, storage_options=self.options.get("storage_options"))

    @property
    def spec(self) -> PipelineSpec:
        return PipelineSpec.model_validate(self.attributes)

    def pending(self) -> list[str]:
        return list(landing.pending(self.spec, self.lake, self.folder))

    def ingest(self) -> dict[str, int]:
        """Ingest what waits; returns rows by partition in `raw`."""
        calendar = Calendar(self.spec)
        ingest(self.spec, [calendar.partition(key) for key in self.pending()], self.lake, self.folder)
        assert self.pending() == []
        return self.lake.counts("shop", "raw")


@pytest.fixture
def table(tmp_path: Path, lake: Lake) -> Table:
    return Table(str(tmp_path / "table"), lake, tmp_path, {})


def test_versions_touch_the_partitions_of_their_rows(table: Table) -> None:
    assert table.ingest() == {"2025-01-01": 1, "2025-01-02": 1, "2025-01-03": 1}
    table.add((4, "2025-01-01T11:00"))
    assert table.pending() == ["2025-01-01"]
    assert table.ingest() == {"2025-01-01": 2, "2025-01-02": 1, "2025-01-03": 1}


def test_compaction_is_no_news(table: Table) -> None:
    table.ingest()
    table.table.optimize.compact()
    assert table.pending() == []


def test_rows_that_were_deleted_go(table: Table) -> None:
    table.ingest()
    table.table.delete("id = 2")
    # The file also held a row of the first day, and was rewritten.
    assert table.pending() == ["2025-01-01", "2025-01-02"]
    assert table.ingest() == {"2025-01-01": 1, "2025-01-03": 1}


def test_with_a_change_data_feed_only_partitions_with_changes_are_touched(tmp_path: Path, lake: Lake) -> None:
    feed = {"delta.enableChangeDataFeed": "true"}
    table = Table(str(tmp_path / "table"), lake, tmp_path, {}, configuration=feed)
    table.ingest()
    table.table.delete("id = 2")
    assert table.pending() == ["2025-01-02"]
    assert table.ingest() == {"2025-01-01": 1, "2025-01-03": 1}


def test_after_a_vacuum_all_is_looked_at_anew(table: Table) -> None:
    table.ingest()
    table.table.delete("id = 2")
    table.table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert "2025-01-02" in table.pending()
    assert table.ingest() == {"2025-01-01": 1, "2025-01-03": 1}


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.string(), pa.date32()])
def test_times_without_a_zone_are_of_the_pipeline_s(tmp_path: Path, lake: Lake, kind: pa.DataType) -> None:
    texts = pa.array(["2025-01-01", "2025-01-02", "2025-01-02"])
    times = texts if pa.types.is_string(kind) else texts.cast(pa.date32()).cast(kind)
    url = str(tmp_path / "zone")
    write_deltalake(url, pa.table({"at": times, "id": [1, 2, 3]}))
    table = Table(str(tmp_path / "table"), lake, tmp_path, {})
    table.attributes |= {"source": {"type": "delta", "path": url}, "timezone": "America/New_York"}
    assert table.ingest() == {"2025-01-01": 1, "2025-01-02": 2}
    first = lake.read("shop", "raw", columns=["at"])["at"][0].as_py()
    assert first == datetime.fromisoformat("2025-01-01T05:00+00:00")


@pytest.mark.parametrize(
    ("change", "kind", "problem"),
    [
        ({"source": {"type": "delta", "path": "nowhere"}}, SourceMissing, "there is no Delta table at nowhere"),
        ({"time": "when"}, SchemaError, "has no column 'when'"),
    ],
)
def test_what_is_not_there(table: Table, change: dict[str, Any], kind: type[PynomalyError], problem: str) -> None:
    table.attributes |= change
    with pytest.raises(kind, match=problem):
        table.pending()


def test_a_table_and_a_lake_in_object_storage(
    object_storage: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_storage.bucket("delta")
    for name, value in object_storage.environment.items():
        monkeypatch.setenv(name, value)
    credentials = {"access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    storage = {"endpoint": object_storage.endpoint, "credentials": credentials}
    table = Table("s3://delta/table", Lake("s3://delta/lake"), tmp_path, storage)
    assert table.ingest() == {"2025-01-01": 1, "2025-01-02": 1, "2025-01-03": 1}
    table.add((4, "2025-01-01T11:00"))
    assert table.ingest() == {"2025-01-01": 2, "2025-01-02": 1, "2025-01-03": 1}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(SourceDenied, match="access to s3://delta is denied: the storage answers SignatureDoesNotMatch"):
        landing.pending(table.spec, Lake(str(tmp_path / "other")), tmp_path)
