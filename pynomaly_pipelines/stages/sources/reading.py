"""A source file becomes typed rows, piece by piece; rows that do not fit come along, rejected, with their reasons.

A file that can't be read as a whole is `SourceUnreadable`, whatever was read of it before. `_row` counts from 1:
records of a CSV file with its header as the first (its line number, unless values hold line breaks), lines of a JSON
lines file, rows of a Parquet file.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa

from pynomaly_pipelines.spec import CsvSource, FileSource, JsonLinesSource
from pynomaly_pipelines.stages.sources import text_pieces
from pynomaly_pipelines.stages.sources.arrow_rows import natural_type as natural_type
from pynomaly_pipelines.stages.sources.arrow_rows import parquet_rows
from pynomaly_pipelines.stages.sources.arrow_rows import texts_of as texts_of
from pynomaly_pipelines.stages.sources.csv_rows import csv_rows
from pynomaly_pipelines.stages.sources.json_rows import json_rows
from pynomaly_pipelines.stages.sources.notation import notation
from pynomaly_pipelines.stages.sources.rows import REJECTED as REJECTED
from pynomaly_pipelines.stages.sources.rows import ROW as ROW
from pynomaly_pipelines.stages.sources.rows import TEXT as TEXT
from pynomaly_pipelines.stages.sources.rows import FileRows as FileRows
from pynomaly_pipelines.stages.sources.rows import Types as Types
from pynomaly_pipelines.stages.sources.rows import joined_reasons as joined_reasons
from pynomaly_pipelines.stages.sources.rows import shown as shown
from pynomaly_pipelines.stages.sources.rows import unreadable as unreadable

PIECES_A_BUDGET = 32
"""A piece is this part of `memory_mb`: what is made of it, in several copies, stays within the whole."""


def piece_bytes(memory_mb: int) -> int:
    """How much of a source is read at a time."""
    return (memory_mb << 20) // PIECES_A_BUDGET


def file_rows(
    path: Path,
    source: FileSource,
    types: Types,
    timezone: str,
    *,
    where: str,
    size: int,
    columns: Sequence[str] | None = None,
) -> Generator[FileRows, None, None]:
    """The rows of a file in pieces of about `size` bytes.

    Columns that are not in `types` come as text (CSV, JSON lines) or as they are (Parquet).

    Args:
        columns: the only ones wanted, where the format can leave others out.

    Raises:
        SourceUnreadable: it is not whole, or not one row can be had from it.
    """
    try:
        if path.stat().st_size == 0:
            raise unreadable(where, "is empty (0 bytes)", "a file holds at least one row")
        if not isinstance(source, CsvSource | JsonLinesSource):
            yield from parquet_rows(
                path, types, timezone, where, piece_bytes=size, columns=columns, notation=notation(source)
            )
            return
        with path.open("rb") as stream:
            yield from _text_rows(stream, source, types, where, size)
    except OSError as error:
        problem = f"can't be opened: {error.strerror}"
        raise unreadable(where, problem, "the product's process may read its sources") from error


def read_rows(data: bytes, source: FileSource, types: Types, timezone: str, *, where: str) -> FileRows:
    """All rows of a file's content at once; for what is small.

    Raises:
        SourceUnreadable: not one row can be had from it.
    """
    if not data:
        raise unreadable(where, "is empty (0 bytes)", "a file holds at least one row")
    if isinstance(source, CsvSource | JsonLinesSource):
        pieces = list(_text_rows(io.BytesIO(data), source, types, where, len(data) + 1))
    else:
        pieces = list(
            parquet_rows(pa.BufferReader(data), types, timezone, where, piece_bytes=1 << 62, notation=notation(source))
        )
    (rows,) = pieces
    return rows


def first_rows(path: Path, source: FileSource, types: Types, timezone: str, *, where: str, size: int) -> FileRows:
    """The rows at the beginning of a file, about `size` bytes of them."""
    return next(file_rows(path, source, types, timezone, where=where, size=size))


def _text_rows(
    stream: IO[bytes], source: CsvSource | JsonLinesSource, types: Types, where: str, size: int
) -> Iterator[FileRows]:
    if isinstance(source, CsvSource):
        pieces = text_pieces.csv_records(stream, source.encoding, source.delimiter, where, size)
        return csv_rows(pieces, source, types, where)
    return json_rows(text_pieces.lines(stream, where, size), types, where, notation(source))
