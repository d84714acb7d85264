"""Bytes of an Arrow IPC stream -> what its messages announce, before anything is made of them.

Message headers are flatbuffers of a few fields. Read here, by offset and within bounds, they tell how many rows and
columns would come, and whether buffers are compressed or dictionaries lie between, which a reader would otherwise make
memory for first. Format: https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NoReturn

from pynomaly_pipelines.operations.errors import TooLarge, Unprocessable

CONTINUATION = b"\xff\xff\xff\xff"
SCHEMA, DICTIONARY, BATCH = 1, 2, 3
MOST_BATCHES = 1_000


@dataclass(frozen=True)
class _Table:
    """A flatbuffers table: `start` of its fields in `data`, and where its list of offsets lies."""

    data: memoryview
    start: int

    def field(self, index: int) -> int | None:
        """Position of a field; None where it has its default."""
        table = self.start - self._number("<i", self.start)
        place = 4 + 2 * index
        if place + 2 > self._number("<H", table):
            return None
        offset = self._number("<H", table + place)
        return self.start + offset if offset else None

    def number(self, index: int, kind: str, default: int = 0) -> int:
        """A field that is a number."""
        place = self.field(index)
        return default if place is None else self._number(kind, place)

    def table(self, index: int) -> _Table | None:
        """A field that is another table."""
        place = self.field(index)
        return None if place is None else _Table(self.data, place + self._number("<I", place))

    def length(self, index: int) -> int:
        """Entries of a field that is a vector."""
        place = self.field(index)
        return 0 if place is None else self._number("<I", place + self._number("<I", place))

    def _number(self, kind: str, place: int) -> int:
        if not 0 <= place <= len(self.data) - struct.calcsize(kind):
            torn("an offset in a message leads out of it")
        return int(struct.unpack_from(kind, self.data, place)[0])


def check_stream(body: bytes, *, columns: int, most_rows: int) -> None:
    """Refuse a stream that announces more than it should, or what it should not.

    Raises:
        Unprocessable: torn, no stream at all, compressed, with dictionaries, or of another number of columns.
        TooLarge: too many rows or batches.
    """
    view, place, rows, batches, schemas = memoryview(body), 0, 0, 0, 0
    while place < len(view):
        size, metadata = _metadata(view, place)
        if size == 0:
            break
        message = _Table(metadata, _Table(metadata, 0)._number("<I", 0))
        header, kind = message.table(2), message.number(1, "<B")
        length = message.number(3, "<q")
        place += 8 + size
        if header is None or not 0 <= length <= len(view) - place:
            torn(f"a message announces a body of {length:,} bytes, {len(view) - place:,} are there")
        if (kind == SCHEMA) is not (schemas == 0):
            torn("it does not begin with a schema, or has several")
        if kind == SCHEMA:
            schemas += 1
            _check_columns(header.length(1), columns)
        elif kind == BATCH:
            batches, rows = batches + 1, rows + _rows(header)
            _check_size(rows, batches, most_rows)
        else:
            _refuse_kind(kind)
        place += length
    if schemas == 0:
        torn("there is no schema")


def _metadata(view: memoryview, place: int) -> tuple[int, memoryview]:
    if bytes(view[place : place + 4]) != CONTINUATION or len(view) < place + 8:
        torn(f"no message begins at byte {place:,}")
    size = int(struct.unpack_from("<i", view, place + 4)[0])
    if not 0 <= size <= len(view) - place - 8 or 0 < size < 8:
        torn(f"a message announces {size:,} bytes of metadata, {len(view) - place - 8:,} are there")
    return size, view[place + 8 : place + 8 + size]


def _rows(header: _Table) -> int:
    rows = header.number(0, "<q")
    if rows < 0:
        torn(f"a batch of {rows} rows")
    if header.table(3) is not None:
        raise Unprocessable(
            "the stream's buffers are compressed",
            rule="a request's size is known before it is read: buffers come as they are",
            fix="write the stream without compression",
        )
    return rows


def _check_size(rows: int, batches: int, most_rows: int) -> None:
    if rows > most_rows:
        raise TooLarge(
            f"{rows:,} rows in one request",
            rule=f"a request has at most {most_rows:,} (PYNOMALY_SERVICE_SCORE_ROWS)",
            fix="send them in several requests",
        )
    if batches > MOST_BATCHES:
        raise TooLarge(f"more than {MOST_BATCHES:,} batches", rule="a request has no more", fix="write larger ones")


def _check_columns(found: int, expected: int) -> None:
    # Names are compared later: this keeps a hundred thousand columns from being made at all.
    if found > 10 * expected + 100:
        raise Unprocessable(
            f"the stream has {found:,} columns",
            rule=f"the model reads {expected}",
            fix="send the columns of the model and no other",
        )


def _refuse_kind(kind: int) -> NoReturn:
    if kind == DICTIONARY:
        raise Unprocessable(
            "the stream has dictionaries",
            rule="strings come as strings",
            fix="cast dictionary columns to string before writing",
        )
    torn(f"a message of kind {kind}")


def torn(problem: str) -> NoReturn:
    """Refuse bytes that are no such stream."""
    raise Unprocessable(
        f"the Arrow stream can't be read: {problem}",
        rule="the body is an Arrow IPC stream: a schema and record batches",
        fix="write it with `pyarrow.ipc.new_stream`, and send all of it",
    )
