"""Which Great Expectations expectations there are, whether they judge rows or tables, and what they may be told.

A table of names, so that a YAML file is checked without the five seconds that importing the library takes; a test holds
it against the installed version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["row", "group", "table"]
Subject = Literal["column", "pair", "columns", "table"]
_FILTERS = ("row_condition", "condition_parser")
_RANGE = ("min_value", "max_value", "strict_min", "strict_max", *_FILTERS)
_MOSTLY = ("mostly", *_FILTERS)
EXISTENCE = "expect_column_to_exist"
"""The one that may name a column the data lacks."""
NOTES = ("description", "notes", "meta")
"""What every expectation may be told, for readers; it decides nothing."""


@dataclass(frozen=True)
class Known:
    """One expectation."""

    level: Level
    """`row`: each row for itself. `group`: a row beside the other rows of its partition. `table`: the partition."""
    required: tuple[str, ...]
    optional: tuple[str, ...]
    subject: Subject = "column"
    """What its arguments name: one column, two, several, or none."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Everything it may be told."""
        return (*self.required, *self.optional)


def _column_row(*required: str, optional: tuple[str, ...] = ()) -> Known:
    return Known("row", ("column", *required), (*optional, *_MOSTLY))


def _column_group(*required: str, optional: tuple[str, ...] = ()) -> Known:
    return Known("group", ("column", *required), (*optional, *_MOSTLY))


def _pair(*required: str, optional: tuple[str, ...] = ()) -> Known:
    return Known("row", ("column_A", "column_B", *required), (*optional, "ignore_row_if", *_MOSTLY), "pair")


def _several(*required: str, level: Level = "row") -> Known:
    return Known(level, ("column_list", *required), ("ignore_row_if", *_MOSTLY), "columns")


def _column_table(*required: str, optional: tuple[str, ...] = _FILTERS) -> Known:
    return Known("table", ("column", *required), optional)


def _table(*required: str, optional: tuple[str, ...] = ()) -> Known:
    return Known("table", required, optional, "table")


KNOWN: dict[str, Known] = {
    "expect_column_distinct_values_to_be_in_set": _column_table("value_set"),
    "expect_column_distinct_values_to_contain_set": _column_table("value_set"),
    "expect_column_distinct_values_to_equal_set": _column_table("value_set"),
    "expect_column_kl_divergence_to_be_less_than": _column_table(
        "partition_object",
        "threshold",
        optional=(
            "internal_weight_holdout",
            "tail_weight_holdout",
            "bucketize_data",
            "min_value",
            "max_value",
            *_FILTERS,
        ),
    ),
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
    "expect_column_type_to_be": _column_table("type_", optional=()),
    "expect_column_unique_value_count_to_be_between": _column_table(optional=_RANGE),
    "expect_column_value_lengths_to_be_between": _column_row(optional=_RANGE[:4]),
    "expect_column_value_lengths_to_equal": _column_row("value"),
    "expect_column_value_z_scores_to_be_less_than": _column_group("threshold", "double_sided"),
    "expect_column_values_to_be_between": _column_row(optional=_RANGE[:4]),
    "expect_column_values_to_be_dateutil_parseable": _column_row(),
    "expect_column_values_to_be_decreasing": _column_group(optional=("strictly",)),
    "expect_column_values_to_be_in_set": _column_row("value_set"),
    "expect_column_values_to_be_in_type_list": _column_table("type_list", optional=_MOSTLY),
    "expect_column_values_to_be_increasing": _column_group(optional=("strictly",)),
    "expect_column_values_to_be_json_parseable": _column_row(),
    "expect_column_values_to_be_null": _column_row(),
    "expect_column_values_to_be_of_type": _column_table("type_", optional=_MOSTLY),
    "expect_column_values_to_be_unique": _column_group(),
    "expect_column_values_to_match_json_schema": _column_row("json_schema"),
    "expect_column_values_to_match_like_pattern": _column_row("like_pattern", optional=("escape",)),
    "expect_column_values_to_match_like_pattern_list": _column_row(
        "like_pattern_list", optional=("match_on", "escape")
    ),
    "expect_column_values_to_match_regex": _column_row("regex"),
    "expect_column_values_to_match_regex_list": _column_row("regex_list", optional=("match_on",)),
    "expect_column_values_to_match_strftime_format": _column_row("strftime_format"),
    "expect_column_values_to_not_be_in_set": _column_row("value_set"),
    "expect_column_values_to_not_be_null": _column_row(),
    "expect_column_values_to_not_be_outliers": _column_group(optional=("method", "multiplier")),
    "expect_column_values_to_not_match_like_pattern": _column_row("like_pattern", optional=("escape",)),
    "expect_column_values_to_not_match_like_pattern_list": _column_row("like_pattern_list", optional=("escape",)),
    "expect_column_values_to_not_match_regex": _column_row("regex"),
    "expect_column_values_to_not_match_regex_list": _column_row("regex_list"),
    "expect_compound_columns_to_be_unique": _several(level="group"),
    "expect_multicolumn_sum_to_equal": _several("sum_total"),
    "expect_multicolumn_values_to_be_equal": _several(),
    "expect_select_column_values_to_be_unique_within_record": _several(),
    "expect_table_column_count_to_be_between": _table(optional=("min_value", "max_value")),
    "expect_table_column_count_to_equal": _table("value"),
    "expect_table_columns_to_match_ordered_list": _table(optional=("column_list",)),
    "expect_table_columns_to_match_set": _table(optional=("column_set", "exact_match")),
    "expect_table_row_count_to_be_between": _table(optional=_RANGE),
    "expect_table_row_count_to_equal": _table("value", optional=_FILTERS),
}
"""Those that a partition of rows can meet."""

REFUSED: dict[str, tuple[str, str]] = {
    "expect_query_results_to_match_comparison": (
        "it compares the results of two SQL queries, and a partition is held in memory, not in a database",
        "compare aggregates with fixed bounds, such as expect_column_sum_to_be_between",
    ),
    "expect_table_row_count_to_equal_other_table": (
        "it counts the rows of a second table in a database, and a partition is held in memory",
        "expect_table_row_count_to_be_between takes the numbers themselves",
    ),
    "unexpected_rows_expectation": (
        "its query is SQL for a database, and a partition is held in memory",
        "name the rule itself, such as expect_column_pair_values_a_to_be_greater_than_b, with a `row_condition`",
    ),
}
"""Those that can't be met by rows held in memory: why, and what to write instead."""
