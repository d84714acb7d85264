"""A JSON body -> a scorer's cells, read by a decoder made for its signature.

The decoder takes no second look at what is right: types, names and missing columns are its own business, and the few
rules that it can't hold are checked on whole arrays. What it refuses goes to `faults`, which finds out why.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np

from pynomaly_pipelines.detection.columns import Cells
from pynomaly_pipelines.operations.errors import TooLarge
from pynomaly_pipelines.service.scoring import faults
from pynomaly_pipelines.service.scoring.signature import Column, Signature

LARGE_BODY = 1 << 18
"""Bytes from which rows are decoded one by one, so that other threads get their turn in between."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.date().toordinal()
_MOMENTS = list[Annotated[datetime, msgspec.Meta(tz=True)] | None]
_DAYS = list[date | None]


class JsonRows:
    """Reads bodies of one signature."""

    def __init__(self, signature: Signature, most_rows: int) -> None:
        self._signature = signature
        self._most = most_rows
        columns = signature.columns
        # Numbers and flags without gaps can be laid out at once.
        self._flat = all((c.numeric or c.type == "boolean") and not c.nullable for c in columns)
        self._colons = len(columns) + sum(name.count(":") for name in signature.names)
        self._whole = [place for place, c in enumerate(columns) if c.type == "integer"]
        self._awkward = any('"' in name or "\\" in name or not name.isprintable() for name in signature.names)
        if not self._awkward:
            self._make_decoders(columns)

    def _make_decoders(self, columns: Sequence[Column]) -> None:
        fields = [f"c{place}" for place in range(len(columns))]
        names = dict(zip(fields, self._signature.names, strict=True))
        cells = [_cell_type(column) for column in columns]
        row = _struct("Row", list(zip(fields, cells, strict=True)), names)
        lists = _struct("Columns", [(f, list[t]) for f, t in zip(fields, cells, strict=True)], names)  # type: ignore[valid-type]
        self._row = msgspec.json.Decoder(row)
        self._body = msgspec.json.Decoder(_body(list[row], lists))  # type: ignore[valid-type]
        self._large = msgspec.json.Decoder(_body(list[msgspec.Raw], lists))
        self._fields = fields
        self._cells_of: Callable[[Any], tuple[Any, ...]] = (
            attrgetter(*fields) if len(fields) > 1 else lambda found: (found.c0,)
        )

    def read(self, body: bytes) -> Cells:
        """The rows of a body, in the order the scorer reads its columns.

        Raises:
            BadRequest: it is no JSON.
            Unprocessable: it is, and not of this signature.
            TooLarge: more rows than a request may have.
        """
        if self._awkward:
            return self._read_slowly(body)
        try:
            return self._read(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            faults.diagnose(body, self._signature, str(error))

    def _read(self, body: bytes) -> Cells:
        large = len(body) >= LARGE_BODY
        found: Any = (self._large if large else self._body).decode(body)
        if (found.rows is msgspec.UNSET) is (found.columns is msgspec.UNSET):
            faults.diagnose(body, self._signature, "neither rows nor columns, or both")
        if found.rows is msgspec.UNSET:
            return self._of_columns(body, found.columns)
        self._check_rows(len(found.rows))
        rows = [self._row.decode(raw) for raw in found.rows] if large else found.rows
        return self._of_rows(body, rows)

    def _check_rows(self, rows: int) -> None:
        if rows == 0:
            faults.empty()
        if rows > self._most:
            raise TooLarge(
                f"{rows:,} rows in one request",
                rule=f"a request has at most {self._most:,} (PYNOMALY_SERVICE_SCORE_ROWS)",
                fix="send them in several requests",
            )

    def _of_rows(self, body: bytes, rows: list[Any]) -> Cells:
        width = len(self._fields)
        if self._flat:
            chained = itertools.chain.from_iterable(map(self._cells_of, rows))
            x = np.fromiter(chained, np.float64, len(rows) * width).reshape(-1, width)
            self._check_colons(body, 1 + self._colons * len(rows), ())
            self._check_exact(body, x)
            self._check_whole(body, x[:, self._whole])
            return tuple(x[:, place] for place in range(width))
        columns = list(zip(*map(self._cells_of, rows), strict=True))
        return self._of_cells(body, columns, 1 + self._colons * len(rows))

    def _of_columns(self, body: bytes, found: Any) -> Cells:
        columns = self._cells_of(found)
        lengths = {name: len(cells) for name, cells in zip(self._signature.names, columns, strict=True)}
        if len(set(lengths.values())) != 1:
            faults.refuse([faults.ragged(lengths)])
        self._check_rows(len(columns[0]))
        return self._of_cells(body, columns, 1 + self._colons)

    def _of_cells(self, body: bytes, columns: Sequence[Sequence[Any]], colons: int) -> Cells:
        described = list(zip(self._signature.columns, columns, strict=True))
        texts = [cells for column, cells in described if column.type == "string" or column.moment]
        self._check_colons(body, colons, texts)
        arrays = tuple(_array(column, cells) for column, cells in described)
        for column, array in zip(self._signature.columns, arrays, strict=True):
            if column.numeric:
                self._check_exact(body, array)
            if column.type == "integer":
                self._check_whole(body, array)
        return arrays

    def _check_colons(self, body: bytes, expected: int, texts: Sequence[Sequence[str | None]]) -> None:
        """A key that stands twice is kept once by the decoder; the colons of a body without escapes give it away."""
        expected += sum("".join(filter(None, cells)).count(":") for cells in texts)
        if b"\\" in body or _colons(body) != expected:
            faults.read_exactly(body)

    def _check_exact(self, body: bytes, x: np.ndarray) -> None:
        """Integers beyond 2^53 were rounded by the decoder if they had to be."""
        if (np.abs(x) >= faults.EXACT).any():
            found = faults.first_faults(body, self._signature)
            if found:
                faults.refuse(found)

    def _check_whole(self, body: bytes, x: np.ndarray) -> None:
        if x.size and not (np.isnan(x) | (x == np.floor(x))).all():
            faults.diagnose(body, self._signature, "a number is no integer")

    def _read_slowly(self, body: bytes) -> Cells:
        """Where a column's name needs escapes, which the decoder has no way with."""
        found = faults.first_faults(body, self._signature)
        if found:
            faults.refuse(found)
        value = faults.plain(faults.read_exactly(body))
        rows = value.get("rows")
        if rows is None:
            columns = [value["columns"][name] for name in self._signature.names]
        else:
            columns = [[row[name] for row in rows] for name in self._signature.names]
        self._check_rows(len(columns[0]))
        return tuple(_array(c, cells) for c, cells in zip(self._signature.columns, columns, strict=True))


def _struct(name: str, fields: list[Any], names: dict[str, str]) -> Any:
    return msgspec.defstruct(name, fields, rename=names, forbid_unknown_fields=True, gc=False)


def _body(rows: Any, columns: Any) -> Any:
    fields = [
        ("rows", rows | msgspec.UnsetType, msgspec.UNSET),
        ("columns", columns | msgspec.UnsetType, msgspec.UNSET),
    ]
    return msgspec.defstruct("Body", fields, forbid_unknown_fields=True)


def _cell_type(column: Column) -> Any:
    # 4.0 is an integer, 4.5 is found out later.
    plain: Any = {"number": float, "integer": float, "boolean": bool}.get(column.type, str)
    return plain | None if column.nullable else plain


def _array(column: Column, cells: Sequence[Any]) -> np.ndarray:
    """float64[n], NaN where null; texts as object[n]; times as seconds since 1970 UTC."""
    if column.moment:
        return _seconds(column, cells)
    if column.type == "string":
        out = np.empty(len(cells), dtype=object)
        out[:] = cells
        return out
    return np.array(cells, dtype=np.float64)


def _seconds(column: Column, cells: Sequence[str | None]) -> np.ndarray:
    if column.type == "date":
        days = msgspec.convert(cells, _DAYS)
        micros = [None if day is None else (day.toordinal() - _EPOCH_DAY) * 86_400_000_000 for day in days]
    else:
        micros = [None if moment is None else _micros(moment) for moment in msgspec.convert(cells, _MOMENTS)]
    # As the batch: whole microseconds, divided once.
    return np.array(micros, dtype=np.float64) / 1e6


def _micros(moment: datetime) -> int:
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def _colons(body: bytes) -> int:
    if len(body) < 4096:
        return body.count(b":")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord(":")))
