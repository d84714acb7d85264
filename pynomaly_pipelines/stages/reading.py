"""One source file becomes typed rows; rows that do not fit come along, rejected, with their reasons and their text.

A file that can't be read at all is `SourceUnreadable`. `_row` counts from 1: records of a CSV file with its header as
the first (its line number, unless values hold line breaks), lines of a JSON lines file, rows of a Parquet file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import SourceUnreadable
from pynomaly_pipelines.spec import CsvSource, JsonLinesSource, PipelineSpec, Source
from pynomaly_pipelines.stages import conversion
from pynomaly_pipelines.stages.paths import LandedFile

ROW, REJECTED, TEXT = "_row", "_rejected", "_text"
Types = Mapping[str, pa.DataType]


@dataclass(frozen=True)
class FileRows:
    """What one file holds: its columns in the types asked for, `_row` and `_rejected` (null or the reasons).

    Timestamps of text files are still texts (they convert faster many files at a time).
    """

    table: pa.Table
    texts: Callable[[Sequence[int]], list[str]]
    """Original text of the rows with these `_row` numbers."""


def read_file(
    spec: PipelineSpec, file: LandedFile, types: Types, project: Path, *, most: int | None = None
) -> tuple[FileRows, str]:
    """The rows of a file and a digest of its bytes; of a long text file only the first `most` bytes, if given.

    Raises:
        SourceUnreadable: it can't be opened, or not one row can be had from it.
    """
    cut = most is not None and file.size > most and spec.source.type != "parquet"
    try:
        data = _beginning(project / file.path, most) if cut else (project / file.path).read_bytes()
    except OSError as error:
        problem = f"can't be opened: {error.strerror}"
        raise unreadable(file.path, problem, "the product's process may read its sources") from error
    rows = read_rows(data, spec.source, types, spec.timezone, where=file.path)
    return rows, hashlib.sha256(data).hexdigest()


def _beginning(path: Path, most: int | None) -> bytes:
    """The whole lines among the first bytes of a file."""
    with path.open("rb") as stream:
        data = stream.read(most)
    return data[: data.rfind(b"\n") + 1]


def read_rows(data: bytes, source: Source, types: Types, timezone: str, *, where: str) -> FileRows:
    """The rows of a file; columns that are not in `types` come as text (CSV, JSON lines) or as they are (Parquet).

    Raises:
        SourceUnreadable: not one row can be had from it.
    """
    if not data:
        raise unreadable(where, "is empty (0 bytes)", "a file holds at least one row")
    if isinstance(source, CsvSource):
        return _read_csv(data, source, types, where)
    if isinstance(source, JsonLinesSource):
        return _read_json_lines(data, types, where)
    return _read_parquet(data, types, timezone, where)


def unreadable(where: str, problem: str, rule: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"file {where} {problem}", rule=rule, fix="deliver the file again, whole; it is read as soon as it has changed"
    )


def joined_reasons(length: int, problems: Iterable[tuple[int, str]]) -> pa.Array:
    """Reasons of each position, joined with "; ", null where there are none."""
    reasons: list[str | None] = [None] * length
    for position, reason in problems:
        before = reasons[position]
        reasons[position] = reason if before is None else f"{before}; {reason}"
    return pa.array(reasons, pa.string())


def shown(value: object) -> str:
    """A value as it stands in a reason; long ones are cut."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def column_names(names: Sequence[str], where: str) -> list[str]:
    """Names as they are stored: no leading underscore (those are the product's own), none empty, none twice."""
    stored = [name.strip().lstrip("_") or f"column_{i + 1}" for i, name in enumerate(names)]
    lowered = [name.lower() for name in stored]
    twice = sorted({name for name, low in zip(stored, lowered, strict=True) if lowered.count(low) > 1})
    if twice:
        raise unreadable(where, f"has the column {twice[0]!r} twice", "column names differ by more than case")
    return stored


# ------------------------------------------------------------------------------------------------------- CSV


def _read_csv(data: bytes, source: CsvSource, types: Types, where: str) -> FileRows:
    data = _utf8(data, source.encoding, where)
    names = column_names(_csv_header(data, source, where), where)
    csv_rows = _CsvRows(data, source, names)
    try:
        table = _csv_fast(csv_rows, types)
    except pa.ArrowInvalid:
        table = _csv_slow(csv_rows, types, where)
    table = _without_blank_lines(table, csv_rows)
    if table.num_rows == 0:
        raise unreadable(where, "has a header and no rows", "a file holds at least one row")
    return FileRows(table, csv_rows.texts)


