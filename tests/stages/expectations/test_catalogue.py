"""The table of expectations holds against the installed library: each of its core is known, or refused with why."""

from __future__ import annotations

import pytest

from pynomaly_pipelines.stages.expectations.catalogue import KNOWN, REFUSED
from pynomaly_pipelines.stages.expectations.expecting import great_expectations

COMMON = {"batch_id", "library_metadata"}


def core() -> set[str]:
    """The names of Great Expectations' own expectations, as installed."""
    great_expectations()
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    names = list_registered_expectation_implementations()
    return {n for n in names if get_expectation_impl(n).__module__.startswith("great_expectations.expectations.core.")}


def test_every_core_expectation_is_known_or_refused() -> None:
    found = core()
    assert len(found) >= 59
    assert found == KNOWN.keys() | REFUSED.keys()
    assert not KNOWN.keys() & REFUSED.keys()


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_arguments_are_those_of_the_library(name: str) -> None:
    great_expectations()
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.registry import get_expectation_impl

    fields = get_expectation_impl(name).__fields__
    own = fields.keys() - Expectation.__fields__.keys() - COMMON
    required = {field for field in own if fields[field].required}
    assert set(KNOWN[name].arguments) == own
    assert required <= set(KNOWN[name].required)


# The library's classes say how an expectation judges; types are the column's own, whatever the class.
TYPES = {"expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_levels_are_those_of_the_library(name: str) -> None:
    great_expectations()
    from great_expectations.expectations import expectation as base
    from great_expectations.expectations.registry import get_expectation_impl

    kind = get_expectation_impl(name)
    by_row = (base.ColumnMapExpectation, base.ColumnPairMapExpectation, base.MulticolumnMapExpectation)
    assert (KNOWN[name].level != "table") == (issubclass(kind, by_row) and name not in TYPES)
    subjects = {base.ColumnPairMapExpectation: "pair", base.MulticolumnMapExpectation: "columns"}
    expected = next((subject for of, subject in subjects.items() if issubclass(kind, of)), None)
    assert KNOWN[name].subject == (expected or ("column" if "column" in kind.__fields__ else "table"))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_is_so_for_a_reason_that_holds(name: str) -> None:
    """The library itself has no way to do these on a data frame."""
    great_expectations()
    from great_expectations.expectations.registry import get_expectation_impl

    why, instead = REFUSED[name]
    assert "memory" in why
    assert any(known in instead for known in KNOWN)
    fields = get_expectation_impl(name).__fields__
    assert {"base_query", "other_table_name", "unexpected_rows_query"} & fields.keys()
