"""Which training rows are too far out to decide what is usual."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection.gross import gross_rows


def rows(n: int = 2_500) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": rng.lognormal(0, 1, n),
            "c": rng.poisson(3, n),
            "d": rng.choice(["x", "y"], n),
            "e": rng.random(n) < 0.3,
            "f": pd.date_range("2025-01-01", periods=n, freq="h"),
            "g": pd.array(np.where(np.arange(n) % 5 == 0, None, np.arange(n) % 7), dtype="Int64"),
        }
    )


def test_ordinary_rows_are_not_gross_even_with_a_long_tail() -> None:
    assert gross_rows(rows()).sum() == 0


@pytest.mark.parametrize("size", [50.0, 1e3, 1e6, -1e6, 1e300])
def test_five_rows_of_a_million_are(size: float) -> None:
    frame = rows()
    frame.loc[[3, 50, 800, 1_111, 2_499], "a"] = size
    np.testing.assert_array_equal(np.flatnonzero(gross_rows(frame)), [3, 50, 800, 1_111, 2_499])


def test_what_many_rows_have_is_how_the_column_is() -> None:
    frame = rows()
    frame.loc[:100, "a"] = 1e6
    assert gross_rows(frame).sum() == 0


def test_columns_without_a_spread_or_values_say_nothing() -> None:
    frame = pd.DataFrame({"a": np.zeros(200), "b": np.nan, "c": np.r_[np.zeros(199), 5.0], "d": np.inf})
    assert gross_rows(frame).sum() == 0


def test_few_rows_have_no_tail() -> None:
    assert not gross_rows(pd.DataFrame({"a": [1.0, 2.0, 1e9]})).any()
