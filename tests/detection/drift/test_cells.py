"""Columns into cells: which values share one, and what a reader is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection.drift.cells import Cells


def numbers(*parts: object) -> Cells:
    return Cells.learn([pd.Series(part) for part in parts], "x")


def test_training_rows_fall_evenly() -> None:
    x = np.random.default_rng(1).normal(size=4_000)
    cells = numbers(x[:2_000], x[2_000:])
    assert cells.width == 20
    counts, missing = cells.count(pd.Series(x))
    assert missing == 0
    assert (abs(counts - 200) <= 1).all()


def test_fewer_rows_give_fewer_cells() -> None:
    assert numbers(np.arange(50.0), np.arange(50.0)).width == 10
    assert numbers(np.arange(8.0)).width == 4


def test_a_constant_that_changes_is_seen() -> None:
    cells = numbers(np.full(100, 3.0))
    assert cells.count(pd.Series([3.0, 3.0]))[0].tolist() == [0, 2, 0]
    assert cells.count(pd.Series([2.9, 3.1]))[0].tolist() == [1, 0, 1]


def test_a_value_that_many_rows_share_has_a_cell_of_its_own() -> None:
    cells = numbers(np.r_[np.zeros(60), np.arange(1.0, 41.0)])
    counts, _ = cells.count(pd.Series([0.0] * 5 + [0.001] * 3))
    assert sorted(counts[counts > 0].tolist()) == [3, 5]


def test_missing_and_infinite_values() -> None:
    cells = numbers(np.arange(100.0))
    counts, missing = cells.count(pd.Series([np.nan, np.inf, -np.inf, 50.0, None]))
    assert (missing, counts.sum(), counts[0], counts[-1]) == (2, 3, 1, 1)


def test_an_always_empty_column_has_one_cell() -> None:
    assert numbers(np.full(9, np.nan)).count(pd.Series([np.nan, 1.0])) == (np.array([1]), 1)


@pytest.mark.parametrize("dtype", ["Int64", "float32", "timedelta64[s]"])
def test_all_kinds_of_numbers(dtype: str) -> None:
    column = pd.Series(np.arange(200)).astype(dtype)
    assert numbers(column).count(column)[0].sum() == 200


def test_of_times_the_time_of_day_counts() -> None:
    hours = pd.Series(pd.date_range("2025-01-01", periods=240, freq="h", tz="Europe/Berlin"))
    cells = Cells.learn([hours], "at")
    later = hours + pd.Timedelta(days=900)
    np.testing.assert_array_equal(cells.count(hours)[0], cells.count(later)[0])


def test_common_categories_have_cells_and_others_share_one() -> None:
    column = pd.Series(["a"] * 60 + ["b"] * 30 + ["c"] * 19 + [None] * 5)
    cells = Cells.learn([column], "x")
    assert cells.names == ("a", "b")
    counts, missing = cells.count(pd.Series(["b", "c", "never seen", None]))
    assert (counts.tolist(), missing) == ([0, 1, 2], 1)


def test_booleans_are_categories() -> None:
    assert Cells.learn([pd.Series([True, False] * 50)], "x").names == ("True", "False")


def test_words_for_a_change() -> None:
    cells = Cells("categories", names=("DE", "FR"))
    before, after = np.array([0.5, 0.4, 0.1]), np.array([0.5, 0.1, 0.4])
    assert cells.change(before, after) in (("FR 40.0%", "FR 10.0%"), ("others 10.0%", "others 40.0%"))
    ordered = Cells("numbers", edges=(0.0, 10.0, 20.0))
    assert ordered.change(np.array([0, 1, 0, 0]), np.array([0, 0, 0, 1])) == ("5", "20 or more")


def test_state_round_trip() -> None:
    for cells in (numbers(np.arange(100.0)), Cells("categories", names=("a",))):
        assert Cells.from_state(cells.state()) == cells
