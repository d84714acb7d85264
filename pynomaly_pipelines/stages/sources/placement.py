"""Rows of files become rows with a partition, those of another time or of none rejected.

Where the path has date codes a file's name rules its rows, elsewhere the time of each row does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.partitions import WHOLE, Calendar
from pynomaly_pipelines.resources.tables import PARTITION
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.contract.columns import SOURCE, refuse_missing, typed
from pynomaly_pipelines.stages.sources import conversion, opening
from pynomaly_pipelines.stages.sources.paths import LandedFile, midnight
from pynomaly_pipelines.stages.sources.rows import REJECTED, ROW, Types, joined_reasons

FILE = "_file"
"""Which of the files a row came from, by number; never stored."""

_CLOCKS_APART = timedelta(days=1)
"""How far a file's time of writing and the clock of its rows may disagree before a row counts as in the future."""


def partitions_in(spec: PipelineSpec, file: LandedFile, project: Path) -> tuple[tuple[str, ...], int]:
    """The partitions a file's rows belong to, by their times, and how many rows it has.

    Raises:
        SourceUnreadable: it can't be read.
        SchemaError: it lacks a column that the spec names.
    """
    types = {spec.time: conversion.TIME} if spec.time else {}
    keys: set[str | None] = set()
    count = 0
    names: dict[str, None] = {}
    with opening.reading(spec, file, types, project) as opened:
        for rows in opened.pieces:
            names.update(dict.fromkeys(rows.table.column_names))
            found = placed(spec, [(file, ())], [rows.table], types)[PARTITION]
            keys.update(pc.unique(found).to_pylist())
            count += len(found)
    refuse_missing(spec, names, file, learning=False)
    return tuple(sorted(key for key in keys if key is not None)), count


def placed(
    spec: PipelineSpec,
    pairs: Sequence[tuple[LandedFile, tuple[str, ...]]],
    tables: Sequence[pa.Table],
    types: Types,
    numbers: Sequence[int] | None = None,
) -> pa.Table:
    """The rows of these files with `_partition`, `_source` and `_file`; those with unfit times are rejected.

    Args:
        pairs: for each of the tables, the file it is of, and the file's partitions.
        numbers: for each of the tables, what `_file` says; by default its position.
    """
    table, problems = typed(spec, tables, types)
    file_of = np.repeat(np.arange(len(tables), dtype=np.int32), [rows.num_rows for rows in tables])
    moments = pa.nulls(table.num_rows, conversion.TIME)
    # Lines of JSON need not all have one.
    if spec.time and spec.time in table.column_names:
        moments = table[spec.time].combine_chunks().cast(conversion.TIME)
    keys, misplaced = _Placement(spec, pairs, file_of, moments).keys()
    reasons = _more_reasons(table[REJECTED].combine_chunks(), [*problems, *misplaced])
    if spec.time and not spec.source.dated and spec.partition != "whole":
        untimed = pc.and_(pc.is_null(moments), pc.is_null(reasons))
        reasons = pc.if_else(untimed, pa.scalar(f"{spec.time} is missing"), reasons)
    index = pa.array(file_of)
    sources = pa.DictionaryArray.from_arrays(index, [file.path for file, _ in pairs]).cast(pa.string())
    named = index if numbers is None else pa.array(np.asarray(numbers, dtype=np.int32)).take(index)
    own = {PARTITION: keys, SOURCE: sources, ROW: table[ROW], REJECTED: reasons, FILE: named}
    rows = table.drop_columns([ROW, REJECTED])
    for name, column in own.items():
        rows = rows.append_column(name, column)
    return rows


def last_partitions(rows: pa.Table) -> dict[int, str]:
    """File -> the last partition that a row of it with a fit time belongs to."""
    placed_rows = rows.select([FILE, PARTITION]).filter(pc.is_valid(rows[PARTITION]))
    found = placed_rows.group_by(FILE).aggregate([(PARTITION, "max")]).to_pylist()
    return {row[FILE]: row[f"{PARTITION}_max"] for row in found}


def with_last_partitions(rows: pa.Table, last: dict[int, str]) -> pa.Table:
    """Rows without a partition are kept in the last one of their file; those of a file that has none stay without."""
    if not rows[PARTITION].null_count or not last:
        return rows
    files = pa.array(list(last), pa.int32())
    position = pc.index_in(rows[FILE], value_set=files)
    fallback = pa.array(list(last.values()), pa.string()).take(position.combine_chunks())
    filled = pc.coalesce(rows[PARTITION].combine_chunks(), fallback)
    return rows.set_column(rows.column_names.index(PARTITION), PARTITION, filled)