def _utf8(data: bytes, encoding: str, where: str) -> bytes:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        byte = data[error.start : error.start + 1].hex()
        raise unreadable(
            where,
            f"is not text in {encoding}: byte 0x{byte} at position {error.start}",
            f"the pipeline reads it with `encoding: {encoding}`",
        ) from error
    except LookupError as error:
        raise unreadable(where, f"can't be decoded: {error}", "`encoding` is one Python knows") from error
    utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8", "ascii")
    return (data if utf8 else text.encode()).removeprefix(b"\xef\xbb\xbf")


def _csv_header(data: bytes, source: CsvSource, where: str) -> list[str]:
    with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="") as text:
        header = next(csv.reader(text, delimiter=source.delimiter), [])
    if not any(name.strip() for name in header):
        raise unreadable(where, "has no header", "the first line names the columns")
    return header


@dataclass(frozen=True)
class _CsvRows:
    """The bytes of a CSV file in UTF-8, to be parsed with one set of types or another."""

    data: bytes
    source: CsvSource
    names: list[str]

    def parsed(self, types: Types) -> tuple[pa.Table, dict[int, str]]:
        """All rows, and the ragged ones by number with the reason; ragged rows are not in the table."""
        from pyarrow import csv as arrow_csv

        ragged: dict[int, str] = {}

        def set_aside(row: Any) -> str:
            ragged[row.number] = f"{row.actual_columns} values for {row.expected_columns} columns"
            return "skip"

        table = arrow_csv.read_csv(
            pa.BufferReader(self.data.rstrip(b"\r\n") + b"\n"),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, skip_rows=1, column_names=self.names, block_size=max(1 << 20, len(self.data) + 2)
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
            ),
        )
        return table, ragged

    def texts(self, rows: Sequence[int]) -> list[str]:
        """The lines of these records."""
        lines = io.StringIO(self.data.decode(), newline="").readlines()
        reader = csv.reader(iter(lines), delimiter=self.source.delimiter)
        wanted, found, begin = set(rows), {}, 0
        for number, _ in enumerate(reader, start=1):
            if number in wanted:
                found[number] = "".join(lines[begin : reader.line_num]).rstrip("\r\n")
            begin = reader.line_num
        return [found.get(row, "") for row in rows]


def _csv_fast(rows: _CsvRows, types: Types) -> pa.Table:
    """Every value of its type, or an exception."""
    text_types = {name: pa.string() for name in rows.names}
    typed = {n: t for n, t in types.items() if n in text_types and not pa.types.is_timestamp(t)}
    table, ragged = rows.parsed(text_types | typed)
    for name, kind in typed.items():
        if pa.types.is_floating(kind) and pc.any(pc.is_inf(table[name])).as_py():
            raise pa.ArrowInvalid(f"infinite value in {name}")
    return _numbered(table, ragged, None)


def _csv_slow(rows: _CsvRows, types: Types, where: str) -> pa.Table:
    """The same from texts, column by column, so that what does not convert is rejected row by row."""
    try:
        texts, ragged = rows.parsed({name: pa.string() for name in rows.names})
    except pa.ArrowInvalid as error:
        raise unreadable(where, f"is not CSV: {error}", "the pipeline reads it with `type: csv`") from error
    table, problems = _typed(texts, types)
    return _numbered(table, ragged, joined_reasons(table.num_rows, problems))


