"""The table of expectations holds against the installed library, and names what is wrong in a spec."""

from __future__ import annotations

from typing import Any

import pytest

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.expectations import KNOWN, check_expectations
from pynomaly_pipelines.stages.expecting import great_expectations

COMMON = {"batch_id", "library_metadata"}


def faults(*expectations: Any) -> list[SpecError]:
    spec = PipelineSpec.model_validate(
        {"name": "shop", "source": {"type": "csv", "path": "x.csv"}, "expectations": list(expectations)}
    )
    return check_expectations(spec)


@pytest.mark.parametrize("name", KNOWN)
def test_arguments_are_those_of_the_library(name: str) -> None:
    great_expectations()
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.registry import get_expectation_impl

    fields = get_expectation_impl(name).__fields__
    own = fields.keys() - Expectation.__fields__.keys() - COMMON
    required = {field for field in own if fields[field].required}
    assert set(KNOWN[name].arguments) == own
    assert required <= set(KNOWN[name].required)


@pytest.mark.parametrize("name", KNOWN)
def test_levels_are_those_of_the_library(name: str) -> None:
    great_expectations()
    from great_expectations.expectations import expectation as base
    from great_expectations.expectations.registry import get_expectation_impl

    by_row = (base.ColumnMapExpectation, base.ColumnPairMapExpectation, base.MulticolumnMapExpectation)
    assert (KNOWN[name].level != "table") == issubclass(get_expectation_impl(name), by_row)


def test_nothing_is_wrong_with_a_good_one() -> None:
    assert faults({"expect_column_values_to_be_between": {"column": "x", "min_value": 0, "mostly": 0.9}}) == []


@pytest.mark.parametrize(
    ("expectation", "problem", "fix"),
    [
        (
            {"expect_column_values_to_not_be_nul": {"column": "x"}},
            "unknown expectation 'expect_column_values_to_not_be_nul'",
            "did you mean 'expect_column_values_to_not_be_null'?",
        ),
        (
            {"expect_column_values_to_be_in_set": {"column": "x", "values_set": [1]}},
            "expect_column_values_to_be_in_set has no argument 'values_set'",
            "did you mean 'value_set'?",
        ),
        (
            {"expect_column_values_to_be_between": {"min_value": 1}},
            "expect_column_values_to_be_between lacks the argument 'column'",
            "write `expect_column_values_to_be_between: {column: …}`",
        ),
        (
            {"expect_column_values_to_be_between": {"column": "x"}},
            "expect_column_values_to_be_between has neither min_value nor max_value",
            "give one of them, or both",
        ),
    ],
)
def test_what_is_wrong_is_told(expectation: Any, problem: str, fix: str) -> None:
    error = faults(expectation)[0]
    assert (error.where, error.problem, error.fix) == ("expectations.0", problem, fix)
