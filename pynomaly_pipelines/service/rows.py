"""Rows of a stored table in answers: cursors over them, their ids in addresses, their values as JSON, files of them."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime

import pyarrow as pa
from fastapi.responses import StreamingResponse
from pydantic import Field, JsonValue

from pynomaly_pipelines.operations.errors import NotFound, TableError
from pynomaly_pipelines.resources.scanning import Snapshot
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.paging import Answer, decoded, encoded, wrong_cursor
from pynomaly_pipelines.spec import RESERVED_PREFIX, SCORE_COLUMNS, PipelineSpec
from pynomaly_pipelines.stages.stored.export import MEDIA_TYPES, Format, export
from pynomaly_pipelines.stages.stored.pages import Page, Place
from pynomaly_pipelines.stages.stored.question import SERIES, Question

_LARGEST = 2**53
_LONGEST_ID = 2_000
RowName = tuple[str, int, str | None]
"""Source file, row there, and the series of a point."""


class Cursor(Answer):
    """Where a page of rows ended."""

    version: int = Field(ge=0, le=_LARGEST)
    partition: str
    passed: int = Field(ge=0, le=_LARGEST)
    last: tuple[float, str, int, str] | None
    asked: str
    """Digest of the question and order; a cursor for one is no cursor for another."""


def asked_for(question: Question, order: str) -> str:
    """What a cursor is good for."""
    return f"{question.digest}-{order}"


def place_of(cursor: str, asked: str) -> Place:
    """The place a cursor stands for.

    Raises:
        BadRequest: it is no cursor of this list.
    """
    told = decoded(cursor, Cursor)
    if told.asked != asked or (told.last is not None and not (math.isfinite(told.last[0]) and _fits(told.last[2]))):
        raise wrong_cursor(cursor)
    return Place(told.version, told.partition, told.passed, told.last)


def _fits(number: int) -> bool:
    """Whether a column of 64-bit integers may hold it."""
    return abs(number) <= _LARGEST


def cursor_after(page: Page, asked: str) -> str | None:
    """The cursor of the page that follows."""
    if page.after is None:
        return None
    at = page.after
    return encoded(Cursor(version=at.version, partition=at.partition, passed=at.passed, last=at.last, asked=asked))


def snapshot_of(service: Service, spec: PipelineSpec, noun: str, cursor: str | None, place: Place | None) -> Snapshot:
    """The version of the table that the walk began on, or the latest.

    Raises:
        BadRequest: that version is not kept any more.
    """
    if place is None:
        return Snapshot(service.lake, spec.name, noun)
    # A version beyond the last is looked for one by one by the reader of the log, up to that number.
    if place.version > service.lake.version(spec.name, noun):
        raise wrong_cursor(cursor or "")
    try:
        return Snapshot(service.lake, spec.name, noun, place.version)
    except (TableError, OverflowError) as error:
        raise wrong_cursor(cursor or "") from error


# ------------------------------------------------------------------------------------------------------- rows


def identity(row: Mapping[str, object]) -> dict[str, JsonValue]:
    """The data's own columns of a row of scores: time, ids, series and value."""
    return {n: plain(v) for n, v in row.items() if not n.startswith(RESERVED_PREFIX) and n not in SCORE_COLUMNS}


def plain(value: object) -> JsonValue:
    """A stored value as JSON has it; what JSON has no number for is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value)


def row_id(row: Mapping[str, object]) -> str:
    """What names a row of scores within its partition: where it was read, and its series."""
    name = [row["_source"], row["_row"], *([row[SERIES]] if SERIES in row else [])]
    text = json.dumps(name, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def named(row: str) -> RowName:
    """The row an id stands for.

    Raises:
        NotFound: it is the id of no row.
    """
    try:
        if len(row) > _LONGEST_ID:
            raise ValueError("too long")
        told = json.loads(base64.b64decode(row + "=" * (-len(row) % 4), altchars=b"-_", validate=True))
        source, number = told[0], told[1]
        series = told[2] if len(told) > 2 else None
        if not isinstance(source, str) or type(number) is not int or abs(number) > _LARGEST:
            raise ValueError("not a place")
        if series is not None and not isinstance(series, str):
            raise ValueError("not a series")
    except (binascii.Error, ValueError, TypeError, LookupError, RecursionError) as error:
        raise NotFound(
            f"there is no row {row[:40]!r}", rule="a row is named by the `id` it is listed with", fix="list the rows"
        ) from error
    return source, number, series


# ------------------------------------------------------------------------------------------------------ files


def as_file(pieces: Iterator[pa.Table], schema: pa.Schema, form: Format, name: str) -> StreamingResponse:
    """The rows as a file, sent as it is made; what can go wrong at the first piece is told as a problem."""
    chunks = export(pieces, schema, form)
    first = next(chunks)
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{form}"',
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(_with(first, chunks), media_type=MEDIA_TYPES[form], headers=headers)


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def known_partitions(spec: PipelineSpec, keys: Sequence[str]) -> None:
    """Refuse a key that is none of the pipeline's.

    Raises:
        DataError: it is not.
    """
    from pynomaly_pipelines.partitions import Calendar

    for key in keys:
        Calendar(spec).partition(key)
