"""Arrow tables, from Parquet files, databases and Delta tables, in pieces -> rows in the types asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.stages.sources import conversion
from pynomaly_pipelines.stages.sources.notation import PLAIN, Notation
from pynomaly_pipelines.stages.sources.rows import (
    REJECTED,
    ROW,
    FileRows,
    Types,
    column_names,
    joined_reasons,
    shown,
    unread_in,
    unreadable,
)

_FEWEST_ROWS = 256


def parquet_rows(
    path: Path,
    types: Types,
    timezone: str,
    where: str,
    *,
    piece_bytes: int,
    columns: Sequence[str] | None = None,
    notation: Notation = PLAIN,
) -> Iterator[FileRows]:
    """The rows of a Parquet file, piece by piece.

    Raises:
        SourceUnreadable: it is torn, or has no rows.
    """
    from pyarrow import parquet

    try:
        # A buffer: else whole column chunks are read at once, however long they are.
        with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            stored = column_names(file.schema_arrow.names, where)
            wanted = (
                None
                if columns is None
                else [n for n, s in zip(file.schema_arrow.names, stored, strict=True) if s in columns]
            )
            if file.metadata.num_rows == 0:
                raise unreadable(where, "has no rows", "a file holds at least one row")
            batches = file.iter_batches(_rows_a_piece(file.metadata, piece_bytes), columns=wanted, use_threads=False)
            first = 1
            for batch in batches:
                table = pa.Table.from_batches([batch])
                table.validate(full=True)
                names = column_names(table.column_names, where)
                yield arrow_rows(table.rename_columns(names), types, timezone, first=first, notation=notation)
                first += table.num_rows
            if first - 1 != file.metadata.num_rows:
                said = f"says it has {file.metadata.num_rows} rows, and has {first - 1}"
                raise unreadable(where, said, "a file is delivered whole")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problem = f"is not a whole Parquet file: {str(error).splitlines()[0]}"
        raise unreadable(where, problem, "the pipeline reads it with `type: parquet`") from error


def _rows_a_piece(metadata: object, piece_bytes: int) -> int:
    """By the mean size of a row, unpacked."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]  # type: ignore[attr-defined]
    size = sum(group.total_byte_size for group in groups) / max(1, metadata.num_rows)  # type: ignore[attr-defined]
    # Dictionaries hide the size of values: count eight bytes a column at least.
    size = max(size, 8 * metadata.num_columns)  # type: ignore[attr-defined]
    return max(_FEWEST_ROWS, int(piece_bytes / size))


def arrow_rows(table: pa.Table, types: Types, timezone: str, *, first: int, notation: Notation = PLAIN) -> FileRows:
    """Rows of a table, which number their rows from `first` on, in the types asked for."""
    columns, problems, unread = [], [], {}
    for name in table.column_names:
        column, bad = _column(table[name].combine_chunks(), types.get(name), timezone, notation)
        problems += [(i, f"{name}={_shown_at(table[name], i)} {why}") for i, why in bad.items()]
        columns.append(column)
        if bad:
            unread[name] = unread_in(texts_of(table[name].combine_chunks()), bad)
    typed = pa.table(columns, names=table.column_names)
    typed = typed.append_column(ROW, pa.array(np.arange(first, first + table.num_rows)))
    typed = typed.append_column(REJECTED, joined_reasons(table.num_rows, problems))

    def texts(rows: Sequence[int]) -> list[str]:
        return _json_texts(table.take(pa.array([row - first for row in rows], pa.int64())))

    return FileRows(typed, texts, unread)


def _shown_at(column: pa.ChunkedArray, position: int) -> str:
    try:
        return shown(column[position].as_py())
    except (OverflowError, ValueError):
        return str(texts_of(column.slice(position, 1).combine_chunks())[0])


def _json_texts(table: pa.Table) -> list[str]:
    try:
        rows = table.to_pylist()
    except (OverflowError, ValueError):  # a date that Python has none for
        rows = pa.table([texts_of(c.combine_chunks()) for c in table.columns], names=table.column_names).to_pylist()
    return [json.dumps(row, ensure_ascii=False, default=str) for row in rows]


def _column(
    column: pa.Array, kind: pa.DataType | None, timezone: str, notation: Notation
) -> tuple[pa.Array, conversion.Problems]:
    kind = natural_type(column.type) if kind is None else kind
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(kind) and _has_days(column.type):
        return conversion.to_utc(column, timezone)
    if pa.types.is_temporal(kind) and not _has_days(column.type):
        # Never by a cast: Arrow would take any number for microseconds.
        return conversion.converted(texts_of(column), kind, timezone, notation)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        if pc.any(pc.is_inf(column)).as_py():
            return conversion.converted(texts_of(column), kind, timezone)
    try:
        values = column.cast(kind)
        return conversion.within_years(values) if pa.types.is_temporal(kind) else (values, {})
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return conversion.converted(texts_of(column), kind, timezone)


def _has_days(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def texts_of(column: pa.Array) -> pa.Array:
    """Values as a CSV would have them; nested ones as JSON."""
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([conversion.as_text(value) for value in column.to_pylist()], pa.string())


def natural_type(kind: pa.DataType) -> pa.DataType:
    """The type in which a Parquet column is kept when nothing else is declared."""
    if pa.types.is_dictionary(kind):
        return natural_type(kind.value_type)
    if pa.types.is_boolean(kind) or pa.types.is_date32(kind):
        return kind
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_timestamp(kind) or pa.types.is_date64(kind):
        return conversion.TIME
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_null(kind):
        return kind
    return pa.string()
