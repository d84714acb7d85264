"""A spec and the files it names become the columns of `raw`: which there are, and the type of each.

A type once in the table stays; a declared one rules a new table; all others are found in the files' values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import SchemaError, SourceUnreadable
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import conversion, reading
from pynomaly_pipelines.stages.paths import LandedFile, dated_files, landed
from pynomaly_pipelines.stages.reading import REJECTED, ROW, TEXT, Types

RAW = "raw"
SOURCE = "_source"
OWN_COLUMNS = (PARTITION, SOURCE, ROW, REJECTED, TEXT)
SAMPLE_BYTES = 32 << 20
"""How much of a file is enough to tell its columns' types."""

_SAMPLE_FILES = 20


# ----------------------------------------------------------------------------------------------------- types


def column_types(spec: PipelineSpec, lake: Lake, project: Path) -> Types:
    """Type of each column: as `raw` has it, as declared, or found in a sample of the files.

    Raises:
        SchemaError: a declared type is not the one the table has.
    """
    declared: dict[str, pa.DataType] = {name: conversion.ARROW_TYPES[kind] for name, kind in spec.columns.items()}
    if spec.time is not None:
        declared[spec.time] = conversion.TIME
    if not lake.exists(spec.name, RAW):
        return {**sampled_types(spec, declared, project), **declared}
    known = {f.name: f.type for f in lake.schema(spec.name, RAW) if f.name not in OWN_COLUMNS}
    for name, kind in declared.items():
        if known.get(name, kind) != kind:
            raise SchemaError(
                f"column {name!r} of pipeline {spec.name!r} is declared as {kind}; the table has it as {known[name]}",
                rule="a column keeps the type it was first ingested with",
                fix=f"declare it as before, or delete the tables under {lake.uri(spec.name, '')} and ingest again",
            )
    return {**known, **declared}


def sampled_types(spec: PipelineSpec, declared: Types, project: Path) -> Types:
    """Types that hold for the values of up to twenty files, spread over all there are; none for the declared."""
    samples: dict[str, list[pa.Array]] = {}
    natural: dict[str, pa.DataType] = {}
    for table in _samples(spec, project):
        for name in (n for n in table.column_names if n not in declared and n not in OWN_COLUMNS):
            column = table[name]
            if spec.source.type != "parquet":
                samples.setdefault(name, []).append(pc.unique(column))
            elif not pa.types.is_null(column.type):
                natural[name] = _wider(natural.get(name), reading.natural_type(column.type), column)
    texts = {name: pa.chunked_array(found) for name, found in samples.items()}
    found = {name: _found_type(spec, name, column) for name, column in texts.items()}
    return natural | {name: kind for name, kind in found.items() if kind is not None}


def _samples(spec: PipelineSpec, project: Path) -> Iterator[pa.Table]:
    """Rows of the files that can be read, as they are."""
    for file in spread(spec, project):
        try:
            rows, _ = reading.read_file(spec, file, {}, project, most=SAMPLE_BYTES)
        except SourceUnreadable:
            continue
        yield rows.table


def spread(spec: PipelineSpec, project: Path) -> list[LandedFile]:
    """Up to twenty files, spread evenly over all there are, the first and the last among them."""
    files = landed(spec, project)
    if spec.source.dated:
        files = [file for file, _ in dated_files(spec, files)]
    if len(files) <= _SAMPLE_FILES:
        return files
    return [files[round(place)] for place in np.linspace(0, len(files) - 1, _SAMPLE_FILES)]


def _found_type(spec: PipelineSpec, name: str, texts: pa.Array | pa.ChunkedArray) -> pa.DataType | None:
    """Type of a column by its values. Without any: none yet, or what the spec's use of the column suggests."""
    if texts.null_count < len(texts):
        return conversion.inferred(texts)
    if name not in named_columns(spec):
        return None
    return pa.float64() if _is_to_be_a_number(spec, name) else pa.string()


def _is_to_be_a_number(spec: PipelineSpec, name: str) -> bool:
    """Whether the spec learns from the column, or holds it against numbers."""
    told = [e for e in spec.expectations if name in e.columns]
    bounds = [e.arguments.get(bound) for e in told for bound in ("min_value", "max_value", "sum_total")]
    label = None if spec.labels is None else spec.labels.column
    return name in (*spec.features, *spec.values, label) or any(isinstance(bound, int | float) for bound in bounds)


def _wider(before: pa.DataType | None, found: pa.DataType, column: pa.ChunkedArray) -> pa.DataType:
    if before is None or before == found or column.null_count == len(column):
        return found if before is None else before
    return pa.float64() if _is_number(before) and _is_number(found) else pa.string()


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


def refuse_missing(spec: PipelineSpec, table: pa.Table, file: LandedFile) -> None:
    """A file must have the columns the spec names.

    Raises:
        SchemaError: one is missing.
    """
    missing = [name for name in required_columns(spec) if name not in table.column_names]
    if missing:
        given = [name for name in table.column_names if name not in OWN_COLUMNS]
        raise SchemaError(
            f"file {file.path} has no column {', '.join(map(repr, missing))}",
            rule=f"the pipeline names it; the file's columns are {', '.join(map(repr, given))}",
            fix="deliver the file with this column, or correct the name in defs.yaml",
        )


# --------------------------------------------------------------------------------------------- tables of files


def typed(spec: PipelineSpec, tables: Sequence[pa.Table], types: Types) -> tuple[pa.Table, list[tuple[int, str]]]:
    """All files' rows in one table, no longer as texts, and what did not convert, by position."""
    table = pa.concat_tables(_alike(tables), promote_options="permissive").combine_chunks()
    return _with_times(spec, table, types)


def _with_times(spec: PipelineSpec, table: pa.Table, types: Types) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Texts -> times, and -> what they look like where no type is known. A new column without a value is left out."""
    problems: list[tuple[int, str]] = []
    for name in [n for n in table.column_names if n not in (ROW, REJECTED) and _is_text(table[n])]:
        column = table[name].combine_chunks()
        kind = types.get(name)
        if kind is None and (spec.source.type != "parquet" or pa.types.is_null(column.type)):
            kind = _found_type(spec, name, column)
            if kind is None:
                table = table.drop_columns([name])
                continue
        if kind is None or kind == column.type:
            continue
        values, bad = conversion.converted(column.cast(pa.string()), kind, spec.timezone)
        problems += [(i, f"{name}={reading.shown(column[i].as_py())} {why}") for i, why in bad.items()]
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
        table = table.set_column(place, name, reading.texts_of(table[name].combine_chunks()))
    return table


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
