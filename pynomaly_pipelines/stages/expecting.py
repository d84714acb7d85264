"""Expectations and rows of a table become the rows that break them: one pass of Great Expectations over the frame."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date
from types import ModuleType
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.operations.settings import quiet_libraries
from pynomaly_pipelines.resources.tables import PARTITION
from pynomaly_pipelines.spec import Expectation, PipelineSpec
from pynomaly_pipelines.stages.columns import OWN_COLUMNS

_ROWS = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
_VALUES = {"result_format": "BASIC"}


def unexpected_rows(
    spec: PipelineSpec, expectations: Sequence[Expectation], raw: pa.Table, positions: np.ndarray
) -> list[np.ndarray]:
    """For each expectation the positions, among these, of the rows that break it.

    `mostly` is left to the caller: the share it speaks of is one of a partition, not of the range.
    """
    names = sorted(
        {name for expectation in expectations for name in expectation.columns} | _conditions(expectations, raw)
    )
    frame = _frame(raw, names, positions)
    results = _run(spec, expectations, frame, _ROWS, without=("mostly",))
    found = [result.get("unexpected_index_list") or [] for _, result in results]
    return [np.sort(positions[np.asarray(rows, dtype=np.int64)]) for rows in found]


def observed(
    spec: PipelineSpec, expectations: Sequence[Expectation], raw: pa.Table, positions: np.ndarray
) -> list[tuple[bool, str]]:
    """For each table-level expectation whether these rows meet it, and the value that was observed."""
    names = [name for name in raw.column_names if name not in OWN_COLUMNS]
    if all(expectation.columns for expectation in expectations):
        names = [n for n in names if any(n in e.columns for e in expectations) or n in _conditions(expectations, raw)]
    results = _run(spec, expectations, _frame(raw, names, positions), _VALUES)
    return [(success, str(result.get("observed_value", "no value"))) for success, result in results]


def _conditions(expectations: Sequence[Expectation], raw: pa.Table) -> set[str]:
    """Columns that row conditions may name: all, where there is any condition."""
    if not any("row_condition" in expectation.arguments for expectation in expectations):
        return set()
    return set(raw.column_names) - set(OWN_COLUMNS)


def _frame(raw: pa.Table, names: Sequence[str], positions: np.ndarray) -> pd.DataFrame:
    rows = raw.select(list(names) or [PARTITION])
    rows = rows if len(positions) == raw.num_rows else rows.take(pa.array(positions))
    frame: pd.DataFrame = rows.to_pandas()
    return frame


def _run(
    spec: PipelineSpec,
    expectations: Sequence[Expectation],
    frame: pd.DataFrame,
    result_format: dict[str, Any],
    without: Sequence[str] = (),
) -> list[tuple[bool, dict[str, Any]]]:
    """One validation of the frame; success and result of each expectation, in their order.

    Raises:
        SpecError: the library refuses an expectation's arguments, or can't apply it to its column.
    """
    gx = great_expectations()
    with warnings.catch_warnings():
        # 2026-11: Great Expectations 1.24 on pandas 3; and conditions in text, deprecated, are all that YAML can have.
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        suite = gx.ExpectationSuite("rows")
        for number, expectation in enumerate(expectations):
            suite.add_expectation(_built(spec, expectation, frame, number, without))
        asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": frame})
        outcome = batch.validate(suite, result_format=result_format)
    by_number = {result.expectation_config.meta["number"]: result for result in outcome.results}
    for number, expectation in enumerate(expectations):
        _refuse_exception(expectation, by_number[number])
    return [(bool(by_number[n].success), dict(by_number[n].result)) for n in range(len(expectations))]


def great_expectations() -> ModuleType:
    """The library, imported on first use: it takes five seconds."""
    quiet_libraries()
    with warnings.catch_warnings():
        # 2026-11: Great Expectations 1.24 imports sre_constants.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as library
        import great_expectations.expectations as _  # noqa: F401 (registers them)
    return cast("ModuleType", library)


def _built(
    spec: PipelineSpec, expectation: Expectation, frame: pd.DataFrame, number: int, without: Sequence[str]
) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl
    from pydantic.v1 import ValidationError

    arguments = {k: v for k, v in expectation.arguments.items() if k not in without}
    column = arguments.get("column")
    if column in frame.columns and isinstance(frame[column].dtype, pd.DatetimeTZDtype):
        arguments = {k: _moment(v, spec) for k, v in arguments.items()}
    try:
        return get_expectation_impl(expectation.name)(**arguments, meta={"number": number})
    except (ValidationError, ValueError, TypeError) as error:
        raise SpecError(
            f"{expectation.name} can't be built: {_first_lines(error)}",
            rule="its arguments are those Great Expectations documents",
            fix="correct them in defs.yaml",
        ) from error


def _moment(value: Any, spec: PipelineSpec) -> Any:
    """Dates and times of the YAML file, in UTC, to be held against a column of times."""
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
