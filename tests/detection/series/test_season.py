"""Which pattern a series follows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import SeriesDetector
from pynomaly_pipelines.detection.series.season import DAY, HOUR, WEEK, Season, fit_season

from .conftest import START, daily

MINUTE = HOUR // 60


def times(n: int, minutes: int) -> np.ndarray:
    return START.as_unit("ns").value + np.arange(n, dtype=np.int64) * minutes * MINUTE


def test_noise_has_no_pattern():
    value = np.random.default_rng(0).normal(5, 1, 48 * 28)
    season = fit_season(times(48 * 28, 30), value, 30 * MINUTE)
    assert season.period == 0
    np.testing.assert_array_equal(season.at(times(3, 30)), np.full(3, np.median(value)))


def test_a_daily_wave_is_found_and_read_by_the_clock():
    season = fit_season(times(48 * 28, 30), daily(28, 0), 30 * MINUTE)
    assert season.period == DAY
    later = times(48, 30) + 400 * DAY
    hourly_mean = (50 + 10 * np.sin(2 * np.pi * np.arange(48) / 48)).reshape(24, 2).mean(axis=1)
    np.testing.assert_allclose(season.at(later).reshape(24, 2).mean(axis=1), hourly_mean, atol=1.0)


def test_a_square_edge_within_the_day_is_kept_sharp():
    step = np.where((np.arange(96 * 14) % 96) < 37, 0.0, 10.0)  # changes at 9:15
    season = fit_season(times(96 * 14, 15), step, 15 * MINUTE)
    np.testing.assert_array_equal(season.at(times(96, 15)), step[:96])


def test_a_weekend_makes_the_pattern_weekly():
    at = np.arange(24 * 7 * 6)
    value = np.where(at % (24 * 7) >= 24 * 5, 0.0, 10.0 + 5 * np.sin(2 * np.pi * at / 24))
    season = fit_season(times(len(at), 60), value + np.random.default_rng(0).normal(size=len(at)), HOUR)
    assert season.period == WEEK
    assert season.at(times(24 * 7, 60))[24 * 5 :].mean() == pytest.approx(0.0, abs=0.5)


def test_daily_points_may_follow_the_week():
    weekday = np.tile([5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 0.0], 10)
    season = fit_season(times(70, 24 * 60), weekday, DAY)
    assert (season.period, len(season.table)) == (WEEK, 7)
    np.testing.assert_array_equal(season.at(times(7, 24 * 60) + 700 * DAY), weekday[:7])


def test_four_points_a_day_may_follow_the_day():
    season = fit_season(times(80, 360), np.tile([1.0, 2.0, 3.0, 9.0], 20), 6 * HOUR)
    assert season.period == DAY
    np.testing.assert_array_equal(season.at(times(4, 360)), [1.0, 2.0, 3.0, 9.0])


def test_two_cycles_are_too_few_for_a_pattern():
    assert fit_season(times(96, 30), daily(2, 0), 30 * MINUTE).period == 0


def test_gaps_do_not_shift_the_pattern():
    keep = np.random.default_rng(0).random(48 * 28) > 0.3
    keep[400:500] = False
    season = fit_season(times(48 * 28, 30)[keep], daily(28, 0)[keep], 30 * MINUTE)
    whole = fit_season(times(48 * 28, 30), daily(28, 0), 30 * MINUTE)
    np.testing.assert_allclose(season.at(times(48, 30)), whole.at(times(48, 30)), atol=1.2)


def test_phases_without_points_lie_between_their_neighbours():
    table = np.arange(24.0)
    hours = np.arange(24 * 20)
    seen = (hours % 24 < 10) | (hours % 24 > 13)
    season = fit_season(times(len(hours), 60)[seen], np.tile(table, 20)[seen], HOUR)
    np.testing.assert_allclose(season.at(times(24, 60)), table)


def local_habit(zone: str) -> pd.DataFrame:
    """Ten at night by the clock of `zone`, 0 by day, hourly, over a change of the clocks."""
    hours = pd.date_range("2025-03-01", "2025-05-01", freq="h", tz="UTC")
    value = np.where(hours.tz_convert(zone).hour < 8, 10.0, 0.0) + np.random.default_rng(0).normal(0, 0.1, len(hours))
    return pd.DataFrame({"timestamp": hours, "series": "a", "value": value})


def test_patterns_follow_the_clock_of_the_time_zone_over_a_change_of_the_clocks():
    frame = local_habit("America/New_York")
    before, after = frame[frame["timestamp"] < "2025-03-09"], frame[frame["timestamp"] >= "2025-03-10"]
    local = SeriesDetector(timezone="America/New_York").fit(before).expected(after)["expected"]
    utc = SeriesDetector().fit(before).expected(after)["expected"]
    assert np.abs(local - after["value"]).max() < 1.0
    assert (np.abs(utc - after["value"]) > 5.0).mean() == pytest.approx(2 / 24, abs=0.01)


def test_times_in_utc_have_no_repeated_or_missing_hour():
    season = Season(DAY, np.arange(24.0), "Europe/Berlin")
    night = pd.date_range("2025-10-25 22:00", periods=5, freq="h", tz="UTC")  # 0:00, 1:00, 2:00, 2:00 again, 3:00
    np.testing.assert_array_equal(season.at(night.as_unit("ns").asi8), [0, 1, 2, 2, 3])


def test_scores_over_a_change_of_the_clocks_are_of_single_points():
    frame = local_habit("Europe/Berlin")
    scorer = SeriesDetector(timezone="Europe/Berlin").fit(frame)
    berlin = frame.assign(timestamp=frame["timestamp"].dt.tz_convert("Europe/Berlin"))
    np.testing.assert_array_equal(scorer.score(berlin), scorer.score(frame))
