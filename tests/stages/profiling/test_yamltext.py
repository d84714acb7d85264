"""What is written for people reads back as what it was."""

from __future__ import annotations

import datetime as dt

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pynomaly_pipelines.stages.profiling.yamltext import flow, outward

VALUES = st.recursive(
    st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex("[a-z_]{3,6}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(VALUES)
def test_it_reads_back(value: object) -> None:
    text = flow({"value": value})
    assert "\n" not in text
    assert yaml.safe_load(text) == {"value": value}


@pytest.mark.parametrize("value", [0.1, 1e-5, 123456.5, -2.5, 3e20])
def test_numbers_read_back_to_six_digits(value: float) -> None:
    assert yaml.safe_load(flow(value)) == pytest.approx(value, rel=1e-5)


def test_dates_stay_dates() -> None:
    assert yaml.safe_load(flow(dt.date(2025, 1, 31))) == dt.date(2025, 1, 31)


@pytest.mark.parametrize(
    ("value", "low", "high"), [(0, 0, 0), (123, 120, 130), (-123, -130, -120), (0.0123, 0.012, 0.013)]
)
def test_outward_is_away_from_the_data(value: float, low: float, high: float) -> None:
    assert outward(value, down=True) == pytest.approx(low)
    assert outward(value, down=False) == pytest.approx(high)
