"""What columns look like."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynomaly_pipelines.stages.profiling.shapes import is_id, pattern_of


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (["N14228", "N9123"], "^[A-Z][0-9]{4,5}$"),
        (["AB-12", "CD-7"], r"^[A-Z]{2}\-[0-9]{1,2}$"),
        (["a.b_1", "x.y_9"], r"^[a-z]\.[a-z]_[0-9]$"),
        (["apple", "pear"], None),
        (["A1", "1A"], None),
        (["order 1", "order 2"], None),
        (["x" * 65 + "1"], None),
        ([], None),
    ],
)
def test_the_pattern_of_ids(values: list[str], pattern: str | None) -> None:
    assert pattern_of(values) == pattern


@given(st.lists(st.from_regex(r"[A-Z]{1,3}[-.+]?[0-9]{1,4}[a-z]?", fullmatch=True), min_size=1, max_size=8))
def test_every_value_matches_its_own_pattern(values: list[str]) -> None:
    pattern = pattern_of(values)
    assert pattern is None or all(re.search(pattern, value) for value in values)
    assert pattern_of(values[:1]) is not None


def test_ids_are_called_so_and_differ() -> None:
    frame = pd.DataFrame(
        {"order_id": range(10), "code": ["a"] * 10, "amount": range(10), "no": [0.5 + n for n in range(10)]}
    )
    assert [name for name in frame if is_id(frame, str(name))] == ["order_id"]
