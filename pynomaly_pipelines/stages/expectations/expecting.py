"""Expectations and rows of a table become the rows that break them: one pass of Great Expectations over the frame."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from types import ModuleType
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.operations.settings import quiet_libraries
from pynomaly_pipelines.resources.tables import PARTITION
from pynomaly_pipelines.spec import Expectation, PipelineSpec
from pynomaly_pipelines.stages.contract.columns import OWN_COLUMNS
from pynomaly_pipelines.stages.expectations.like import as_regex

# Integer positions, and no query text: with a million bad rows the other forms take minutes and gigabytes.
_ROWS = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
_VALUES = {"result_format": "BASIC"}
_SCHEMA = (
    "expect_column_to_exist",
    "expect_column_type_to_be",
    "expect_column_values_to_be_in_type_list",
    "expect_column_values_to_be_of_type",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
)
"""Those about names and types of columns, for which one row says as much as a million."""
_JSON_SCHEMA = "expect_column_values_to_match_json_schema"


@dataclass(frozen=True)
class Finding:
    """How one expectation fared on some rows."""

    success: bool
    """As Great Expectations has it: with `mostly`, that enough rows meet it."""
    positions: np.ndarray
    """The rows that break it, int64 in ascending order; none for an expectation about the table."""
    observed: str = ""
    """What was seen of the table."""


class Judge:
    """Holds expectations against rows of one table; every call is one pass, in which expectations share metrics."""

    def __init__(self, spec: PipelineSpec, raw: pa.Table) -> None:
        self._spec = spec
        self._raw = raw
        self._definition: Any = None

    def rows(self, expectations: Sequence[Expectation], positions: np.ndarray) -> list[Finding]:
        """For each expectation about rows, those among these positions that break it."""
        frame = self._frame({n for e in expectations for n in e.columns} | self._conditions(expectations), positions)
        hidden = [self._hide_what_is_no_json(expectation, frame) for expectation in expectations]
        findings = []
        for (success, result), also in zip(self._run(expectations, frame, _ROWS), hidden, strict=True):
            rows = np.asarray(result.get("unexpected_index_list") or [], dtype=np.int64)
            rows = np.union1d(rows, also) if len(also) else np.sort(rows)
            findings.append(Finding(success and not len(also), positions[rows]))
        return findings

    def table(self, expectations: Sequence[Expectation], positions: np.ndarray) -> list[Finding]:
        """For each expectation about the table whether these rows meet it, and what was seen."""
        of_schema = [e for e in expectations if e.name in _SCHEMA]
        others = [e for e in expectations if e.name not in _SCHEMA]
        found = {
            **dict(zip(map(id, others), self._observed(others, positions), strict=True)),
            **dict(zip(map(id, of_schema), self._of_schema(of_schema), strict=True)),
        }
        return [found[id(expectation)] for expectation in expectations]

    def _observed(self, expectations: Sequence[Expectation], positions: np.ndarray) -> list[Finding]:
        if not expectations:
            return []
        names = {n for e in expectations for n in e.columns} | self._conditions(expectations)
        results = self._run(expectations, self._frame(names, positions), _VALUES)
        return [_seen(success, result) for success, result in results]

    def _of_schema(self, expectations: Sequence[Expectation]) -> list[Finding]:
        """One value shows a column's type, where gaps in the rest would turn integers into numbers."""
        if not expectations:
            return []
        names = [name for name in self._raw.column_names if name not in OWN_COLUMNS]
        frame = pd.DataFrame({name: _one_value(self._raw[name]).to_pandas() for name in names})
        return [_seen(success, result) for success, result in self._run(expectations, frame, _VALUES)]

    def _frame(self, names: set[str], positions: np.ndarray) -> pd.DataFrame:
        if not names:
            # The library takes a fingerprint of every value it is given: for counting, the smallest will do.
            return pd.DataFrame({PARTITION: np.zeros(len(positions), dtype=np.int8)})
        rows = self._raw.select([name for name in self._raw.column_names if name in names])
        rows = rows if len(positions) == self._raw.num_rows else rows.take(pa.array(positions))
        frame: pd.DataFrame = rows.to_pandas(split_blocks=True)
        return frame

    def _conditions(self, expectations: Sequence[Expectation]) -> set[str]:
        """Columns that row conditions may name: all, where there is any condition."""
        if not any("row_condition" in expectation.arguments for expectation in expectations):
            return set()
        return set(self._raw.column_names) - set(OWN_COLUMNS)

    def _hide_what_is_no_json(self, expectation: Expectation, frame: pd.DataFrame) -> np.ndarray:
        """Positions of cells that are no JSON at all, at which Great Expectations would stop; kept from it."""
        if expectation.name != _JSON_SCHEMA:
            return np.array([], dtype=np.int64)
        column = frame[expectation.arguments["column"]]
        wrong = column.notna() & ~column.map(_is_json).astype(bool)
        frame[_json_column(expectation)] = column.mask(wrong)
        return np.flatnonzero(wrong)

    def _run(
        self, expectations: Sequence[Expectation], frame: pd.DataFrame, result_format: dict[str, Any]
    ) -> list[tuple[bool, dict[str, Any]]]:
        """One validation of the frame; success and result of each expectation, in their order.

        Raises:
            SpecError: the library refuses an expectation's arguments, or can't apply it to its column.
        """
        if not expectations:
            return []
        gx = great_expectations()
        with warnings.catch_warnings():
            # 2026-11: Great Expectations 1.24 on pandas 3; and conditions in text, deprecated, are all YAML can have.
            warnings.simplefilter("ignore")
            batch = self._batch(frame)
            suite = gx.ExpectationSuite("rows")
            for number, expectation in enumerate(expectations):
                suite.add_expectation(_built(self._spec, expectation, frame, number))
            outcome = batch.validate(suite, result_format=result_format)
        by_number = {result.expectation_config.meta["number"]: result for result in outcome.results}
        for number, expectation in enumerate(expectations):
            _refuse_exception(expectation, by_number[number])
        return [(bool(by_number[n].success), dict(by_number[n].result)) for n in range(len(expectations))]

    def _batch(self, frame: pd.DataFrame) -> Any:
        if self._definition is None:
            context = great_expectations().get_context(mode="ephemeral")
            context.variables.progress_bars = {"globally": False}
            asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
            self._definition = asset.add_batch_definition_whole_dataframe("rows")
        return self._definition.get_batch({"dataframe": frame})


