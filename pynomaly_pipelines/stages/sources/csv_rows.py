"""CSV in pieces of whole records -> typed rows; ragged rows and values that do not convert are rejected row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.spec import CsvSource
from pynomaly_pipelines.stages.sources import conversion
from pynomaly_pipelines.stages.sources.notation import notation
from pynomaly_pipelines.stages.sources.rows import (
    REJECTED,
    ROW,
    FileRows,
    Types,
    Unread,
    column_names,
    joined_reasons,
    typed_texts,
    unreadable,
)


def csv_rows(pieces: Iterator[bytes], source: CsvSource, types: Types, where: str) -> Iterator[FileRows]:
    """The rows of a CSV file, piece by piece; the first record is the header.

    Args:
        pieces: UTF-8 text, cut where a record ends (`text_pieces.csv_records`).

    Raises:
        SourceUnreadable: it has no header, no rows, or is not CSV.
    """
    names: list[str] = []
    first, some = 2, False
    for piece in pieces:
        data = piece
        if not names:
            header, data = _without_header(piece, source, where)
            names = column_names(header, where)
        if not data.strip(b"\r\n"):
            first += len(data.splitlines())
            continue
        block = _Block(data, source, names, first)
        rows, records, unread = block.rows(types, where)
        first += records
        some = some or rows.num_rows > 0
        if rows.num_rows:
            yield FileRows(rows, block.texts, unread)
    if not some:
        raise unreadable(where, "has a header and no rows", "a file holds at least one row")


def _without_header(data: bytes, source: CsvSource, where: str) -> tuple[list[str], bytes]:
    """The names in the first record, and what comes after it."""
    lines = io.StringIO(data.decode(), newline="").readlines()
    reader = csv.reader(iter(lines), delimiter=source.delimiter)
    header = next(reader, [])
    if not any(name.strip() for name in header):
        raise unreadable(where, "has no header", "the first line names the columns")
    return header, data[sum(len(line.encode()) for line in lines[: reader.line_num]) :]


@dataclass(frozen=True)
class _Block:
    """Whole records of a CSV file in UTF-8, to be parsed with one set of types or another."""

    data: bytes
    source: CsvSource
    names: list[str]
    first: int
    """Number of its first record."""

    def rows(self, types: Types, where: str) -> tuple[pa.Table, int, dict[str, Unread]]:
        """The typed rows, how many records, blank lines included, there are, and what could not be read."""
        unread: dict[str, Unread] = {}
        try:
            table = None if self._odd(types) else self._fast(types)
        except pa.ArrowInvalid:
            table = None
        if table is None:
            table, unread = self._slow(types, where)
        return self._without_blank_lines(table), table.num_rows, unread

    def _odd(self, types: Types) -> bool:
        """Whether values are written in a way that the fast parser does not know."""
        found = notation(self.source)
        kinds = [types[name] for name in self.names if name in types]
        numbers = any(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
        return bool((found.thousands and numbers) or (found.times and any(map(pa.types.is_date, kinds))))

    def texts(self, rows: Sequence[int]) -> list[str]:
        """The lines of these records."""
        lines = io.StringIO(self.data.decode(), newline="").readlines()
        reader = csv.reader(iter(lines), delimiter=self.source.delimiter)
        wanted, found, begin = set(rows), {}, 0
        for number, _ in enumerate(reader, start=self.first):
            if number in wanted:
                found[number] = "".join(lines[begin : reader.line_num]).rstrip("\r\n")
            begin = reader.line_num
        return [found.get(row, "") for row in rows]

    def _parsed(self, types: Types) -> tuple[pa.Table, dict[int, str]]:
        """All rows, and the ragged ones by number with the reason; ragged rows are not in the table."""
        from pyarrow import csv as arrow_csv

        ragged: dict[int, str] = {}

        def set_aside(row: Any) -> str:
            number = row.number + self.first - 1
            ragged[number] = f"{row.actual_columns} values for {row.expected_columns} columns"
            return "skip"

        table = arrow_csv.read_csv(
            pa.BufferReader(self.data if self.data.endswith((b"\n", b"\r")) else self.data + b"\n"),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, column_names=self.names, block_size=max(1 << 20, len(self.data) + 2)
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.source.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=set_aside,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types,
                null_values=list(self.source.null_values),
                true_values=[*conversion.TRUE, "1"],
                false_values=[*conversion.FALSE, "0"],
                strings_can_be_null=True,
                decimal_point=self.source.decimal,
            ),
        )
        return table, ragged

    def _fast(self, types: Types) -> pa.Table:
        """Every value of its type, or an exception."""
        text_types = {name: pa.string() for name in self.names}
        typed = {n: t for n, t in types.items() if n in text_types and not pa.types.is_timestamp(t)}
        table, ragged = self._parsed(text_types | typed)
        for name, kind in typed.items():
            if pa.types.is_floating(kind) and pc.any(pc.is_inf(table[name])).as_py():
                raise pa.ArrowInvalid(f"infinite value in {name}")
        return self._numbered(table, ragged, None)

    def _slow(self, types: Types, where: str) -> tuple[pa.Table, dict[str, Unread]]:
        """The same from texts, column by column, so that what does not convert is rejected row by row."""
        try:
            texts, ragged = self._parsed({name: pa.string() for name in self.names})
        except pa.ArrowInvalid as error:
            raise unreadable(where, f"is not CSV: {error}", "the pipeline reads it with `type: csv`") from error
        table, problems, unread = typed_texts(texts, types, notation(self.source))
        return self._numbered(table, ragged, joined_reasons(table.num_rows, problems)), unread

    def _numbered(self, table: pa.Table, ragged: dict[int, str], reasons: pa.Array | None) -> pa.Table:
        """Add `_row` and `_rejected`, and the ragged rows in their places."""
        numbers = np.arange(self.first, self.first + table.num_rows + len(ragged), dtype=np.int64)
        if ragged:
            numbers = numbers[~np.isin(numbers, list(ragged))]
        reasons = pa.nulls(table.num_rows, pa.string()) if reasons is None else reasons
        table = table.append_column(ROW, pa.array(numbers)).append_column(REJECTED, reasons)
        if not ragged:
            return table
        own = pa.schema([table.schema.field(ROW), table.schema.field(REJECTED)])
        aside = pa.table({ROW: list(ragged), REJECTED: list(ragged.values())}, schema=own)
        return pa.concat_tables([table, aside], promote_options="default").sort_by(ROW)

    def _without_blank_lines(self, table: pa.Table) -> pa.Table:
        """Drop rows that are blank lines; they count as lines, not as rows."""
        empty = np.ones(table.num_rows, dtype=bool)
        for name in self.names:
            empty &= pc.is_null(table[name]).to_numpy()
        if not empty.any():
            return table
        numbers = table[ROW].to_numpy()[empty]
        texts = self.texts(numbers.tolist())
        blank = [number for number, text in zip(numbers, texts, strict=True) if not text.strip()]
        return table.filter(pa.array(~np.isin(table[ROW].to_numpy(), blank)))
