"""Pieces of stored rows -> a CSV, Parquet or Arrow file, a chunk of bytes at a time.

No more than one piece of rows is in memory, however many there are. In CSV, texts that a spreadsheet would run as a
formula get an apostrophe in front (OWASP, "CSV Injection"); numbers are never touched. Parquet and Arrow keep every
value as it is.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Format = Literal["csv", "parquet", "arrow"]
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
GROUP_ROWS = 65_536
"""Rows of a row group of a Parquet file."""
_FORMULA = r"^[\s\x00]*[=+\-@\t\r\n＝＋－＠]"
"""How a text begins that a spreadsheet may run; white space before it does not stop all of them."""
_NUMBER = r"^[+\-]?(\d+\.?\d*|\.\d+)([eE][+\-]?\d{1,3})?$"
"""A text that is a plain number: it can't be a formula, and stays as it is."""


def export(pieces: Iterable[pa.Table], schema: pa.Schema, form: Format) -> Iterator[bytes]:
    """The file, in order; it is whole even when there are no rows.

    Args:
        schema: columns and types of the pieces.
    """
    match form:
        case "csv":
            return _csv(pieces, schema)
        case "parquet":
            return _parquet(pieces, schema)
        case _:
            return _arrow(pieces, schema)


def as_texts(rows: pa.Table) -> pa.Table:
    """The rows with columns that CSV can hold: lists and structs as one line of text, texts made harmless."""
    columns = [_plain(rows[name]) for name in rows.column_names]
    return pa.table(columns, names=_names(rows.column_names))


def _names(names: Iterable[str]) -> list[str]:
    """Harmless names of columns: they come from the data, too."""
    return [str(name) for name in harmless(pa.chunked_array([list(names)], pa.string())).to_pylist()]


def harmless(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts of which none is a formula to a spreadsheet: those that would be begin with an apostrophe."""
    risky = pc.and_(pc.match_substring_regex(texts, _FORMULA), pc.invert(pc.match_substring_regex(texts, _NUMBER)))
    if not pc.any(risky).as_py():
        return texts
    return pc.if_else(pc.fill_null(risky, False), pc.binary_join_element_wise("'", texts, ""), texts)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_list(column.type) or pa.types.is_struct(column.type):
        return harmless(pa.chunked_array([pa.array([_line(value) for value in column.to_pylist()], pa.string())]))
    return harmless(column) if pa.types.is_string(column.type) else column


def _line(value: object) -> str | None:
    """Reasons of a score, or of a row in quarantine, as one line."""
    if value is None:
        return None
    if isinstance(value, list):
        return "; ".join(_line(item) or "" for item in value)
    if isinstance(value, dict) and {"column", "value", "usual"} <= set(value):
        return f"{value['column']} = {value['value']} (usually {value['usual']})"
    if isinstance(value, dict):
        return ", ".join(f"{name} = {item}" for name, item in value.items())
    return str(value)


def _csv(pieces: Iterable[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    import pyarrow.csv

    into, first = io.BytesIO(), True
    for piece in _or_empty(pieces, schema):
        # Texts are always in quotes, so that no other separator finds a formula inside one.
        options = pyarrow.csv.WriteOptions(include_header=first, quoting_style="needed")
        pyarrow.csv.write_csv(as_texts(piece), into, options)
        first = False
        yield _taken(into)


def _arrow(pieces: Iterable[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    into = io.BytesIO()
    with pa.ipc.new_stream(into, schema) as writer:
        for piece in pieces:
            writer.write_table(piece)
            yield _taken(into)
    yield _taken(into)


def _parquet(pieces: Iterable[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    import pyarrow.parquet

    into = _Growing()
    with pyarrow.parquet.ParquetWriter(into, schema, compression="zstd") as writer:
        for group in _groups(pieces):
            writer.write_table(group, row_group_size=GROUP_ROWS)
            yield into.taken()
    yield into.taken()


def _groups(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Pieces put together until they make a row group worth having."""
    waiting: list[pa.Table] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(one.num_rows for one in waiting) >= GROUP_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _or_empty(pieces: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    some = False
    for piece in pieces:
        some = True
        yield piece
    if not some:
        yield schema.empty_table()


def _taken(into: io.BytesIO) -> bytes:
    found = into.getvalue()
    into.seek(0)
    into.truncate()
    return found


class _Growing(io.RawIOBase):
    """A file that is only ever written at its end, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self._chunks.append(chunk)
        self._length += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        """What was written since the last time."""
        found = b"".join(self._chunks)
        self._chunks.clear()
        return found
