"""Event logs become series by declared SQL: right hours, late events, bounded, shut in, and refused with the fix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import DataError, SpecError
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.aggregation import AggregationReport, aggregate, check_sql
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
D1, D2 = "2025-01-01", "2025-01-02"
SQL = """
    select date_trunc('hour', ts) as hour, shop, count(*) as orders, sum(amount) as revenue -- one row an hour
    from events group by all"""
SERIES: dict[str, Any] = {
    "aggregate": {"sql": SQL, "time": "ts"},
    "kind": "series",
    "time": "hour",
    "series": "shop",
    "values": ["orders", "revenue"],
}
HEADER = "ts,shop,amount\n"


def run(shop: Zone, *keys: str) -> AggregationReport:
    return aggregate(shop.spec, shop.partitions(keys), shop.lake)


def hours(shop: Zone, noun: str = "aggregated") -> list[tuple[Any, ...]]:
    rows = shop.rows(noun)
    return list(zip(rows["hour"].dt.strftime("%dT%H:%MZ"), rows["shop"], rows["orders"], rows["revenue"], strict=True))


def test_events_become_a_series_that_late_events_revise(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/*.csv"}, **SERIES)
    shop.drop("a.csv", HEADER + f"{D1}T10:05,x,2\n{D1}T10:55,x,3\n{D1}T11:00,x,7\n{D2}T10:00,y,1\n")
    shop.ingest(D1, D2)
    report = run(shop, D1, D2)
    assert hours(shop) == [("01T10:00Z", "x", 2, 5.0), ("01T11:00Z", "x", 1, 7.0), ("02T10:00Z", "y", 1, 1.0)]
    assert {key: (n.events, n.left_out, n.rows) for key, n in report.partitions.items()} == {
        D1: (3, 0, 2),
        D2: (1, 0, 1),
    }
    shop.validate(D1, D2)
    assert hours(shop, "validated") == hours(shop)
    # An hour later a file with a late event comes: the hour it belongs to has one more.
    shop.drop("b.csv", HEADER + f"{D1}T10:59,x,100\n")
    shop.ingest(D1)
    run(shop, D1)
    assert hours(shop)[0] == ("01T10:00Z", "x", 3, 105.0)
    assert len(hours(shop)) == 3


def test_events_that_could_not_be_read_are_counted_and_too_many_refuse(zone: Make) -> None:
    shop = zone(columns={"amount": "number"}, validation={"max_quarantined": 0.3}, **SERIES)
    shop.drop(f"{D1}.csv", HEADER + f"{D1}T10:00,x,1\n" * 3 + f"{D1}T10:00,x,oops\n")
    shop.drop(f"{D2}.csv", HEADER + f"{D2}T10:00,x,1\n{D2}T10:00,x,oops\n")
    shop.ingest(D1, D2)
    report = run(shop, D1, D2)
    assert (report.partitions[D1].events, report.partitions[D1].left_out) == (4, 1)
    (failure,) = report.failures
    assert failure.partition == D2
    assert "1 of 2 events of partition 2025-01-02 could not be read" in str(failure.error)
    assert [row[2] for row in hours(shop)] == [3]
    with pytest.raises(DataError, match="could not be read"):
        run(shop, D2)


def test_every_hour_of_the_nights_in_which_clocks_change_is_one_row(zone: Make) -> None:
    nights = {"2025-03-08": 24, "2025-03-09": 23, "2025-11-02": 25}
    shop = zone(timezone="America/New_York", **SERIES)
    for day in nights:
        start = pd.Timestamp(day, tz="America/New_York")
        moments = pd.date_range(start, start + pd.DateOffset(days=1), freq="20min", inclusive="left").tz_convert("UTC")
        shop.drop(f"{day}.csv", HEADER + "".join(f"{m.isoformat()},x,1\n" for m in moments))
    shop.ingest(*nights)
    report = run(shop, *nights)
    assert {key: (n.events, n.rows) for key, n in report.partitions.items()} == {
        day: (3 * count, count) for day, count in nights.items()
    }
    assert set(shop.rows("aggregated")["orders"]) == {3}
    assert shop.rows("aggregated")["hour"].is_unique


def test_days_begin_at_local_midnight_and_strays_are_rejected(zone: Make) -> None:
    sql = (
        "select date_trunc('{}', ts) as hour, 'all' as shop, count(*) as orders, 0.5 as revenue from events group by 1"
    )
    daily = {**SERIES, "aggregate": {"sql": sql.format("day"), "time": "ts"}}
    shop = zone(timezone="America/New_York", **daily)
    shop.drop(f"{D2}.csv", HEADER + "2025-01-02T05:00Z,x,1\n2025-01-03T04:59Z,x,1\n")
    shop.ingest(D2)
    run(shop, D2)
    assert hours(shop) == [("02T05:00Z", "all", 2, 0.5)]
    shop.attributes["aggregate"] = {"sql": sql.format("week"), "time": "ts"}
    run(shop, D2)
    assert shop.rows("aggregated")["_rejected"].tolist() == [
        "time 2024-12-30 05:00:00Z lies outside partition 2025-01-02"
    ]


def test_what_needs_more_memory_than_allowed_says_so(zone: Make) -> None:
    sql = "select ts as hour, shop, range as orders, md5(range::varchar) as revenue from events, range(5000000)"
    shop = zone(**{**SERIES, "aggregate": {"sql": sql, "time": "ts", "memory_mb": 64}})
    shop.drop(f"{D1}.csv", HEADER + f"{D1}T10:00,x,1\n")
    shop.ingest(D1)
    with pytest.raises(DataError, match=r"more than 64 MiB for partition 2025-01-01.*aggregate.memory_mb"):
        run(shop, D1)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from read_csv('/etc/hostname')", "file system operations are disabled"),
        ("select * from 'https://example.org/a.parquet'", "disabled"),
        ("select nope from events", 'column "nope" not found'),
        ("select sum(amount from events", "syntax error"),
        ("select getenv('HOME') as hour from events", "getenv"),
    ],
)
def test_sql_reaches_nothing_but_the_events(sql: str, said: str, zone: Make) -> None:
    shop = zone(**{**SERIES, "aggregate": {"sql": sql, "time": "ts"}})
    shop.drop(f"{D1}.csv", HEADER + f"{D1}T10:00,x,1\n")
    shop.ingest(D1)
    with pytest.raises(DataError) as caught:
        run(shop, D1)
    assert said in caught.value.problem


# ---------------------------------------------------------------------------------------------- before a run


EVENTS = {"ts": pa.timestamp("us", tz="UTC"), "shop": pa.string(), "amount": pa.float64()}


def spec(sql: str = SQL, **more: Any) -> PipelineSpec:
    attributes = {"name": "shop", "source": {"type": "csv", "path": "a.csv"}, **SERIES, **more}
    return PipelineSpec.model_validate(attributes | {"aggregate": {"sql": sql, "time": "ts"}})


def test_a_sound_query_is_checked_against_the_columns() -> None:
    assert list(check_sql(spec(), EVENTS)) == []
    assert list(check_sql(spec(), None)) == []


@pytest.mark.parametrize(
    ("sql", "problem", "fix"),
    [
        ("drop table events", "`aggregate.sql` is DROP", "leave the rest out"),
        ("select 1; select 2", "`aggregate.sql` is SELECT, SELECT", "leave the rest out"),
        ("selekt 1", "syntax error", "correct the SQL"),
        ("select cost from events", 'column "cost" not found', "correct the SQL"),
        (SQL.replace("as revenue", "as turnover"), "has no column 'revenue'", "as revenue"),
    ],
)
def test_a_wrong_query_is_told_before_anything_runs(sql: str, problem: str, fix: str) -> None:
    (error,) = check_sql(spec(sql), EVENTS)
    assert isinstance(error, SpecError)
    assert problem in error.problem
    assert fix in error.fix


def test_without_duckdb_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['duckdb'] = None\n"
        "from tests.stages.test_aggregation import spec, check_sql\n"
        "print(*check_sql(spec(), None))"
    )
    folder = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True)
    assert "pip install 'pynomaly-pipelines[sql]'" in done.stdout


# ------------------------------------------------------------------------------------------------ end to end


def test_an_event_log_is_scored_as_a_series(tmp_path: Path, new_registry: Any) -> None:
    from pynomaly_pipelines.partitions import Calendar
    from pynomaly_pipelines.stages.evaluation import evaluate
    from pynomaly_pipelines.stages.ingestion import ingest
    from pynomaly_pipelines.stages.promotion.registration import register
    from pynomaly_pipelines.stages.scoring import score
    from pynomaly_pipelines.stages.training import train
    from pynomaly_pipelines.stages.validation import validate

    random = np.random.default_rng(5)
    every_hour = pd.date_range("2025-01-01", periods=24 * 21, freq="h", tz="UTC")
    expected = 30 + 15 * np.sin(2 * np.pi * np.arange(len(every_hour)) / 24)
    counts = random.poisson(expected)
    counts[24 * 19 + 4] = 400
    moments = every_hour.repeat(counts) + pd.to_timedelta(random.integers(0, 3600, counts.sum()), unit="s")
    (tmp_path / "log.csv").write_text(
        HEADER + "".join(f"{m.isoformat()},x,{1 + i % 3}\n" for i, m in enumerate(moments))
    )
    attributes = {
        "name": "shop",
        "source": {"type": "csv", "path": "log.csv"},
        "partition": "daily",
        "start": "2025-01-01",
        "training": {"detectors": ["SeasonalResidual"]},
        "threshold": {"alert_rate": 0.005},
    }
    pipeline = PipelineSpec.model_validate({**SERIES, **attributes})
    lake, registry = Lake(str(tmp_path / "lake")), new_registry(tmp_path / "registry")
    days = pd.date_range("2025-01-01", periods=21).strftime("%Y-%m-%d")
    partitions = [Calendar(pipeline).partition(day) for day in days]
    ingest(pipeline, partitions, lake, tmp_path)
    report = aggregate(pipeline, partitions, lake)
    assert sum(n.events for n in report.partitions.values()) == counts.sum()
    assert lake.read("shop", "aggregated")["orders"].to_pylist() == [c for c in counts if c]
    validate(pipeline, partitions, lake)
    train(pipeline, lake, registry)
    evaluate(pipeline, lake, registry)
    register(pipeline, lake, registry)
    score(pipeline, partitions, lake, registry, run_id="run-1")
    scores = lake.read("shop", "scores").to_pandas()
    top = scores.loc[scores["score"].idxmax()]
    assert top["hour"] == every_hour[24 * 19 + 4]
    assert top["is_anomaly"]
