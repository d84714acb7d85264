"""What is wrong with an expectation is said before any row is read: each mistake with its place, rule and fix."""

from __future__ import annotations

from typing import Any

import pytest

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.expectations.arguments import check_expectations
from pynomaly_pipelines.stages.expectations.catalogue import KNOWN, REFUSED


def faults(*expectations: Any, columns: set[str] | None = None) -> list[SpecError]:
    spec = PipelineSpec.model_validate(
        {"name": "shop", "source": {"type": "csv", "path": "x.csv"}, "expectations": list(expectations)}
    )
    return check_expectations(spec, columns)


def test_nothing_is_wrong_with_a_good_one() -> None:
    assert faults({"expect_column_values_to_be_between": {"column": "x", "min_value": 0, "mostly": 0.9}}) == []


def test_notes_for_readers_may_be_given_with_any() -> None:
    assert faults({"expect_table_row_count_to_equal": {"value": 3, "notes": "as agreed", "meta": {"by": "Ann"}}}) == []


@pytest.mark.parametrize(
    ("expectation", "where", "problem", "fix"),
    [
        (
            {"expect_column_values_to_not_be_nul": {"column": "x"}},
            "expectations.0",
            "unknown expectation 'expect_column_values_to_not_be_nul'",
            "did you mean 'expect_column_values_to_not_be_null'?",
        ),
        (
            {"expect_column_values_to_be_in_set": {"column": "x", "value_set": [1], "values_set": [1]}},
            "expectations.0.expect_column_values_to_be_in_set.values_set",
            "expect_column_values_to_be_in_set has no argument 'values_set'",
            "did you mean 'value_set'?",
        ),
        (
            {"expect_column_values_to_be_between": {"min_value": 1}},
            "expectations.0",
            "expect_column_values_to_be_between lacks the argument 'column'",
            "write `expect_column_values_to_be_between: {column: …}`",
        ),
        (
            {"expect_column_values_to_be_between": {"column": "x"}},
            "expectations.0",
            "expect_column_values_to_be_between has neither min_value nor max_value",
            "give one of them, or both",
        ),
        (
            {"expect_column_values_to_be_between": {"column": "x", "min_value": 9, "max_value": 2}},
            "expectations.0.expect_column_values_to_be_between.min_value",
            "expect_column_values_to_be_between goes from 9 to 2",
            "swap min_value and max_value",
        ),
        (
            {"expect_column_max_to_be_between": {"column": "x", "min_value": "2025-02-01", "max_value": "2025-01-01"}},
            "expectations.0.expect_column_max_to_be_between.min_value",
            "expect_column_max_to_be_between goes from '2025-02-01' to '2025-01-01'",
            "swap min_value and max_value",
        ),
        (
            {"expect_column_values_to_be_between": {"column": "x", "min_value": 2, "max_value": 2, "strict_min": True}},
            "expectations.0.expect_column_values_to_be_between.min_value",
            "expect_column_values_to_be_between goes from 2 to 2, ends excluded",
            "widen it, or drop strict_min and strict_max",
        ),
        (
            {"expect_column_values_to_be_between": {"column": "x", "min_value": 2, "max_value": "2025-01-01"}},
            "expectations.0.expect_column_values_to_be_between.min_value",
            "expect_column_values_to_be_between goes from 2 to '2025-01-01'",
            "write two numbers, or two dates",
        ),
        (
            {"expect_column_values_to_match_regex": {"column": "x", "regex": "[a-"}},
            "expectations.0.expect_column_values_to_match_regex.regex",
            "regex of expect_column_values_to_match_regex is '[a-'",
            "correct `regex`",
        ),
    ],
)
def test_what_is_wrong_is_told(expectation: Any, where: str, problem: str, fix: str) -> None:
    (error,) = faults(expectation)
    assert (error.where, error.problem, error.fix) == (where, problem, fix)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_one_says_why_and_what_instead(name: str) -> None:
    (error,) = faults({name: {}})
    assert error.problem.startswith(f"{name} can't be used: ")
    assert "in memory" in error.problem
    assert error.fix


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_expectation_is_told_what_it_lacks_and_does_not_know(name: str) -> None:
    found = faults({name: {"colour": "red"}})
    told = {error.problem for error in found}
    assert f"{name} has no argument 'colour'" in told
    assert {f"{name} lacks the argument {argument!r}" for argument in KNOWN[name].required} <= told