def great_expectations() -> ModuleType:
    """The library, imported on first use: it takes five seconds."""
    quiet_libraries()
    with warnings.catch_warnings():
        # 2026-11: Great Expectations 1.24 imports sre_constants.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as library
        import great_expectations.expectations as _  # noqa: F401 (registers them)
    return cast("ModuleType", library)


def _seen(success: bool, result: dict[str, Any]) -> Finding:
    value = result.get("observed_value", "no value")
    if isinstance(value, np.generic):
        value = value.item()
    return Finding(success, np.array([], dtype=np.int64), str(value))


def _one_value(column: pa.ChunkedArray) -> pa.Array:
    """A column of one value of its type: the first there is, or zero."""
    at = pc.index(pc.is_valid(column), value=True).as_py()
    if at < 0 and pa.types.is_nested(column.type):
        return pa.nulls(1, column.type)
    return pa.array([column[at] if at >= 0 else pa.scalar(0).cast(column.type)], column.type)


def _is_json(text: Any) -> bool:
    try:
        json.loads(text)
    except (TypeError, ValueError):
        return False
    return True


def _json_column(expectation: Expectation) -> str:
    return f"{expectation.arguments['column']} as JSON"


# -------------------------------------------------------------------------------------------------- building


def _built(spec: PipelineSpec, expectation: Expectation, frame: pd.DataFrame, number: int) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl
    from pydantic.v1 import ValidationError

    name, arguments = _translated(expectation)
    column = arguments.get("column")
    if column in frame.columns and isinstance(frame[column].dtype, pd.DatetimeTZDtype):
        arguments = {k: _moment(v, spec) for k, v in arguments.items()}
    try:
        return get_expectation_impl(name)(**arguments, meta={"number": number})
    except (ValidationError, ValueError, TypeError) as error:
        raise SpecError(
            f"{expectation.name} can't be built: {_first_lines(error)}",
            rule="its arguments are those Great Expectations documents",
            fix="correct them in defs.yaml",
        ) from error


def _translated(expectation: Expectation) -> tuple[str, dict[str, Any]]:
    """Name and arguments as the library's data frames take them."""
    arguments = {k: v for k, v in expectation.arguments.items() if k not in ("meta", "notes", "description")}
    if arguments.get("row_condition") is not None:
        arguments.setdefault("condition_parser", "pandas")
    if "_like_pattern" in expectation.name:
        return as_regex(expectation.name, arguments)
    if expectation.name == _JSON_SCHEMA:
        arguments["column"] = _json_column(expectation)
    return expectation.name, arguments


def _moment(value: Any, spec: PipelineSpec) -> Any:
    """Dates and times of the YAML file, in UTC, to be held against a column of times."""
    if isinstance(value, list):
        return [_moment(item, spec) for item in value]
    if isinstance(value, date):
        stamp = pd.Timestamp(value)
        return stamp.tz_localize(spec.timezone) if stamp.tzinfo is None else stamp
    if isinstance(value, str) and value[:4].isdigit():
        try:
            return _moment(pd.Timestamp(value), spec)
        except ValueError:
            return value
    return value


def _refuse_exception(expectation: Expectation, result: Any) -> None:
    info = result.exception_info or {}
    details = [info] if "raised_exception" in info else list(info.values())
    raised = [str(d["exception_message"]) for d in details if d.get("raised_exception")]
    if raised:
        columns = ", ".join(expectation.columns) or "the table"
        raise SpecError(
            f"{expectation.name} can't be applied to {columns}: {raised[0][:300]}",
            rule="an expectation fits the type of its column",
            fix="choose another expectation, or declare the column's type under `columns`",
        )


def _first_lines(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[1:4]) or str(error)
