"""A spec and the files it names become the columns of `raw`: which there are, and the type of each.

A type once in the table stays; a declared one rules a new table; all others are found in the files' values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pynomaly_pipelines.operations.errors import SchemaError, SourceUnreadable
from pynomaly_pipelines.resources.storage import LandedFile, Replaced
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import RESERVED_PREFIX, CsvSource, FileSource, JsonLinesSource, PipelineSpec
from pynomaly_pipelines.stages.contract.agreement import Terms, optional_columns, widens
from pynomaly_pipelines.stages.sources import arrow_rows, conversion, extracts, opening
from pynomaly_pipelines.stages.sources.notation import notation
from pynomaly_pipelines.stages.sources.paths import dated_files, landed
from pynomaly_pipelines.stages.sources.reading import piece_bytes
from pynomaly_pipelines.stages.sources.rows import REJECTED, ROW, TEXT, FileRows, Types, shown

RAW = "raw"
SOURCE = "_source"
OWN_COLUMNS = (PARTITION, SOURCE, ROW, REJECTED, TEXT)

_SAMPLE_FILES = 20
_SAMPLED_PIECES = 2
"""How many pieces of a source are enough to tell its columns' types."""
_SMALLEST_SAMPLE = 1 << 16


# ----------------------------------------------------------------------------------------------------- types


def terms(spec: PipelineSpec, lake: Lake, project: Path) -> Terms:
    """The contract as it stands: the type of each column as `raw` has it, as declared, or found in a sample.

    Raises:
        SchemaError: a declared type is not the one the table has.
    """
    declared = declared_types(spec)
    if not lake.exists(spec.name, RAW):
        return Terms({**sampled_types(spec, declared, project), **declared})
    known = {f.name: f.type for f in lake.schema(spec.name, RAW) if f.name not in OWN_COLUMNS}
    wider = {n: k for n, k in declared.items() if n in known and known[n] != k and widens(known[n], k)}
    for name, kind in declared.items():
        if name not in wider and known.get(name, kind) != kind:
            raise SchemaError(
                f"column {name!r} of pipeline {spec.name!r} is declared as {kind}; the table has it as {known[name]}",
                rule="a column keeps its type, or gets a wider one: a number for an integer, text for any",
                fix=f"declare it as before, or delete the tables under {lake.uri(spec.name, '')} and ingest again",
            )
    agreed = Terms({**known, **declared}, optional_columns(spec, lake), learning=False)
    return agreed.widened(wider)


def declared_types(spec: PipelineSpec) -> dict[str, pa.DataType]:
    """Types that the spec names; the time is one."""
    declared: dict[str, pa.DataType] = {name: conversion.ARROW_TYPES[kind] for name, kind in spec.columns.items()}
    if spec.time is not None:
        declared[spec.time] = conversion.TIME
    return declared


def sampled_types(spec: PipelineSpec, declared: Types, project: Path) -> Types:
    """Types that hold for the values of up to twenty files, spread over all there are; none for the declared."""
    found = NewColumns(spec, declared)
    for rows in samples(spec, {}, project):
        found.see(rows.table)
    return found.types()


def samples(spec: PipelineSpec, types: Types, project: Path) -> Iterator[FileRows]:
    """The first rows of up to twenty files that can be read; together they stay within the source's memory.

    Raises:
        SourceError: the source can't be reached.
    """
    for _, rows in sampled_files(spec, types, project):
        if isinstance(rows, FileRows):
            yield rows


