"""LIKE patterns as regular expressions, beside SQLite's own LIKE."""

from __future__ import annotations

import re
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynomaly_pipelines.stages.expectations.like import as_regex, regex

ALPHABET = st.text(alphabet="ab%_.*\\[(\n", max_size=6)


@given(ALPHABET, ALPHABET)
def test_it_says_what_a_database_says(pattern: str, text: str) -> None:
    with sqlite3.connect(":memory:") as database:
        ((expected,),) = database.execute("SELECT ? LIKE ?", (text, pattern))
    database.close()
    # `$` of Python also stands before a last line feed; the library's data frames know only the end.
    assert (re.search(regex(pattern).removesuffix("$") + r"\Z", text) is not None) == bool(expected)


@pytest.mark.parametrize(("text", "found"), [("10%", True), ("10x", False)])
def test_what_follows_the_escape_is_itself(text: str, found: bool) -> None:
    assert (re.search(regex("10!%", "!"), text) is not None) is found


def test_names_and_arguments() -> None:
    name, arguments = as_regex(
        "expect_column_values_to_not_match_like_pattern_list", {"column": "x", "like_pattern_list": ["a%"], "mostly": 1}
    )
    assert name == "expect_column_values_to_not_match_regex_list"
    assert arguments == {"column": "x", "regex_list": ["^(?s:a.*)$"], "mostly": 1}
