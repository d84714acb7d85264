"""Every expectation that the product knows, on five rows: which of them break it, or what is observed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.expectations.catalogue import KNOWN
from pynomaly_pipelines.stages.expectations.expecting import Judge

ROWS = pa.table(
    {
        "number": pa.array([1, 2, 3, 40, None], pa.int64()),
        "other": pa.array([0.0, 2.0, 4.0, 5.0, 6.0]),
        "sum": pa.array([1.0, 4.0, 7.0, 45.0, 6.0]),
        "text": pa.array(["a", "bb", "a", "2025-01-01", None]),
        "json": pa.array(['{"a": 1}', "[1]", "{", None, "{}"]),
        "_partition": ["all"] * 5,
    }
)
CALM = pa.array([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 90.0])

BROKEN: list[tuple[str, dict[str, Any], list[int]]] = [
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "number", "column_B": "other"}, [1, 2, 4]),
    ("expect_column_pair_values_to_be_equal", {"column_A": "number", "column_B": "other"}, [0, 2, 3, 4]),
    (
        "expect_column_pair_values_to_be_in_set",
        {
            "column_A": "number",
            "column_B": "other",
            "value_pairs_set": [[1, 0], [2, 2]],
            "ignore_row_if": "either_value_is_missing",
        },
        [2, 3],
    ),
    ("expect_column_value_lengths_to_be_between", {"column": "text", "max_value": 2}, [3]),
    ("expect_column_value_lengths_to_equal", {"column": "text", "value": 1}, [1, 3]),
    ("expect_column_values_to_be_between", {"column": "number", "min_value": 2, "max_value": 3}, [0, 3]),
    ("expect_column_values_to_be_between", {"column": "number", "min_value": 1, "strict_min": True}, [0]),
    ("expect_column_values_to_be_in_set", {"column": "number", "value_set": [1, 2, 3]}, [3]),
    ("expect_column_values_to_be_null", {"column": "text"}, [0, 1, 2, 3]),
    ("expect_column_values_to_be_unique", {"column": "text"}, [0, 2]),
    ("expect_column_values_to_match_regex", {"column": "text", "regex": "^[ab]+$"}, [3]),
    ("expect_column_values_to_match_regex_list", {"column": "text", "regex_list": ["^a$", "^b"]}, [3]),
    ("expect_column_values_to_match_strftime_format", {"column": "text", "strftime_format": "%Y-%m-%d"}, [0, 1, 2]),
    ("expect_column_values_to_not_be_in_set", {"column": "text", "value_set": ["a"]}, [0, 2]),
    ("expect_column_values_to_not_be_null", {"column": "number"}, [4]),
    ("expect_column_values_to_not_match_regex", {"column": "text", "regex": "b"}, [1]),
    ("expect_column_values_to_not_match_regex_list", {"column": "text", "regex_list": ["b", "2"]}, [1, 3]),
    ("expect_compound_columns_to_be_unique", {"column_list": ["text", "_partition"]}, [0, 2]),
    (
        "expect_multicolumn_sum_to_equal",
        {"column_list": ["number", "other"], "sum_total": 4, "ignore_row_if": "any_value_is_missing"},
        [0, 2, 3],
    ),
    ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["number", "other"]}, [1]),
    (
        "expect_column_value_z_scores_to_be_less_than",
        {"column": "number", "threshold": 3, "double_sided": True},
        [],
    ),
    (
        "expect_column_values_to_be_between",
        {"column": "number", "max_value": 2, "row_condition": 'text=="a"', "condition_parser": "pandas"},
        [2],
    ),
]

BROKEN += [
    ("expect_column_values_to_match_regex", {"column": "text", "regex": "^(?=a)a$|^2"}, [1]),
    ("expect_column_values_to_be_dateutil_parseable", {"column": "text"}, [0, 1, 2]),
    ("expect_column_values_to_be_increasing", {"column": "number"}, []),
    ("expect_column_values_to_be_decreasing", {"column": "number"}, [1, 2, 3]),
    ("expect_column_values_to_be_json_parseable", {"column": "text"}, [0, 1, 2, 3]),
    ("expect_column_values_to_match_json_schema", {"column": "json", "json_schema": {"type": "object"}}, [1, 2]),
    ("expect_column_values_to_match_like_pattern", {"column": "text", "like_pattern": "b%"}, [0, 2, 3]),
    ("expect_column_values_to_match_like_pattern_list", {"column": "text", "like_pattern_list": ["_", "b_"]}, [3]),
    ("expect_column_values_to_not_match_like_pattern", {"column": "text", "like_pattern": "%-%"}, [3]),
    ("expect_column_values_to_not_match_like_pattern_list", {"column": "text", "like_pattern_list": ["a"]}, [0, 2]),
    ("expect_column_values_to_not_be_outliers", {"column": "number"}, [3]),
    ("expect_multicolumn_values_to_be_equal", {"column_list": ["number", "other"]}, [0, 2, 3, 4]),
    ("expect_column_values_to_be_between", {"column": "number", "max_value": 2, "row_condition": 'text=="a"'}, [2]),
]

OBSERVED: list[tuple[str, dict[str, Any], bool]] = [
    ("expect_column_distinct_values_to_be_in_set", {"column": "text", "value_set": ["a", "bb"]}, False),
    ("expect_column_distinct_values_to_contain_set", {"column": "text", "value_set": ["a", "bb"]}, True),
    ("expect_column_distinct_values_to_equal_set", {"column": "text", "value_set": ["a"]}, False),
    ("expect_column_max_to_be_between", {"column": "number", "max_value": 30}, False),
    ("expect_column_mean_to_be_between", {"column": "number", "min_value": 11.5, "max_value": 11.5}, True),
    ("expect_column_median_to_be_between", {"column": "number", "min_value": 2.5, "max_value": 2.5}, True),
    ("expect_column_min_to_be_between", {"column": "number", "min_value": 2}, False),
    ("expect_column_most_common_value_to_be_in_set", {"column": "text", "value_set": ["a"]}, True),
    ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "number", "min_value": 0.9}, False),
    ("expect_column_proportion_of_unique_values_to_be_between", {"column": "text", "max_value": 0.75}, True),
    (
        "expect_column_quantile_values_to_be_between",
        {"column": "other", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[4, 4]]}},
        True,
    ),
    ("expect_column_stdev_to_be_between", {"column": "other", "max_value": 1}, False),
    ("expect_column_sum_to_be_between", {"column": "other", "min_value": 17, "max_value": 17}, True),
    ("expect_column_to_exist", {"column": "colour"}, False),
    ("expect_column_type_to_be", {"column": "number", "type_": "int64"}, True),
    ("expect_column_type_to_be", {"column": "number", "type_": "float64"}, False),
    ("expect_column_values_to_be_of_type", {"column": "text", "type_": "str"}, True),
    ("expect_column_values_to_be_of_type", {"column": "number", "type_": "int"}, True),
    ("expect_column_values_to_be_in_type_list", {"column": "other", "type_list": ["int64", "float64"]}, True),
    ("expect_column_values_to_be_in_type_list", {"column": "other", "type_list": ["int64"]}, False),
    (
        "expect_column_kl_divergence_to_be_less_than",
        {
            "column": "text",
            "partition_object": {"values": ["a", "bb", "2025-01-01"], "weights": [0.5, 0.25, 0.25]},
            "threshold": 0.01,
        },
        True,
    ),
    (
        "expect_column_kl_divergence_to_be_less_than",
        {"column": "other", "partition_object": {"bins": [0, 5.5, 8], "weights": [0.1, 0.9]}, "threshold": 0.5},
        False,
    ),
    ("expect_column_unique_value_count_to_be_between", {"column": "text", "min_value": 3, "max_value": 3}, True),
    ("expect_table_column_count_to_be_between", {"min_value": 5, "max_value": 5}, True),
    ("expect_table_column_count_to_equal", {"value": 3}, False),
    ("expect_table_columns_to_match_ordered_list", {"column_list": ["number", "other", "sum", "text", "json"]}, True),
    ("expect_table_columns_to_match_set", {"column_set": ["text", "number"], "exact_match": False}, True),
    ("expect_table_row_count_to_be_between", {"max_value": 4}, False),
    ("expect_table_row_count_to_equal", {"value": 5}, True),
]


def spec_of(name: str, arguments: dict[str, Any]) -> PipelineSpec:
    return PipelineSpec.model_validate(
        {"name": "shop", "source": {"type": "csv", "path": "x"}, "expectations": [{name: arguments}]}
    )


@pytest.mark.parametrize(("name", "arguments", "broken"), BROKEN)
def test_rows_that_break_it(name: str, arguments: dict[str, Any], broken: list[int]) -> None:
    spec = spec_of(name, arguments)
    (found,) = Judge(spec, ROWS).rows(spec.expectations, np.arange(5))
    assert found.positions.tolist() == broken


@pytest.mark.parametrize(("name", "arguments", "success"), OBSERVED)
def test_what_is_observed_of_the_table(name: str, arguments: dict[str, Any], success: bool) -> None:
    spec = spec_of(name, arguments)
    (found,) = Judge(spec, ROWS).table(spec.expectations, np.arange(5))
    assert found.success is success


def test_every_known_expectation_is_tried() -> None:
    assert {name for name, _, _ in (*BROKEN, *OBSERVED)} == KNOWN.keys()


def test_positions_are_those_of_the_table() -> None:
    spec = spec_of("expect_column_values_to_be_between", {"column": "number", "max_value": 2})
    (found,) = Judge(spec, ROWS).rows(spec.expectations, np.array([1, 3]))
    assert found.positions.tolist() == [3]


def test_z_scores_find_the_outlier() -> None:
    spec = spec_of(
        "expect_column_value_z_scores_to_be_less_than", {"column": "x", "threshold": 2, "double_sided": True}
    )
    table = pa.table({"x": CALM, "_partition": ["all"] * 10})
    (found,) = Judge(spec, table).rows(spec.expectations, np.arange(10))
    assert found.positions.tolist() == [9]


@pytest.mark.parametrize("argument", [{"min_value": "low"}, {"min_value": 3, "max_value": 1}])
def test_arguments_the_library_refuses(argument: dict[str, Any]) -> None:
    spec = spec_of("expect_column_values_to_be_between", {"column": "number", **argument})
    with pytest.raises(SpecError, match="expect_column_values_to_be_between can't be"):
        Judge(spec, ROWS).rows(spec.expectations, np.arange(5))
