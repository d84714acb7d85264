"""Partitions: the keys and windows of Dagster's own definitions, and the partition each moment falls into."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.partitions import WHOLE, Calendar, Partition, dated_path
from pynomaly_pipelines.spec import PipelineSpec

DAGSTER = {
    "hourly": dg.HourlyPartitionsDefinition,
    "daily": dg.DailyPartitionsDefinition,
    "weekly": dg.WeeklyPartitionsDefinition,
    "monthly": dg.MonthlyPartitionsDefinition,
}
# Midnight does not exist once a year in Cairo and Beirut and happens twice in Havana; Lord Howe shifts by half an hour.
ZONES = ["UTC", "America/New_York", "Africa/Cairo", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata"]


def spec(cadence: str, zone: str = "UTC", start: str = "2025-01-01", end: str | None = None) -> PipelineSpec:
    attributes: dict[str, Any] = {"name": "p", "source": {"type": "csv", "path": "a.csv"}, "timezone": zone}
    if cadence != "whole":
        attributes |= {"time": "at", "partition": cadence, "start": start, "end": end}
    return PipelineSpec.model_validate(attributes)


def calendar(cadence: str, zone: str = "UTC", start: str = "2025-01-01", end: str | None = None) -> Calendar:
    return Calendar(spec(cadence, zone, start, end))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cadence", sorted(DAGSTER))
def test_keys_and_windows_are_dagsters(cadence: str, zone: str) -> None:
    # A leap day, and both changes of the clock (hours: only the change in spring).
    start, end = ("2024-03-08", "2024-03-12") if cadence == "hourly" else ("2023-12-31", "2024-12-29")
    ours = calendar(cadence, zone, start, end)
    first, stop = ours.first(), ours.end()
    assert stop is not None
    theirs = DAGSTER[cadence](start_date=first.key, end_date=stop.key, timezone="UTC" if cadence == "hourly" else zone)
    keys = list(theirs.get_partition_keys(current_time=datetime(2025, 6, 1, tzinfo=UTC)))
    assert [part.key for part in ours.range(first.key, keys[-1])] == keys
    for key in keys:
        window = theirs.time_window_for_partition_key(key)
        part = ours.partition(key)
        assert (part.start, part.end) == (window.start.astimezone(UTC), window.end.astimezone(UTC))


@pytest.mark.parametrize(
    ("day", "hours"), [("2025-03-08", 24), ("2025-03-09", 23), ("2025-11-02", 25), ("2025-11-03", 24)]
)
def test_a_local_day_has_the_hours_it_has(day: str, hours: int) -> None:
    part = calendar("daily", "America/New_York").partition(day)
    assert part.start is not None
    assert part.end is not None
    assert part.end - part.start == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("cadence", "moment", "key"),
    [
        # New York is five hours behind UTC in winter, four in summer.
        ("daily", "2025-01-02T04:59:59", "2025-01-01"),
        ("daily", "2025-01-02T05:00:00", "2025-01-02"),
        ("daily", "2025-07-02T03:59:59", "2025-07-01"),
        ("daily", "2025-07-02T04:00:00", "2025-07-02"),
        # Both 01:30 of the night the clock goes back.
        ("daily", "2025-11-02T05:30:00", "2025-11-02"),
        ("daily", "2025-11-02T06:30:00", "2025-11-02"),
        ("hourly", "2025-11-02T05:30:00", "2025-11-02-05:00"),
        ("hourly", "2025-11-02T06:30:00", "2025-11-02-06:00"),
        # Weeks begin on Sunday; 2025-01-05 is one.
        ("weekly", "2025-01-05T04:59:59", "2024-12-29"),
        ("weekly", "2025-01-05T05:00:00", "2025-01-05"),
        ("weekly", "2025-01-08T12:00:00", "2025-01-05"),
        ("monthly", "2024-03-01T04:59:59", "2024-02-01"),
        ("monthly", "2024-03-01T05:00:00", "2024-03-01"),
        ("whole", "2024-03-01T05:00:00", "all"),
    ],
)
def test_a_moment_falls_into_its_partition(cadence: str, moment: str, key: str) -> None:
    ours, when = calendar(cadence, "America/New_York"), datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert ours.containing(when).key == key
    assert ours.keys_of(pd.Series([pd.Timestamp(when)])).tolist() == [key]


@given(
    seconds=st.lists(st.integers(0, 20 * 365 * 86_400), min_size=1, max_size=12),
    zone=st.sampled_from(ZONES),
    cadence=st.sampled_from(["hourly", "daily", "weekly", "monthly", "whole"]),
)
@settings(deadline=None, max_examples=80)
def test_columns_and_single_moments_agree(seconds: list[int], zone: str, cadence: str) -> None:
    ours = calendar(cadence, zone)
    moments = [datetime(2010, 1, 1, tzinfo=UTC) + timedelta(seconds=s) for s in seconds]
    keys = ours.keys_of(pd.Series(pd.DatetimeIndex(moments)))
    for moment, key in zip(moments, keys, strict=True):
        part = ours.containing(moment)
        assert part.key == key
        assert part == ours.partition(key)
        assert part.start is None or part.end is None or part.start <= moment < part.end


def test_a_row_without_a_time_has_no_partition() -> None:
    keys = calendar("daily").keys_of(pd.Series(pd.DatetimeIndex(["2025-01-05", "NaT"], tz="UTC"), index=[7, 3]))
    assert keys.index.tolist() == [7, 3]
    assert keys[7] == "2025-01-05"
    assert pd.isna(keys[3])
    assert calendar("daily").keys_of(pd.Series([], dtype="datetime64[us, UTC]")).tolist() == []


def test_a_range_holds_both_ends() -> None:
    days = calendar("daily", "America/New_York").range("2024-02-28", "2024-03-01")
    assert [part.key for part in days] == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert [part.key for part in calendar("daily").range("2025-01-01", "2025-01-01")] == ["2025-01-01"]
    assert [part.key for part in calendar("whole").range(WHOLE, WHOLE)] == [WHOLE]


@pytest.mark.parametrize(
    ("cadence", "start", "first"),
    [
        ("hourly", "2025-01-01", "2025-01-01-00:00"),
        ("daily", "2025-01-01", "2025-01-01"),
        ("weekly", "2025-01-01", "2024-12-29"),
        ("monthly", "2025-01-15", "2025-01-01"),
        ("whole", "2025-01-15", "all"),
    ],
)
def test_the_first_partition_holds_the_start(cadence: str, start: str, first: str) -> None:
    assert calendar(cadence, start=start).first().key == first


@pytest.mark.parametrize(
    ("cadence", "end", "after"),
    [
        ("hourly", "2025-01-08", "2025-01-08-00:00"),
        ("daily", "2025-01-08", "2025-01-08"),
        ("weekly", "2025-01-05", "2025-01-05"),
        # A Wednesday: its week still holds data.
        ("weekly", "2025-01-08", "2025-01-12"),
        ("monthly", "2025-02-01", "2025-02-01"),
        ("monthly", "2025-02-02", "2025-03-01"),
        ("monthly", None, None),
    ],
)
def test_the_end_is_the_first_partition_without_data(cadence: str, end: str | None, after: str | None) -> None:
    found = calendar(cadence, "Europe/Berlin", end=end).end()
    assert (found.key if found else None) == after


@pytest.mark.parametrize(
    ("moment", "key"),
    [
        ("2025-01-01T23:59:59", None),
        ("2025-01-02T00:00:00", "2025-01-01"),
        ("2025-01-05T13:00:00", "2025-01-04"),
        ("2025-01-10T00:00:00", "2025-01-09"),
        ("2026-01-01T00:00:00", "2025-01-09"),
    ],
)
def test_the_latest_complete_partition(moment: str, key: str | None) -> None:
    found = calendar("daily", end="2025-01-10").latest_complete(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert (found.key if found else None) == key


def test_the_whole_is_always_complete() -> None:
    assert calendar("whole").latest_complete(datetime(2025, 1, 1, tzinfo=UTC)) == Partition(WHOLE)


@pytest.mark.parametrize(
    ("cadence", "key"),
    [
        ("daily", "yesterday"),
        ("daily", "2025-02-30"),
        ("daily", "2025-01-01-00:00"),
        # One partition has one name: tables, runs and the UI would not find it under this one.
        ("daily", "2025-1-2"),
        ("weekly", "2025-01-01"),
        ("monthly", "2025-01-15"),
        ("hourly", "2025-01-01"),
        ("hourly", "2025-01-01-00:30"),
        ("whole", "2025-01-01"),
    ],
)
def test_an_unknown_key_is_refused_with_an_example(cadence: str, key: str) -> None:
    ours = calendar(cadence)
    with pytest.raises(DataError) as caught:
        ours.partition(key)
    assert key in caught.value.problem
    assert (ours.first().key if cadence != "whole" else WHOLE) in caught.value.rule


def test_a_dated_path_speaks_local_time() -> None:
    part = calendar("daily", "America/New_York").partition("2025-01-02")
    path = dated_path("in/%Y/%m-%d.csv", part, ZoneInfo("America/New_York"))
    assert path == "in/2025/01-02.csv"
    assert dated_path("in/all.csv", Partition(WHOLE), ZoneInfo("UTC")) == "in/all.csv"
