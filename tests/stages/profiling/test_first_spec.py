"""A proposal fits the file it was made from: it loads, ingests and validates there without a refusal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from pynomaly_pipelines.operations.errors import NotEnoughData, SourceMissing, SpecError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import CsvSource, PipelineSpec
from pynomaly_pipelines.stages.expectations.arguments import check_expectations
from pynomaly_pipelines.stages.ingestion import ingest
from pynomaly_pipelines.stages.profiling.dialects import csv_dialect
from pynomaly_pipelines.stages.profiling.first_spec import propose
from pynomaly_pipelines.stages.sources import landing
from pynomaly_pipelines.stages.validation import validate


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def payments(rows: int = 2000) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "payment_id": [f"P{number:06d}" for number in range(rows)],
            "created_at": pd.date_range("2025-01-01", periods=rows, freq="17min").strftime("%Y-%m-%d %H:%M:%S"),
            "amount": random.lognormal(3, 1, rows).round(2),
            "balance": random.normal(0, 100, rows).round(2),
            "items": random.integers(1, 9, rows),
            "country": random.choice(["DE", "FR", "NO"], rows),
            "express": random.choice([True, False], rows),
            "currency": "EUR",
            "comment": [f"customer {number} said a rather long thing about the delivery" for number in range(rows)],
            "coupon": "",
            "is_fraud": (random.random(rows) < 0.01).astype(int),
        }
    )


def stations(hours: int = 24 * 20) -> pd.DataFrame:
    times = pd.date_range("2025-03-01", periods=hours, freq="h", tz="UTC")
    random = np.random.default_rng(1)
    frames = [
        pd.DataFrame({"time": times, "station": name, "temperature": random.normal(10, 3, hours), "wind": 5.0 + i})
        for i, name in enumerate(["north", "south"])
    ]
    return pd.concat(frames, ignore_index=True).assign(wind=random.gamma(2, 2, 2 * hours))


def accepted(text: str, tmp_path: Path) -> tuple[PipelineSpec, float]:
    """The proposal as a spec, after it went through ingestion and validation; and the share of valid rows."""
    document = yaml.safe_load(text)
    assert document["type"] == "pynomaly_pipelines.components.DetectionPipeline"
    spec = PipelineSpec.model_validate({"name": "shop", **document["attributes"]})
    assert check_expectations(spec) == []
    lake = Lake(str(tmp_path / "lake"))
    keys = list(landing.pending(spec, lake, tmp_path))
    partitions = [Calendar(spec).partition(key) for key in keys]
    ingested = ingest(spec, partitions, lake, tmp_path)
    report = validate(spec, partitions, lake)
    assert report.refused == ()
    assert report.rows == ingested.rows
    return spec, report.valid / report.rows


def settled(path: Path) -> Path:
    then = time.time() - 60
    os.utime(path, (then, then))
    return path


def test_payments(tmp_path: Path) -> None:
    payments().to_csv("payments.csv", index=False)
    settled(tmp_path / "payments.csv")
    text = propose(Path("payments.csv"), "payments")
    spec, share = accepted(text, tmp_path)
    assert share == 1.0
    assert (spec.kind, spec.time, spec.partition, spec.start) == ("records", "created_at", "daily", date(2025, 1, 1))
    assert spec.key == ("payment_id",)
    assert spec.features == ("amount", "balance", "items", "country", "express")
    assert set(spec.ignore) == {"currency", "comment"}
    assert spec.labels is not None
    assert spec.labels.column == "is_fraud"
    arguments = {e.name: e.arguments for e in spec.expectations if e.arguments["column"] in ("country", "amount")}
    assert arguments["expect_column_values_to_be_in_set"]["value_set"] == ["DE", "FR", "NO"]
    assert arguments["expect_column_values_to_be_between"]["min_value"] == 0
    assert arguments["expect_column_values_to_be_between"]["max_value"] > payments()["amount"].max()
    assert "# constant: currency; free text: comment" in text
    assert len(text.splitlines()) <= 22


def write_jsonl(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path, orient="records", lines=True, date_format="iso")


WRITERS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".parquet": lambda frame, path: frame.to_parquet(path),
    ".jsonl": write_jsonl,
}


@pytest.mark.parametrize("ending", WRITERS)
def test_a_regular_clock_makes_series(tmp_path: Path, ending: str) -> None:
    path = Path(f"stations{ending}")
    WRITERS[ending](stations(), path)
    settled(tmp_path / path)
    spec, share = accepted(propose(path, "stations"), tmp_path)
    assert share == 1.0
    assert (spec.kind, spec.time, spec.series, spec.values) == ("series", "time", ("station",), ("temperature", "wind"))
    assert (spec.partition, spec.start) == ("daily", date(2025, 3, 1))


def test_a_lone_series(tmp_path: Path) -> None:
    stations().query("station == 'north'").drop(columns="station").to_csv("north.csv", index=False)
    settled(tmp_path / "north.csv")
    spec, _ = accepted(propose(Path("north.csv"), "north"), tmp_path)
    assert (spec.kind, spec.series, spec.values) == ("series", (), ("temperature", "wind"))


def test_no_times_make_one_partition(tmp_path: Path) -> None:
    frame = payments().drop(columns=["created_at", "comment"])
    frame.to_csv("payments.csv", index=False)
    settled(tmp_path / "payments.csv")
    spec, share = accepted(propose(Path("payments.csv"), "payments"), tmp_path)
    assert (spec.time, spec.partition, share) == (None, "whole", 1.0)


def test_a_glob(tmp_path: Path) -> None:
    for number, part in enumerate(np.array_split(np.arange(2000), 4)):
        payments().iloc[part].to_csv(f"part{number}.csv", index=False)
        settled(tmp_path / f"part{number}.csv")
    spec, share = accepted(propose(Path("part*.csv"), "payments"), tmp_path)
    assert (spec.source.path, spec.partition, share) == ("part*.csv", "daily", 1.0)


def test_a_day_in_the_name_becomes_a_code(tmp_path: Path) -> None:
    payments(50).to_csv("sales-20250101.csv", index=False)
    settled(tmp_path / "sales-20250101.csv")
    spec, share = accepted(propose(Path("sales-20250101.csv"), "sales"), tmp_path)
    assert (spec.source.path, spec.partition, share) == ("sales-%Y%m%d.csv", "daily", 1.0)


def test_a_day_in_the_name_that_is_not_that_of_the_rows_stays(tmp_path: Path) -> None:
    payments().to_csv("export-2025-02-01.csv", index=False)
    assert "path: export-2025-02-01.csv" in propose(Path("export-2025-02-01.csv"), "sales")


def test_other_encodings_delimiters_and_odd_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({"Größe (cm)": [1.5, 2.5, 3.5] * 9, "on": ["ä", "b: c", "#d"] * 9, "yes": [1, 2, 3] * 9})
    frame.to_csv("sizes.csv", index=False, sep=";", encoding="cp1252")
    settled(tmp_path / "sizes.csv")
    spec, share = accepted(propose(Path("sizes.csv"), "sizes"), tmp_path)
    assert share == 1.0
    assert spec.features == ("Größe (cm)", "on", "yes")


def bookings(rows: int = 600) -> pd.DataFrame:
    random = np.random.default_rng(3)
    days = pd.date_range("2025-01-02", periods=rows, freq="3h")
    amounts = random.lognormal(6, 1, rows).round(2)
    german = [f"{a:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".") for a in amounts]
    return pd.DataFrame(
        {
            "Buchungstag": days.strftime("%d.%m.%Y %H:%M"),
            "Wertstellung": days.strftime("%d.%m.%Y"),
            "Betrag": german,
            "Menge": random.integers(1, 90, rows),
            "Kunde": random.choice(["Müller", "Groß", "Weiß"], rows),
            "amount": amounts,
        }
    )


def test_a_german_export_keeps_its_amounts_and_days(tmp_path: Path) -> None:
    frame = bookings()
    frame.drop(columns="amount").to_csv("buchungen.csv", index=False, sep=";", encoding="cp1252")
    settled(tmp_path / "buchungen.csv")
    text = propose(Path("buchungen.csv"), "buchungen")
    assert 'time_format: ["%d.%m.%Y %H:%M", "%d.%m.%Y"]' in text
    spec, share = accepted(text, tmp_path)
    assert share == 1.0
    assert isinstance(spec.source, CsvSource)
    assert (spec.source.delimiter, spec.source.decimal, spec.source.thousands) == (";", ",", ".")
    assert spec.time == "Buchungstag"
    assert (spec.key, spec.features) == (("Buchungstag", "Kunde"), ("Betrag", "Menge"))
    rows = Lake(str(tmp_path / "lake")).read("shop", "validated").sort_by("_row")
    assert rows["Betrag"].to_pylist() == frame["amount"].tolist()
    assert [d.strftime("%d.%m.%Y %H:%M") for d in rows["Buchungstag"].to_pylist()] == frame["Buchungstag"].tolist()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["1,5", "2,25"], {"decimal": ","}),
        (["1.234,5", "2,25"], {"decimal": ",", "thousands": "."}),
        # One group and no fraction prove nothing: it stays 1.234, and 1,234 becomes it.
        (["1.234", "2.345"], {}),
        (["1,234", "2,345"], {"decimal": ","}),
        (["1,234.5", "7.5"], {"thousands": ","}),
        (["1 234,5", "7,5"], {"decimal": ",", "thousands": " "}),
        (["1,5", "n/v"], {}),
        (["03.01.2025", "31.01.2025"], {"time_format": "%d.%m.%Y"}),
        (["03/01/2025 10:00", "31/01/2025 11:00"], {"time_format": "%d/%m/%Y %H:%M"}),
        (["01/03/2025", "01/31/2025"], {"time_format": "%m/%d/%Y"}),
        (["2025-01-03", "2025-01-31"], {}),
        (["10.1.2.3", "10.1.2.4"], {}),
    ],
)
def test_how_a_file_writes_is_seen(values: list[str], said: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x;y\n" + "".join(f"{value};a\n" for value in values), encoding="utf-8")
    assert csv_dialect(tmp_path / "a.csv") == {"delimiter": ";"} | said


def test_days_that_could_be_months_are_pointed_at(tmp_path: Path) -> None:
    frame = payments().assign(created_at="03/04/2025 10:00")
    frame.loc[:40, "created_at"] = "05/04/2025 11:00"
    frame.to_csv("us.csv", index=False)
    text = propose(Path("us.csv"), "us")
    assert 'time_format: "%m/%d/%Y %H:%M"' in text
    assert "Every day is below 13" in text


def test_epochs_are_times(tmp_path: Path) -> None:
    frame = payments()
    frame["created_at"] = pd.to_datetime(frame["created_at"]).astype("datetime64[s]").astype("int64") * 1000
    frame.to_csv("epochs.csv", index=False)
    settled(tmp_path / "epochs.csv")
    text = propose(Path("epochs.csv"), "epochs")
    assert "time_format: epoch_ms" in text
    spec, share = accepted(text, tmp_path)
    assert (spec.time, share) == ("created_at", 1.0)


def test_every_parquet_type(tmp_path: Path) -> None:
    from decimal import Decimal

    from pyarrow import parquet

    count = 60
    numbers = list(range(count))
    table = pa.table(
        {
            "small": pa.array([n % 7 for n in numbers], pa.uint8()),
            "half": pa.array(np.array(numbers, dtype=np.float16)),
            "price": pa.array([Decimal(n) / 100 for n in numbers], pa.decimal128(9, 2)),
            "flag": pa.array([n % 3 == 0 for n in numbers]),
            "kind": pa.array([("a", "b")[n % 2] for n in numbers]).dictionary_encode(),
            "day": pa.array(numbers, pa.date32()),
            "moment": pa.array([n * 10**13 for n in numbers], pa.timestamp("ns", "Asia/Tokyo")),
            "clock": pa.array(numbers, pa.time32("s")),
            "lasted": pa.array(numbers, pa.duration("s")),
            "bytes": pa.array([bytes([n]) for n in numbers]),
            "list": pa.array([[n] for n in numbers]),
            "struct": pa.array([{"x": n} for n in numbers]),
            "nothing": pa.nulls(count),
            "large": pa.array([f"{n % 4}" for n in numbers], pa.large_string()),
        }
    )
    parquet.write_table(table, "types.parquet")
    settled(tmp_path / "types.parquet")
    spec, share = accepted(propose(Path("types.parquet"), "types"), tmp_path)
    assert share == 1.0
    assert {"small", "half", "price", "flag", "kind", "large"} <= {*spec.features, *spec.values}


def test_times_to_come_are_allowed(tmp_path: Path) -> None:
    frame = payments().assign(created_at=pd.date_range("2090-01-01", periods=2000, freq="17min"))
    frame.to_csv("plan.csv", index=False)
    settled(tmp_path / "plan.csv")
    spec, share = accepted(propose(Path("plan.csv"), "plan"), tmp_path)
    assert (spec.allow_future, share) == (True, 1.0)


def test_one_row_has_nothing_to_learn_from() -> None:
    payments(1).to_csv("one.csv", index=False)
    with pytest.raises(NotEnoughData, match=r"one.csv has no column that a detector could learn from"):
        propose(Path("one.csv"), "one")


def test_no_file_and_an_unknown_ending() -> None:
    with pytest.raises(SourceMissing, match=r"no file matches 'gone.csv'"):
        propose(Path("gone.csv"), "gone")
    with pytest.raises(SpecError, match=r"sheet.xlsx ends in '.xlsx'"):
        propose(Path("sheet.xlsx"), "sheet")