def _typed(texts: pa.Table, types: Types) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Texts -> types (timestamps stay texts), and what did not convert."""
    columns, problems = [], []
    for name in texts.column_names:
        column = texts[name].combine_chunks()
        kind = types.get(name, pa.string())
        if pa.types.is_timestamp(kind):
            columns.append(column)
            continue
        values, bad = conversion.converted(column, kind, "UTC")
        problems += [(position, f"{name}={shown(column[position].as_py())} {why}") for position, why in bad.items()]
        columns.append(values)
    return pa.table(columns, names=texts.column_names), problems


def _numbered(table: pa.Table, ragged: dict[int, str], reasons: pa.Array | None) -> pa.Table:
    """Add `_row` and `_rejected`, and the ragged rows in their places."""
    total = table.num_rows + len(ragged)
    numbers = np.arange(2, total + 2, dtype=np.int64)
    if ragged:
        numbers = numbers[~np.isin(numbers, list(ragged))]
    reasons = pa.nulls(table.num_rows, pa.string()) if reasons is None else reasons
    table = table.append_column(ROW, pa.array(numbers)).append_column(REJECTED, reasons)
    if not ragged:
        return table
    own = pa.schema([table.schema.field(ROW), table.schema.field(REJECTED)])
    aside = pa.table({ROW: list(ragged), REJECTED: list(ragged.values())}, schema=own)
    return pa.concat_tables([table, aside], promote_options="default").sort_by(ROW)


def _without_blank_lines(table: pa.Table, rows: _CsvRows) -> pa.Table:
    """Drop rows that are blank lines; they count as lines, not as rows."""
    if b"\n\n" not in rows.data and b"\n\r\n" not in rows.data:
        return table
    empty = np.ones(table.num_rows, dtype=bool)
    for name in rows.names:
        empty &= pc.is_null(table[name]).to_numpy()
    numbers = table[ROW].to_numpy()[empty]
    blank = [n for n, text in zip(numbers, rows.texts(numbers.tolist()), strict=True) if not text.strip()]
    return table.filter(pa.array(~np.isin(table[ROW].to_numpy(), blank)))


# ------------------------------------------------------------------------------------------------ JSON lines


def _read_json_lines(data: bytes, types: Types, where: str) -> FileRows:
    lines = _utf8(data, "utf-8", where).decode().split("\n")
    objects: list[dict[str, Any]] = []
    numbers: list[int] = []
    broken: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        found, problem = _json_object(line)
        if problem:
            broken.append((len(objects), problem))
        objects.append(found)
        numbers.append(number)
    if len(broken) == len(objects):
        raise unreadable(where, "has no line with a JSON object", "the pipeline reads it with `type: jsonl`")
    given = list(dict.fromkeys(name for found in objects for name in found))
    if not given:
        raise unreadable(where, "has no JSON object with a value", "an object names its values")
    stored = column_names(given, where)
    texts = pa.table(
        [pa.array([conversion.as_text(found.get(name)) for found in objects], pa.string()) for name in given],
        names=stored,
    )
    table, problems = _typed(texts, types)
    reasons = joined_reasons(len(objects), [*broken, *problems])
    table = table.append_column(ROW, pa.array(numbers, pa.int64())).append_column(REJECTED, reasons)
    return FileRows(table, lambda rows: [lines[row - 1].rstrip("\r") for row in rows])


def _json_object(line: str) -> tuple[dict[str, Any], str]:
    try:
        found = json.loads(line)
    except ValueError as error:
        return {}, f"not JSON: {error}"
    except RecursionError:
        return {}, "not JSON: nested too deeply"
    return (found, "") if isinstance(found, dict) else ({}, f"not a JSON object: {shown(found)}")


# --------------------------------------------------------------------------------------------------- Parquet


def _read_parquet(data: bytes, types: Types, timezone: str, where: str) -> FileRows:
    from pyarrow import parquet

    try:
        table = parquet.read_table(pa.BufferReader(data))
        table.validate(full=True)
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problem = f"is not a whole Parquet file: {str(error).splitlines()[0]}"
        raise unreadable(where, problem, "the pipeline reads it with `type: parquet`") from error
    if table.num_rows == 0:
        raise unreadable(where, "has no rows", "a file holds at least one row")
    table = table.rename_columns(column_names(names, where))
    columns, problems = [], []
    for name in table.column_names:
        column, bad = _parquet_column(table[name].combine_chunks(), types.get(name), timezone)
        problems += [(i, f"{name}={_shown_at(table[name], i)} {why}") for i, why in bad.items()]
        columns.append(column)
    typed = pa.table(columns, names=table.column_names)
    typed = typed.append_column(ROW, pa.array(np.arange(1, table.num_rows + 1)))
    typed = typed.append_column(REJECTED, joined_reasons(table.num_rows, problems))
    return FileRows(typed, lambda rows: _json_texts(table.take(pa.array([row - 1 for row in rows], pa.int64()))))


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


def _parquet_column(column: pa.Array, kind: pa.DataType | None, timezone: str) -> tuple[pa.Array, conversion.Problems]:
    kind = natural_type(column.type) if kind is None else kind
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(kind) and _has_days(column.type):
        return conversion.to_utc(column, timezone)
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