def sampled_files(
    spec: PipelineSpec, types: Types, project: Path
) -> Iterator[tuple[LandedFile, FileRows | SourceUnreadable]]:
    """The same with the files they are of, and what was wrong with the others."""
    if not isinstance(spec.source, FileSource):
        yield from extracts.sample(spec, types, project, _SAMPLED_PIECES * piece_bytes(spec.source.memory_mb))
        return
    files = spread(spec, project)
    size = max(_SMALLEST_SAMPLE, _SAMPLED_PIECES * piece_bytes(spec.source.memory_mb) // max(1, len(files)))
    for file in files:
        try:
            with opening.reading(spec, file, types, project, size=size) as opened:
                rows = next(opened.pieces)
        except Replaced:
            continue
        except SourceUnreadable as error:
            yield file, error
            continue
        yield file, rows


def spread(spec: PipelineSpec, project: Path) -> list[LandedFile]:
    """Up to twenty files, spread evenly over all there are, the first and the last among them."""
    files = landed(spec, project)
    if spec.source.dated:
        files = [file for file, _ in dated_files(spec, files)]
    if len(files) <= _SAMPLE_FILES:
        return files
    return [files[round(place)] for place in np.linspace(0, len(files) - 1, _SAMPLE_FILES)]


class NewColumns:
    """Columns whose type is not known yet: found in their values, once all have been seen."""

    def __init__(self, spec: PipelineSpec, known: Types) -> None:
        self._spec = spec
        self._known = known
        self._kinds: dict[str, pa.DataType | None] = {}

    def see(self, table: pa.Table) -> None:
        """Take note of the values of some rows."""
        for name in table.column_names:
            if name not in self._known and name not in OWN_COLUMNS and not name.startswith(RESERVED_PREFIX):
                self._kinds[name] = _common(self._kinds.get(name), self._kind_of(table[name]))

    def types(self) -> Types:
        """Type of each column seen that has one."""
        found = {
            name: _without_values(self._spec, name) if kind is None else kind for name, kind in self._kinds.items()
        }
        return {name: kind for name, kind in found.items() if kind is not None}

    def settled(self, table: pa.Table) -> pa.Table:
        """The rows with these columns in their types; columns without a value are left out."""
        types = self.types()
        for name in [name for name in table.column_names if name in self._kinds]:
            place = table.column_names.index(name)
            if name not in types:
                table = table.remove_column(place)
            elif types[name] != table[name].type:
                column = self._converted(table[name].combine_chunks(), types[name])
                table = table.set_column(place, name, column)
        return table

    def _kind_of(self, column: pa.ChunkedArray) -> pa.DataType | None:
        if column.null_count == len(column):
            return None
        if not self._texts or not pa.types.is_string(column.type):
            return arrow_rows.natural_type(column.type)
        written = notation(self._spec.source)
        kind = conversion.inferred(column, written)
        if pa.types.is_timestamp(kind) and conversion.to_utc(column.combine_chunks(), self._spec.timezone, written)[1]:
            return pa.string()
        return kind

    def _converted(self, column: pa.Array, kind: pa.DataType) -> pa.Array:
        if pa.types.is_null(column.type) or (_is_number(column.type) and _is_number(kind)):
            return column.cast(kind)
        texts = arrow_rows.texts_of(column)
        return conversion.converted(texts, kind, self._spec.timezone, notation(self._spec.source))[0]

    @property
    def _texts(self) -> bool:
        """Whether values come as texts that look like something else."""
        return isinstance(self._spec.source, CsvSource | JsonLinesSource)


def _common(before: pa.DataType | None, found: pa.DataType | None) -> pa.DataType | None:
    """The type for values of both."""
    if before is None or found is None or before == found:
        return found if before is None else before
    return pa.float64() if _is_number(before) and _is_number(found) else pa.string()


def _without_values(spec: PipelineSpec, name: str) -> pa.DataType | None:
    """Type of a column that has no value yet: none, or what the spec's use of it suggests."""
    if name not in named_columns(spec):
        return None
    return pa.float64() if needs_a_number(spec, name) else pa.string()


def needs_a_number(spec: PipelineSpec, name: str) -> bool:
    """Whether the spec learns from the column, or holds it against numbers."""
    told = [e for e in spec.expectations if name in e.columns]
    bounds = [e.arguments.get(bound) for e in told for bound in ("min_value", "max_value", "sum_total")]
    label = None if spec.labels is None else spec.labels.column
    return name in (*spec.features, *spec.values, label) or any(isinstance(bound, int | float) for bound in bounds)


# --------------------------------------------------------------------------------------------------- the spec


def named_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """Columns that a role or an expectation needs."""
    time = () if spec.time is None else (spec.time,)
    label = () if spec.labels is None or spec.labels.column is None else (spec.labels.column,)
    expected = [name for e in spec.expectations if e.name != "expect_column_to_exist" for name in e.columns]
    return tuple(dict.fromkeys((*time, *spec.key, *spec.features, *spec.series, *spec.values, *label, *expected)))


def required_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """Columns the spec names; a file without one of them is set aside."""
    time = () if spec.time is None else (spec.time,)
    named = (*time, *spec.key, *spec.features, *spec.series, *spec.values, *spec.columns)
    return tuple(dict.fromkeys(named))


def refuse_missing(spec: PipelineSpec, names: Collection[str], file: LandedFile, *, learning: bool = True) -> None:
    """A file must have the columns that give a row its place; the first ones all that the spec names.

    Raises:
        SchemaError: one is missing.
    """
    place = () if spec.time is None else (spec.time,)
    needed = required_columns(spec) if learning else (*place, *spec.key, *spec.series, *spec.values)
    missing = [name for name in needed if name not in names]
    if missing:
        given = [name for name in names if name not in OWN_COLUMNS]
        raise SchemaError(
            f"file {file.path} has no column {', '.join(map(repr, missing))}",
            rule=f"the pipeline names it; the file's columns are {', '.join(map(repr, given))}",
            fix=_separated(spec, given) or "deliver the file with this column, or correct the name in defs.yaml",
        )


def _separated(spec: PipelineSpec, given: Sequence[str]) -> str:
    """The fix for a file whose header was not taken apart, because its cells are separated by something else."""
    if not isinstance(spec.source, CsvSource) or len(given) != 1:
        return ""
    other = next((mark for mark in ";\t|," if mark != spec.source.delimiter and mark in given[0]), None)
    if other is None:
        return ""
    found = f"its cells are separated by {other!r}, not by {spec.source.delimiter!r}: deliver it with the latter"
    return f"{found}, or set `source.delimiter` to {other!r} if all files are so"


# --------------------------------------------------------------------------------------------- tables of files


def typed(spec: PipelineSpec, tables: Sequence[pa.Table], types: Types) -> tuple[pa.Table, list[tuple[int, str]]]:
    """All files' rows in one table, no longer as texts, and what did not convert, by position."""
    table = pa.concat_tables(_alike(tables), promote_options="permissive").combine_chunks()
    return _with_times(spec, table, types)


def _with_times(spec: PipelineSpec, table: pa.Table, types: Types) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Texts -> times, where they are known to be times."""
    problems: list[tuple[int, str]] = []
    for name in [n for n in table.column_names if n in types and _is_text(table[n])]:
        column, kind = table[name].combine_chunks(), types[name]
        if kind == column.type:
            continue
        texts = column.cast(pa.string())
        values, bad = conversion.converted(texts, kind, spec.timezone, notation(spec.source))
        problems += [(i, f"{name}={shown(column[i].as_py())} {why}") for i, why in bad.items()]
        table = table.set_column(table.column_names.index(name), name, values)
    return table, problems


def _is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_null(column.type))


def _alike(tables: Sequence[pa.Table]) -> Sequence[pa.Table]:
    """A column that came as numbers in one file and as something else in another is text in all."""
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for column in table.schema:
            kinds.setdefault(column.name, set()).add(column.type)
    mixed = {name for name, found in kinds.items() if len(found) > 1 and not all(map(_is_number, found))}
    return [_with_texts_for(table, mixed & set(table.column_names)) for table in tables] if mixed else tables


def _with_texts_for(table: pa.Table, names: set[str]) -> pa.Table:
    for name in names:
        place = table.column_names.index(name)
        table = table.set_column(place, name, arrow_rows.texts_of(table[name].combine_chunks()))
    return table


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
