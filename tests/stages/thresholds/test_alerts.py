"""Alerts are runs of adjacent anomalies; periods are those of the pipeline's zone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.stages.thresholds.alerts import (
    Places,
    alerts_of,
    alerts_per_period,
    entities,
    period_of,
    periods_within,
    smallest_score,
)

HOUR = pd.Timedelta(hours=1)
START = pd.Timestamp("2025-01-05", tz="UTC")  # a Sunday


def rows(*entries: tuple[str, int, float]) -> pd.DataFrame:
    """Entity, place (an hour each) and score."""
    found = pd.DataFrame(entries, columns=["entity", "place", "score"])
    return found.assign(time=START + pd.to_timedelta(found["place"].astype("int64"), unit="h"))


def test_the_entity_of_a_series_is_its_ids() -> None:
    names = pd.Series(["EWR/departures", "a/b/load", "load"])
    assert entities(names).tolist() == ["EWR", "a/b", ""]


def test_adjacent_anomalies_of_one_entity_are_one_alert() -> None:
    found = alerts_of(rows(("a", 1, 0.8), ("a", 2, 0.9), ("a", 4, 0.7), ("a", 8, 0.6), ("b", 2, 0.8)), quiet=3)
    # 4 to 8 leaves three quiet hours in between (5, 6, 7): a new alert.
    assert found[["entity", "rows", "score"]].to_numpy().tolist() == [["a", 3, 0.9], ["b", 1, 0.8], ["a", 1, 0.6]]
    assert found["time"].tolist() == [START + n * HOUR for n in (1, 2, 8)]
    assert found["end"].tolist() == [START + n * HOUR for n in (4, 2, 8)]


def test_values_of_an_entity_at_one_time_are_one_alert() -> None:
    found = alerts_of(rows(("a", 1, 0.8), ("a", 1, 0.9)), quiet=1)
    assert found["rows"].tolist() == [2]


def test_each_row_of_records_is_an_alert() -> None:
    assert len(alerts_of(rows(("", 0, 0.8), ("", 0, 0.9)), quiet=None)) == 2


def test_nothing_anomalous_is_no_alert() -> None:
    for quiet in (None, 3):
        assert alerts_of(rows(), quiet).empty


def test_places_go_on_from_one_partition_to_the_next() -> None:
    places = Places()
    first = places.of(pd.Series(["a", "a", "b"]), pd.Series([START, START + HOUR, START]))
    second = places.of(pd.Series(["a", "a", "b"]), pd.Series([START + 2 * HOUR] * 3))
    assert first.tolist() == [1, 2, 1]
    assert second.tolist() == [3, 3, 2]


@pytest.mark.parametrize(
    ("per", "first_days"),
    [("day", ["2025-03-08", "2025-03-09"]), ("week", ["2025-03-02", "2025-03-09"]), ("month", ["2025-03-01"] * 2)],
)
def test_a_period_begins_at_midnight_in_the_pipelines_zone(per: str, first_days: list[str]) -> None:
    # Midnight in New York before and after the clocks change on 9 March.
    times = pd.Series(pd.to_datetime(["2025-03-09T04:59Z", "2025-03-10T03:59Z"]))
    assert period_of(times, per, "America/New_York").dt.strftime("%Y-%m-%d").tolist() == first_days  # type: ignore[arg-type]


def test_only_whole_periods_count() -> None:
    first, end = pd.Timestamp("2025-01-03T10:00Z"), pd.Timestamp("2025-01-20T00:00Z")
    assert [f"{p:%m-%d}" for p in periods_within(first, end, "week", "UTC")] == ["01-05", "01-12"]
    assert len(periods_within(first, end, "month", "UTC")) == 0
    assert len(periods_within(first, end, "day", "UTC")) == 17


def test_alerts_are_counted_where_they_begin_and_stand_for_their_weight() -> None:
    periods = periods_within(START, START + pd.Timedelta(days=21), "week", "UTC")
    counts = alerts_per_period(alerts_of(rows(("a", 1, 0.8), ("a", 200, 0.9)), 3), periods, "week", "UTC", weight=2.0)
    assert counts.tolist() == [2.0, 2.0, 0.0]


@pytest.mark.parametrize("quiet", [None, 1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_the_smallest_score_is_that_of_trying_every_one(quiet: int | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 300
    found = pd.DataFrame(
        {
            "entity": rng.choice(["a", "b"], n),
            "place": rng.integers(0, 24 * 35, n),
            "score": rng.integers(50, 99, n) / 100,  # with ties
        }
    )
    found["time"] = START + found["place"] * HOUR
    periods = periods_within(START, START + pd.Timedelta(days=35), "week", "UTC")
    found["period"], found["weight"] = period_of(found["time"], "week", "UTC"), 1.0

    def over(threshold: float) -> int:
        alerts = alerts_of(found[found["score"] > threshold], quiet)
        return int((alerts_per_period(alerts, periods, "week", "UTC") > 4).sum())

    fitting = 1.0
    for score in sorted(found["score"].unique(), reverse=True):
        if over(score) > 1:
            break
        fitting = score
    assert smallest_score(found, list(periods), most=4, over=1, quiet=quiet, floor=0.5) == fitting


def test_a_budget_never_reached_leaves_the_floor() -> None:
    found = rows(("a", 1, 0.8)).assign(period=START.tz_localize(None), weight=1.0)
    assert smallest_score(found, [START.tz_localize(None)], most=4, over=0, quiet=3, floor=0.5) == 0.5
