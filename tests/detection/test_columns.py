"""How columns become features: by name, by type, with gaps."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection.columns import Column, Encoder
from pynomaly_pipelines.operations.errors import NotEnoughData, SignatureError


def test_kinds_are_read_from_types_and_for_objects_from_values():
    frame = pd.DataFrame(
        {
            "int": [1, 2],
            "decimal": [Decimal("1.5"), Decimal("2")],
            "nullable": pd.array([1, None], dtype="Int64"),
            "text": ["a", "b"],
            "category": pd.Categorical([1, 2]),
            "bool": [True, False],
            "maybe": pd.array([True, None], dtype="boolean"),
            "time": pd.to_datetime(["2025-01-01", "2025-01-02"]).tz_localize("Europe/Berlin"),
            "day": [dt.date(2025, 1, 1), dt.date(2025, 1, 2)],
            "span": pd.to_timedelta([1, 2], unit="h"),
            "nothing": [None, None],
        }
    )
    assert Encoder.learn(frame).columns == (
        Column("int", "numeric"),
        Column("decimal", "numeric"),
        Column("nullable", "numeric"),
        Column("text", "categorical"),
        Column("category", "categorical"),
        Column("bool", "boolean"),
        Column("maybe", "boolean"),
        Column("time", "datetime"),
        Column("day", "datetime"),
        Column("span", "numeric"),
        Column("nothing", "numeric"),
    )
    assert np.isfinite(Encoder.learn(frame).encode(frame)).all()


def test_a_gap_becomes_the_median_and_a_feature_where_training_had_gaps():
    encoder = Encoder.learn(pd.DataFrame({"x": [1.0, 2.0, 9.0], "y": [1.0, np.nan, 3.0]}))
    features = encoder.encode(pd.DataFrame({"x": [np.nan], "y": [np.nan]}))
    np.testing.assert_array_equal(features, [[2.0, 2.0, 1.0]])
    np.testing.assert_array_equal(encoder.owners, [0, 1, 1])


def test_categories_carry_their_information_and_new_ones_that_of_values_seen_once():
    letters = ["a"] * 12 + ["b"] * 3 + ["c"]
    encoder = Encoder.learn(pd.DataFrame({"x": letters}))
    bits = encoder.encode(pd.DataFrame({"x": ["a", "b", "c", "never", None]}))[:, 0]
    once = -np.log2(1.5 / 17)
    np.testing.assert_allclose(bits, [-np.log2(12 / 17), -np.log2(3 / 17), once, once, -np.log2(12 / 17)])


def test_names_that_never_repeat_carry_no_information():
    encoder = Encoder.learn(pd.DataFrame({"id": [f"order-{i}" for i in range(500)]}))
    bits = encoder.encode(pd.DataFrame({"id": ["order-7", "order-9000"]}))
    np.testing.assert_allclose(bits, 0.0, atol=0.01)


def test_a_category_of_numbers_survives_becoming_float():
    encoder = Encoder.learn(pd.DataFrame({"code": pd.Categorical([1, 1, 1, 2, 2])}))
    np.testing.assert_array_equal(
        encoder.encode(pd.DataFrame({"code": [1.0, 2.0]})), encoder.encode(pd.DataFrame({"code": ["1", "2"]}))
    )


def test_times_are_points_on_the_circles_of_day_and_week_in_utc():
    hours = pd.Series(pd.date_range("2025-01-06", periods=24 * 14, freq="h"))
    encoder = Encoder.learn(pd.DataFrame({"t": hours}))
    sin_day, cos_day, sin_week, cos_week = encoder.encode(pd.DataFrame({"t": pd.to_datetime(["2031-01-06 06:00"])}))[0]
    np.testing.assert_allclose([sin_day, cos_day], [1.0, 0.0], atol=1e-12)  # a quarter of the day
    weekday = 2 * np.pi * 4 / 7  # Monday, counted from Thursday, 1 January 1970
    np.testing.assert_allclose([sin_week, cos_week], [np.sin(weekday), np.cos(weekday)], atol=1e-12)
    berlin = pd.DataFrame({"t": pd.to_datetime(["2031-01-06 07:00"]).tz_localize("Europe/Berlin")})
    np.testing.assert_allclose(encoder.encode(berlin)[0], [sin_day, cos_day, sin_week, cos_week], atol=1e-12)


def test_infinities_are_missing_at_training_and_far_away_at_scoring():
    encoder = Encoder.learn(pd.DataFrame({"x": [1.0, 2.0, np.inf, 3.0]}))
    low, high = encoder.encode(pd.DataFrame({"x": [-np.inf, np.inf]}))[:, 0]
    assert np.isfinite([low, high]).all()
    assert low < -1e8
    assert high > 1e8


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("number", ["12", "13"], "column number: categorical values in a column of numbers"),
        ("number", pd.to_datetime(["2025-01-01"] * 2), "column number: datetime values in a column of numbers"),
        ("time", ["2025-01-01", "2025-01-02"], "column time: categorical values in a column of times"),
        ("time", [1, 2], "column time: numeric values in a column of times"),
        ("text", pd.to_datetime(["2025-01-01"] * 2), "column text: times in a column of categories"),
        ("flag", ["yes", "no"], "column flag: categorical values in a column of numbers"),
        ("number", [1 + 2j, 3j], "column number: complex numbers"),
    ],
)
def test_a_retyped_column_is_a_named_error(column, values, message):
    frame = pd.DataFrame(
        {
            "number": [1.0, 2.0],
            "time": pd.to_datetime(["2025-01-01", "2025-01-02"]),
            "text": ["a", "b"],
            "flag": [True, False],
        }
    )
    with pytest.raises(SignatureError, match=message):
        Encoder.learn(frame).encode(frame.assign(**{column: values}))


def test_whole_and_nullable_numbers_and_columns_of_none_are_read_as_numbers():
    encoder = Encoder.learn(pd.DataFrame({"x": [1.0, 2.0, 3.0]}))
    for values in ([2, 3], [True, False], pd.array([2, None], dtype="Int64"), [None, None], [Decimal(2), None]):
        assert np.isfinite(encoder.encode(pd.DataFrame({"x": values}))).all()


def test_rows_that_are_no_frame_or_no_rows_are_refused():
    with pytest.raises(SignatureError, match="DataFrame"):
        Encoder.learn(np.zeros((3, 2)))
    with pytest.raises(NotEnoughData, match="0 rows and 1 columns"):
        Encoder.learn(pd.DataFrame({"x": []}))


def test_the_shortcut_for_plain_numbers_gives_the_same_features():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(50, 3)), columns=["a", "b", "c"])
    encoder = Encoder.learn(frame)
    rows = frame[["c", "a", "b"]].assign(extra=1.0)
    rows.iloc[0, 0], rows.iloc[1, 1] = np.nan, np.inf
    one_by_one = np.column_stack([e.encode(rows[e.name]) for e in encoder.encodings])
    np.testing.assert_array_equal(encoder.encode(rows), one_by_one)
