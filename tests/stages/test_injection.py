"""Injected anomalies are what they claim to be: outside the range, out of step, at the place told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.stages import injection


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = rng.normal(size=400)
    return pd.DataFrame(
        {
            "a": base,
            "b": 2 * base + rng.normal(0, 0.05, 400),
            "n": rng.integers(0, 9, 400),
            "c": rng.choice(["x", "y"], 400),
            "flag": rng.random(400) < 0.5,
        }
    )


def of_kind(found: list[injection.InjectedRows], kind: str) -> pd.DataFrame:
    (frame,) = [each.frame for each in found if each.kind == kind]
    return frame


def test_an_extreme_row_has_one_number_outside_the_range(rows: pd.DataFrame) -> None:
    changed = of_kind(injection.into_rows(rows, np.random.default_rng(1)), "extreme")
    outside = pd.DataFrame(
        {name: (changed[name] < rows[name].min()) | (changed[name] > rows[name].max()) for name in ["a", "b", "n"]}
    )
    assert (outside.sum(axis=1) == 1).all()
    untouched = ~outside
    for name in ("a", "b", "n"):
        np.testing.assert_array_equal(changed.loc[untouched[name], name], rows.loc[untouched[name], name])
        # Each number has its turn, above and below.
        assert outside[name].sum() > 90
        assert 0.3 < (changed.loc[outside[name], name] > rows[name].max()).mean() < 0.7
    pd.testing.assert_frame_equal(changed[["c", "flag"]], rows[["c", "flag"]])


def test_an_extreme_value_lies_half_to_one_and_a_half_widths_out(rows: pd.DataFrame) -> None:
    changed = of_kind(injection.into_rows(rows[["a"]], np.random.default_rng(1)), "extreme")["a"]
    low, high = rows["a"].min(), rows["a"].max()
    far = np.where(changed > high, changed - high, low - changed) / (high - low)
    assert far.min() >= 0.5
    assert far.max() <= 1.5


def test_mixed_rows_keep_each_column_and_lose_the_dependency(rows: pd.DataFrame) -> None:
    both = rows[["a", "b"]]
    changed = of_kind(injection.into_rows(both, np.random.default_rng(1)), "mixed")
    for name in both:
        np.testing.assert_array_equal(np.sort(changed[name]), np.sort(both[name]))
    assert both["a"].corr(both["b"]) > 0.99
    assert abs(changed["a"].corr(changed["b"])) < 0.15


@pytest.mark.parametrize(
    ("columns", "kinds"),
    [(["a", "c"], ["extreme", "mixed"]), (["a"], ["extreme"]), (["c", "flag"], ["mixed"]), (["c"], [])],
)
def test_kinds_are_those_the_columns_allow(rows: pd.DataFrame, columns: list[str], kinds: list[str]) -> None:
    assert [each.kind for each in injection.into_rows(rows[columns], np.random.default_rng(1))] == kinds


def test_the_rows_given_stay_as_they_are(rows: pd.DataFrame) -> None:
    before = rows.copy()
    injection.into_rows(rows, np.random.default_rng(1))
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize("value", [5.0, np.nan], ids=["constant", "empty"])
def test_a_column_that_says_nothing_can_still_be_injected(value: float) -> None:
    frame = pd.DataFrame({"a": np.full(50, value)})
    changed = of_kind(injection.into_rows(frame, np.random.default_rng(1)), "extreme")["a"]
    assert np.isfinite(changed).all()
    assert (changed != value).all()


# --------------------------------------------------------------------------------------------------- series


@pytest.fixture
def points() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    hours = pd.date_range("2025-01-01", periods=200, freq="h", tz="UTC")
    parts = [
        pd.DataFrame({"timestamp": hours, "series": name, "value": size * rng.normal(size=200)})
        for name, size in (("small", 1.0), ("large", 100.0))
    ]
    return pd.concat(parts).sort_values("timestamp", kind="stable", ignore_index=True)


@pytest.mark.parametrize(("kind", "length"), [("spike", 1), ("shift", injection.SHIFT_POINTS)])
def test_each_series_gets_one_anomaly_of_its_own_size(points: pd.DataFrame, kind: str, length: int) -> None:
    first = 300
    (found,) = [e for e in injection.into_series(points, first, np.random.default_rng(2)) if e.kind == kind]
    difference = (found.frame["value"] - points["value"]).to_numpy()
    touched = np.flatnonzero(difference)
    assert sorted(touched) == sorted(np.concatenate(found.spans))
    assert touched.min() >= first
    assert len(found.spans) == 2
    for span in found.spans:
        (name,) = points["series"].iloc[span].unique()
        assert len(span) == length
        # One stretch of neighbouring hours, moved as a whole, by 8 to 16 robust deviations.
        assert (points["timestamp"].iloc[span].diff().dropna() == pd.Timedelta(hours=1)).all()
        own = points.loc[points["series"] == name, "value"]
        scale = (own.quantile(0.75) - own.quantile(0.25)) / 1.349
        assert np.ptp(difference[span]) == pytest.approx(0, abs=1e-9)
        assert 8 <= abs(difference[span[0]]) / scale <= 16


def test_a_series_that_is_too_short_is_left_alone(points: pd.DataFrame) -> None:
    short = points.iloc[:20]
    spike, shift = injection.into_series(short, 0, np.random.default_rng(2))
    assert len(spike.spans) == 2
    assert shift.spans == ()
    pd.testing.assert_frame_equal(shift.frame, short)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.0, 1.0, 2.0, 3.0, 4.0], 2.0 / 1.349),
        ([5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 12.0], float(np.std([5.0] * 6 + [12.0]))),
        ([5.0, 5.0, 5.0], 1.0),
        ([np.nan, np.inf], 1.0),
        ([], 1.0),
    ],
)
def test_the_robust_scale(values: list[float], scale: float) -> None:
    assert injection.robust_scale(np.array(values)) == pytest.approx(scale)
