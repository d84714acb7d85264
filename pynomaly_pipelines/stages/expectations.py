"""Which Great Expectations expectations there are, whether they judge rows or tables, and what they may be told.

A table of names, so that a YAML file is checked without the five seconds that importing the library takes; a test holds
it against the installed version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.spec import Expectation, PipelineSpec

Level = Literal["row", "group", "table"]
_FILTERS = ("row_condition", "condition_parser")
_RANGE = ("min_value", "max_value", "strict_min", "strict_max", *_FILTERS)
_MOSTLY = ("mostly", *_FILTERS)


@dataclass(frozen=True)
class Known:
    """One expectation."""

    level: Level
    """`row`: each row for itself. `group`: a row beside the other rows of its partition. `table`: the partition."""
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        """Everything it may be told."""
        return (*self.required, *self.optional)


def _column_row(*required: str, optional: tuple[str, ...] = ()) -> Known:
    return Known("row", ("column", *required), (*optional, *_MOSTLY))


def _group(*required: str, optional: tuple[str, ...] = ()) -> Known:
    return Known("group", required, (*optional, *_MOSTLY))


def _pair(*required: str, optional: tuple[str, ...] = ()) -> Known:
    return Known("row", ("column_A", "column_B", *required), (*optional, "ignore_row_if", *_MOSTLY))


def _several(*required: str) -> Known:
    return Known("row", ("column_list", *required), ("ignore_row_if", *_MOSTLY))


def _column_table(*required: str, optional: tuple[str, ...] = _FILTERS) -> Known:
    return Known("table", ("column", *required), optional)


KNOWN: dict[str, Known] = {
    "expect_column_distinct_values_to_be_in_set": _column_table("value_set"),
    "expect_column_distinct_values_to_contain_set": _column_table("value_set"),
    "expect_column_distinct_values_to_equal_set": _column_table("value_set"),
    "expect_column_max_to_be_between": _column_table(optional=_RANGE),
    "expect_column_mean_to_be_between": _column_table(optional=_RANGE),
    "expect_column_median_to_be_between": _column_table(optional=_RANGE),
    "expect_column_min_to_be_between": _column_table(optional=_RANGE),
    "expect_column_most_common_value_to_be_in_set": _column_table("value_set", optional=("ties_okay", *_FILTERS)),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(optional=("or_equal",)),
    "expect_column_pair_values_to_be_equal": _pair(),
    "expect_column_pair_values_to_be_in_set": _pair("value_pairs_set"),
    "expect_column_proportion_of_non_null_values_to_be_between": _column_table(optional=_RANGE),
    "expect_column_proportion_of_unique_values_to_be_between": _column_table(optional=_RANGE),
    "expect_column_quantile_values_to_be_between": _column_table(
        "quantile_ranges", optional=("allow_relative_error", *_FILTERS)
    ),
    "expect_column_stdev_to_be_between": _column_table(optional=_RANGE),
    "expect_column_sum_to_be_between": _column_table(optional=_RANGE),
    "expect_column_to_exist": _column_table(optional=("column_index",)),
    "expect_column_unique_value_count_to_be_between": _column_table(optional=_RANGE),
    "expect_column_value_lengths_to_be_between": _column_row(optional=_RANGE[:4]),
    "expect_column_value_lengths_to_equal": _column_row("value"),
    "expect_column_value_z_scores_to_be_less_than": _group("column", "threshold", "double_sided"),
    "expect_column_values_to_be_between": _column_row(optional=_RANGE[:4]),
    "expect_column_values_to_be_in_set": _column_row("value_set"),
    "expect_column_values_to_be_null": _column_row(),
    "expect_column_values_to_be_unique": _group("column"),
    "expect_column_values_to_match_regex": _column_row("regex"),
    "expect_column_values_to_match_regex_list": _column_row("regex_list", optional=("match_on",)),
    "expect_column_values_to_match_strftime_format": _column_row("strftime_format"),
    "expect_column_values_to_not_be_in_set": _column_row("value_set"),
    "expect_column_values_to_not_be_null": _column_row(),
    "expect_column_values_to_not_match_regex": _column_row("regex"),
    "expect_column_values_to_not_match_regex_list": _column_row("regex_list"),
    "expect_compound_columns_to_be_unique": _group("column_list", optional=("ignore_row_if",)),
    "expect_multicolumn_sum_to_equal": _several("sum_total"),
    "expect_select_column_values_to_be_unique_within_record": _several(),
    "expect_table_column_count_to_be_between": Known("table", (), ("min_value", "max_value")),
    "expect_table_column_count_to_equal": Known("table", ("value",), ()),
    "expect_table_columns_to_match_ordered_list": Known("table", (), ("column_list",)),
    "expect_table_columns_to_match_set": Known("table", (), ("column_set", "exact_match")),
    "expect_table_row_count_to_be_between": Known("table", (), _RANGE),
    "expect_table_row_count_to_equal": Known("table", ("value",), _FILTERS),
}
"""Those that a partition of rows can meet. Left out: those that need a database, a second table or a distribution,
those on column types (the product's own `columns` fixes them), and those not implemented for data frames."""


def check_expectations(spec: PipelineSpec) -> list[SpecError]:
    """What is wrong with a spec's expectations: unknown names, unknown or missing arguments, unknown columns."""
    return [error for i, one in enumerate(spec.expectations) for error in _faults(one, f"expectations.{i}")]


def _faults(expectation: Expectation, where: str) -> Iterator[SpecError]:
    known = KNOWN.get(expectation.name)
    if known is None:
        yield unknown_expectation(expectation.name, where)
        return
    for argument in expectation.arguments.keys() - set(known.arguments):
        close = get_close_matches(argument, known.arguments, n=1)
        yield SpecError(
            f"{expectation.name} has no argument {argument!r}",
            rule=f"its arguments are {', '.join((*known.arguments, 'severity'))}",
            fix=f"did you mean {close[0]!r}?" if close else "leave it out",
            where=where,
        )
    for argument in set(known.required) - expectation.arguments.keys():
        yield SpecError(
            f"{expectation.name} lacks the argument {argument!r}",
            rule=f"it needs {', '.join(known.required)}",
            fix=f"write `{expectation.name}: {{{', '.join(name + ': …' for name in known.required)}}}`",
            where=where,
        )
    bounds = {"min_value", "max_value"} & set(known.arguments)
    if bounds and not bounds & expectation.arguments.keys():
        yield SpecError(
            f"{expectation.name} has neither min_value nor max_value",
            rule="a range has at least one end",
            fix="give one of them, or both",
            where=where,
        )


def unknown_expectation(name: str, where: str = "") -> SpecError:
    """No such expectation; the closest that there is."""
    close = get_close_matches(name, KNOWN, n=1, cutoff=0.0)
    return SpecError(
        f"unknown expectation {name!r}",
        rule="expectations are those of Great Expectations that judge rows or a partition of rows",
        fix=f"did you mean {close[0]!r}?",
        where=where,
    )