WRONG: list[tuple[str, Any, str]] = [
    ("expect_column_values_to_match_regex_list.regex_list", ["a", "("], "this one is none"),
    ("expect_column_values_to_match_regex_list.match_on", "some", "one of any, all"),
    ("expect_column_values_to_be_in_set.value_set", "a", "a list such as [a, b]"),
    ("expect_column_values_to_be_in_set.value_set", [], "not empty"),
    ("expect_column_values_to_be_in_set.mostly", 95, "a share from 0 to 1"),
    ("expect_column_values_to_be_in_set.mostly", True, "a share from 0 to 1"),
    ("expect_column_values_to_be_between.max_value", "high", "a number or a date"),
    ("expect_column_values_to_be_between.strict_min", 1, "true or false"),
    ("expect_column_values_to_be_between.column", 3, "a name or text"),
    ("expect_column_values_to_be_between.condition_parser", "spark", "one of pandas"),
    ("expect_column_values_to_match_strftime_format.strftime_format", "date", "a format of dates"),
    ("expect_column_values_to_match_strftime_format.strftime_format", "%Q", "a format of dates"),
    ("expect_column_value_z_scores_to_be_less_than.threshold", "3", "it is a number"),
    ("expect_column_value_lengths_to_equal.value", -1, "a whole number"),
    ("expect_column_pair_values_to_be_in_set.value_pairs_set", [[1, 2, 3]], "a list of pairs"),
    ("expect_column_pair_values_to_be_equal.ignore_row_if", "any_value_is_missing", "both_values_are_missing"),
    ("expect_multicolumn_sum_to_equal.ignore_row_if", "neither", "any_value_is_missing"),
    ("expect_multicolumn_sum_to_equal.column_list", ["a"], "at least two different columns"),
    ("expect_multicolumn_sum_to_equal.column_list", ["a", "a"], "at least two different columns"),
    ("expect_table_columns_to_match_ordered_list.column_list", [1], "a list of texts"),
    ("expect_column_values_to_not_be_outliers.method", "mad", "one of iqr, std"),
    ("expect_column_values_to_match_json_schema.json_schema", "object", "a JSON schema"),
    ("expect_column_values_to_match_json_schema.json_schema", {"type": "thing"}, "types are object"),
    ("expect_column_values_to_match_like_pattern.escape", "ab", "one character"),
    ("expect_column_quantile_values_to_be_between.quantile_ranges", {"quantiles": [0.5]}, "value_ranges"),
    (
        "expect_column_quantile_values_to_be_between.quantile_ranges",
        {"quantiles": [0.5], "value_ranges": [[4, 2]]},
        "no value can be in the range [4, 2]",
    ),
    (
        "expect_column_quantile_values_to_be_between.quantile_ranges",
        {"quantiles": [0.5, 0.9], "value_ranges": [[1, 2]]},
        "as many of one as of the other",
    ),
    ("expect_column_kl_divergence_to_be_less_than.partition_object", {"values": ["a"]}, "weights"),
    (
        "expect_column_kl_divergence_to_be_less_than.partition_object",
        {"values": ["a", "b"], "weights": [0.5, 0.2]},
        "its weights add up to 1, these to 0.7",
    ),
    (
        "expect_column_kl_divergence_to_be_less_than.partition_object",
        {"bins": [0, 1], "weights": [0.5, 0.5]},
        "2 weights do not fit 2 bins",
    ),
]


@pytest.mark.parametrize(("argument", "value", "rule"), WRONG)
def test_a_wrong_value_is_told_with_its_rule(argument: str, value: Any, rule: str) -> None:
    name, argument = argument.split(".")
    found = [error for error in faults({name: {argument: value}}) if error.where.endswith(f".{name}.{argument}")]
    assert len(found) == 1
    assert rule in found[0].rule
    assert repr(value) in found[0].problem


def test_every_argument_has_a_rule() -> None:
    """A number where a mapping belongs, and a mapping where a number does, is told for every argument there is."""
    for name, known in KNOWN.items():
        for argument in known.arguments:
            told = [faults({name: {argument: value}}) for value in (object(), {"a": 1}, -5.5)]
            assert any(e.where.endswith(f".{argument}") for found in told for e in found), (name, argument)


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        ({"expect_column_values_to_not_be_null": {"column": "amont"}}, "did you mean 'amount'?"),
        ({"expect_column_pair_values_to_be_equal": {"column_A": "amount", "column_B": "zzz"}}, "name one of these"),
        ({"expect_compound_columns_to_be_unique": {"column_list": ["amount", "itme"]}}, "did you mean 'item'?"),
    ],
)
def test_a_column_that_the_data_lacks(expectation: Any, told: str) -> None:
    assert faults(expectation) == []
    (error,) = faults(expectation, columns={"amount", "item"})
    assert error.fix == told
    assert error.rule == "its columns are amount, item"


def test_columns_that_may_be_missing() -> None:
    names = {"amount", "item"}
    assert faults({"expect_column_to_exist": {"column": "colour"}}, columns=names) == []
    assert faults({"expect_table_columns_to_match_ordered_list": {"column_list": ["colour"]}}, columns=names) == []
