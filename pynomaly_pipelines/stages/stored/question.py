"""What is asked of a stored table -> a filter on its rows, checked against the columns it has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from pynomaly_pipelines.operations.errors import DataError, SchemaError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.scanning import File
from pynomaly_pipelines.spec import RESERVED_PREFIX, SCORE_COLUMNS, PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

SCORE, VERSION, FLAG = "score", "model_version", "is_anomaly"
SOURCE, ROW, SERIES = "_source", "_row", "series"


@dataclass(frozen=True)
class Question:
    """Which rows are meant: those that meet every part of it."""

    partitions: tuple[str, ...] = ()
    """Only these; none named: all."""
    since: datetime | None = None
    """Only rows of this moment or later."""
    until: datetime | None = None
    """Only rows before this moment."""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> values; a row has one of them in each column named."""
    score_from: float | None = None
    """Only rows that scored at least this much."""
    anomalies: bool = False
    """Only anomalies."""
    version: int | None = None
    """Only rows that this model version scored."""
    place: tuple[str, int] | None = None
    """Only rows of this source file and row there."""

    @property
    def digest(self) -> str:
        """The same for the same question, so that a cursor made for one is not used for another."""
        told = [
            sorted(self.partitions),
            str(self.since),
            str(self.until),
            sorted((name, sorted(values)) for name, values in self.where.items()),
            self.score_from,
            self.anomalies,
            self.version,
            self.place,
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]

    def keys(self, spec: PipelineSpec, known: Iterable[str]) -> list[str]:
        """The partitions to look at, in order.

        Raises:
            DataError: one that is named is none of the pipeline's.
        """
        wanted = {Calendar(spec).partition(key).key for key in self.partitions}
        return sorted(key for key in known if not wanted or key in wanted)

    def may_be_in(self, spec: PipelineSpec, file: File) -> bool:
        """Whether a file can hold such rows, by what the table's log says of it."""
        if self.score_from is not None and file.highest(SCORE) < self.score_from:
            return False
        low, high = file.bounds.get(spec.time or "", (None, None))
        if self.since is not None and high is not None and high < self.since:
            return False
        if self.until is not None and low is not None and low >= self.until:
            return False
        first, last = file.bounds.get(VERSION, (None, None))
        return self.version is None or first is None or last is None or first <= self.version <= last

    def expression(self, spec: PipelineSpec, schema: pa.Schema) -> ds.Expression | None:
        """The filter; None for every row.

        Raises:
            SchemaError: it names a column that rows can't be chosen by.
            DataError: a value is not of its column's type, or there is no time to go by.
        """
        parts = [*self._in_time(spec, schema), *(_among(spec, schema, n, v) for n, v in self.where.items())]
        if self.score_from is not None:
            parts.append(ds.field(SCORE) >= self.score_from)
        if self.anomalies:
            parts.append(ds.field(FLAG))
        if self.version is not None:
            parts.append(ds.field(VERSION) == self.version)
        if self.place is not None:
            parts.append((ds.field(SOURCE) == self.place[0]) & (ds.field(ROW) == self.place[1]))
        return reduce(and_, parts) if parts else None

    def _in_time(self, spec: PipelineSpec, schema: pa.Schema) -> list[ds.Expression]:
        if self.since is None and self.until is None:
            return []
        if spec.time is None or spec.time not in schema.names:
            raise DataError(
                f"rows of {spec.name!r} have no time",
                rule="a span of time needs `time`, the column with a row's time",
                fix="leave the span out",
            )
        kind = schema.field(spec.time).type
        borders = [None if moment is None else pa.scalar(moment, kind) for moment in (self.since, self.until)]
        parts = []
        if borders[0] is not None:
            parts.append(ds.field(spec.time) >= borders[0])
        if borders[1] is not None:
            parts.append(ds.field(spec.time) < borders[1])
        return parts


def columns_to_choose_by(schema: pa.Schema) -> list[str]:
    """The data's own columns of a table, such as ids and series."""
    own = [name for name in schema.names if not name.startswith(RESERVED_PREFIX) and name not in SCORE_COLUMNS]
    return [name for name in own if not pa.types.is_nested(schema.field(name).type)]


def _among(spec: PipelineSpec, schema: pa.Schema, name: str, values: Sequence[str]) -> ds.Expression:
    known = columns_to_choose_by(schema)
    if name not in known:
        raise SchemaError(
            f"rows of {spec.name!r} can't be chosen by {name!r}",
            rule=f"they can be by {', '.join(known)}",
            fix="name one of these",
        )
    kind = schema.field(name).type
    return ds.field(name).isin(pa.array([_typed(name, kind, value) for value in values], kind))


def _typed(name: str, kind: pa.DataType, value: str) -> object:
    """The value as the column would hold it."""
    try:
        text = pa.scalar(value, pa.string())
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError("a moment needs its zone, such as Z")
            return pa.scalar(moment, kind).as_py()
        return text.cast(kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(
            f"{value!r} is no value of the column {name!r}: {error}",
            rule=f"the column is of type {kind}",
            fix="write it as that type",
        ) from error