def _more_reasons(before: pa.Array, problems: list[tuple[int, str]]) -> pa.Array:
    if not problems:
        return before
    more = joined_reasons(len(before), problems)
    # 2026-11: with null_handling="skip" Arrow 25 drops the rows in which all are null.
    return pc.coalesce(pc.binary_join_element_wise(before, more, "; "), before, more)


class _Placement:
    """Times of rows and files -> partition keys, and what is wrong with the times."""

    def __init__(
        self,
        spec: PipelineSpec,
        pairs: Sequence[tuple[LandedFile, tuple[str, ...]]],
        file_of: np.ndarray,
        moments: pa.Array,
    ) -> None:
        self._spec = spec
        self._pairs = pairs
        self._file_of = file_of
        self._moments = moments
        self._calendar = Calendar(spec)

    def keys(self) -> tuple[pa.Array, list[tuple[int, str]]]:
        if self._spec.partition == "whole":
            whole = pa.array(np.full(len(self._file_of), WHOLE, dtype=object), pa.string())
            return whole, self._future() if self._spec.time else []
        found = self._calendar.keys_of(_as_series(self._moments))
        keys = found.astype(object).where(found.notna(), None).to_numpy()
        return self._dated(keys) if self._spec.source.dated else self._by_time(keys)

    def _dated(self, keys: np.ndarray) -> tuple[pa.Array, list[tuple[int, str]]]:
        """The file's name rules: a row of another time is rejected in the file's last partition."""
        problems = []
        last = np.array([keys_of_file[-1] for _, keys_of_file in self._pairs], dtype=object)[self._file_of]
        outside = np.flatnonzero(keys != last)
        if len(outside):
            sets = [set(keys_of_file) for _, keys_of_file in self._pairs]
            outside = np.array([i for i in outside if keys[i] not in sets[self._file_of[i]]], dtype=np.int64)
        ends = {key: self._calendar.partition(key).end for key in set(last[outside])}
        keys = keys.copy()
        keys[outside] = last[outside]
        for i in outside.tolist():
            moment, end = self._moments[i].as_py(), ends[last[i]]
            late = moment is not None and end is not None and moment >= end
            if moment is not None and not (late and self._spec.allow_future):
                problems.append((i, f"time {self._shown(moment)} lies outside partition {last[i]}"))
        return pa.array(keys, pa.string()), problems

    def _by_time(self, keys: np.ndarray) -> tuple[pa.Array, list[tuple[int, str]]]:
        """The row's time rules; a row without a fit time has none yet (`with_last_partitions`)."""
        problems = dict(self._outside_calendar())
        problems |= {i: why for i, why in self._future() if i not in problems}
        problems |= dict.fromkeys(np.flatnonzero(pc.is_null(self._moments).to_numpy(zero_copy_only=False)).tolist(), "")
        keys = keys.copy()
        keys[list(problems)] = None
        return pa.array(keys, pa.string()), [(i, why) for i, why in problems.items() if why]

    def _outside_calendar(self) -> list[tuple[int, str]]:
        spec, zone = self._spec, self._calendar.zone
        days = [("before the start", spec.start, pc.less), ("not before the end", spec.end, pc.greater_equal)]
        problems = []
        for what, day, compare in days:
            if day is None:
                continue
            border = pa.scalar(midnight(day, zone), conversion.TIME)
            for i in np.flatnonzero(pc.fill_null(compare(self._moments, border), False).to_numpy(zero_copy_only=False)):
                shown = self._shown(self._moments[int(i)].as_py())
                problems.append((int(i), f"time {shown} is {what} of the pipeline ({day})"))
        return problems

    def _future(self) -> list[tuple[int, str]]:
        """Rows later than their file was written."""
        if self._spec.allow_future or self._spec.source.dated:
            return []
        written = np.array([file.mtime_ns for file, _ in self._pairs])[self._file_of]
        latest = written // 1000 + int(_CLOCKS_APART.total_seconds() * 1e6)
        micros = pc.fill_null(self._moments.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        # Rows of tables have no file that was written at some time.
        late = np.flatnonzero((micros > latest) & (written > 0)).tolist()
        return [(i, f"time {self._shown(self._moments[i].as_py())} is later than the file itself") for i in late]

    def _shown(self, moment: object) -> str:
        return str(moment).replace("+00:00", "Z")


def _as_series(moments: pa.Array) -> pd.Series:
    return pd.Series(moments.to_numpy(zero_copy_only=False)).dt.tz_localize("UTC")
