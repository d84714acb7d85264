"""A table or query, with a watermark that grows with every change -> which partitions have new rows, and their rows.

A look asks for the latest watermark and how many rows lie near it; only if that differs from the last look, for the
times of the rows from the last watermark on, less an overlap for transactions that commit late. The partitions of these
rows are counted; the ones whose count or latest watermark differs wait for ingestion. A row that moved to another
partition is found in the old one by its key. Rows that were deleted are not noticed: they have no watermark any more.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from pynomaly_pipelines.operations.errors import SchemaError
from pynomaly_pipelines.partitions import WHOLE, Calendar, Partition
from pynomaly_pipelines.resources.database import Rows
from pynomaly_pipelines.resources.storage import LandedFile
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import PipelineSpec, SqlSource
from pynomaly_pipelines.stages.sources.arrow_rows import texts_of
from pynomaly_pipelines.stages.sources.manifest import FileRecord
from pynomaly_pipelines.stages.sources.reading import piece_bytes
from pynomaly_pipelines.stages.sources.rows import Reading
from pynomaly_pipelines.stages.sources.tallies import Counter, Keys, Seen, Tally

_FEW = 31
"""Up to so many partitions are counted one by one, more in one go over all times between."""
_RAW = "raw"


def look(spec: PipelineSpec, source: SqlSource, cursor: FileRecord | None, lake: Lake) -> Seen:
    """Partitions with rows that are new or changed since the cursor.

    Raises:
        SourceError: the database can't be reached, or has no such table.
        SchemaError: it has no such column, or its time column holds no times.
    """
    with Rows(source) as rows:
        question = _Question(spec, source, rows)
        since = None if cursor is None or not cursor.version else _before(_parsed(cursor.version), source)
        mark, tail = question.latest(since)
        if cursor is not None and (_written(mark), tail) == (cursor.version, cursor.size):
            return Seen({}, cursor.version, cursor.size)
        if spec.partition == "whole":
            count, latest = question.whole()
            return Seen({WHOLE: Tally(count, _written(latest))}, _written(mark), tail)
        touched = None
        if since is not None:
            touched = question.touched(since) | question.moved(since, lake)
        tallies = question.tallies(touched)
        # Told from the watermark just found, so that the next look compares like with like.
        tail = question.latest(None if mark is None else _before(mark, source))[1]
    return Seen(tallies, _written(mark), tail)


def tables_of(
    spec: PipelineSpec, source: SqlSource, key: str, size: int, opened: Reading
) -> Generator[pa.Table, None, None]:
    """The rows of a partition; sets `opened.file` to what was read."""
    with Rows(source) as rows:
        question = _Question(spec, source, rows)
        names = question.wanted_columns()
        window = [] if key == WHOLE else question.window([Calendar(spec).partition(key)])
        mark = question.mark_name
        extra = [mark] if mark is not None and mark not in names else []
        wanted = [rows.column(name) for name in (*names, *extra)]
        count, latest = 0, None
        yield pa.table({name: pa.nulls(0) for name in names})
        order = [rows.column(spec.time)] if spec.time else []
        keys = Keys(spec)
        for piece in rows.stream(wanted, where=window, order_by=order, piece_bytes=size):
            table = piece
            if key != WHOLE:
                table = table.filter(pa.array(keys.of(table[spec.time]) == key))
            count += table.num_rows
            latest = _later(latest, table[mark] if mark is not None else None)
            if table.num_rows:
                yield table.select(names)
    opened.file = LandedFile(opened.file.path, count, 0, _written(latest))


class _Question:
    """What is asked of one source."""

    def __init__(self, spec: PipelineSpec, source: SqlSource, rows: Rows) -> None:
        self._spec, self._rows = spec, rows
        self._keys = Keys(spec)
        self._bytes = piece_bytes(source.memory_mb)
        self.mark_name = source.watermark or spec.time
        self._there = rows.names()
        # Not left to the database: SQLite takes the quoted name of a column it does not have for a text.
        self._refuse_missing([name for name in (spec.time, self.mark_name, *spec.key) if name is not None])
        self._mark: Any = sa.null() if self.mark_name is None else rows.column(self.mark_name)
        self._time: Any = None if spec.time is None else rows.column(spec.time)
        self._form: Any = None

    def wanted_columns(self) -> list[str]:
        """The columns to read: those the spec names if it lists what to learn from, else all but the watermark."""
        spec, there = self._spec, self._there
        if spec.features or spec.values:
            from pynomaly_pipelines.stages.contract.columns import named_columns

            wanted = list(dict.fromkeys((*named_columns(spec), *spec.ignore, *spec.columns)))
            self._refuse_missing(wanted)
            return wanted
        named = {*([spec.time] if spec.time else []), *spec.key, *spec.columns, *spec.ignore}
        return [name for name in there if name != self.mark_name or name in named]

    def _refuse_missing(self, names: Sequence[str]) -> None:
        missing = [name for name in names if name not in self._there]
        if missing:
            raise SchemaError(
                f"{self._spec.source.place} has no column {', '.join(map(repr, missing))}",
                rule=f"the pipeline names it; its columns are {', '.join(map(repr, self._there))}",
                fix="correct the name in defs.yaml, or add the column to the table or query",
            )

    def latest(self, since: Any) -> tuple[Any, int]:
        """The latest watermark, and how many rows there are from `since` on."""
        where = [] if since is None else [self._mark >= since]
        latest, count = self._rows.one(sa.func.max(self._mark), sa.func.count(), where=where)
        if latest is None and since is not None:
            latest, _ = self._rows.one(sa.func.max(self._mark), sa.func.count())
        return latest, int(count or 0)

    def whole(self) -> tuple[int, Any]:
        """Number of all rows, and their latest watermark."""
        count, latest = self._rows.one(sa.func.count(), sa.func.max(self._mark))
        return int(count), latest

    def touched(self, since: Any) -> set[str]:
        """Partitions of the rows that changed from `since` on."""
        found: set[str] = set()
        where = [self._mark >= since, self._time.is_not(None)]
        for table in self._rows.stream([self._time], where=where, group_by=[self._time], piece_bytes=self._bytes):
            found.update(key for key in self._keys.of(table.column(0)) if key is not None)
        return found

    def moved(self, since: Any, lake: Lake) -> set[str]:
        """Partitions in which rows that changed from `since` on have been until now."""
        spec = self._spec
        if not spec.key or spec.time in spec.key or not lake.exists(spec.name, _RAW):
            return set()
        found: set[str] = set()
        wanted = [self._rows.column(name) for name in spec.key]
        for table in self._rows.stream(wanted, where=[self._mark >= since], piece_bytes=self._bytes):
            changed = _joined(table, list(spec.key))
            partitions = list(lake.counts(spec.name, _RAW))
            for kept in lake.stream(spec.name, _RAW, partitions=partitions, columns=[*spec.key, PARTITION]):
                there = pc.is_in(_joined(kept, list(spec.key)), value_set=changed)
                found.update(pc.unique(kept[PARTITION].filter(there)).to_pylist())
        return found

    def tallies(self, keys: set[str] | None) -> dict[str, Tally]:
        """Rows and latest watermark of these partitions, or of all."""
        counter = Counter()
        for stretch in self._stretches(keys):
            wanted = [self._time, sa.func.count(), sa.func.max(self._mark)]
            where = [self._time.is_not(None), *(self.window(stretch) if stretch else [])]
            for table in self._rows.stream(wanted, where=where, group_by=[self._time], piece_bytes=self._bytes):
                found = self._keys.of(table.column(0))
                if stretch:
                    within = {partition.key for partition in stretch}
                    found = np.array([key if key in within else None for key in found], dtype=object)
                counter.add(found, table.column(1).to_numpy(), table.column(2).to_pylist())
        chosen = counter.counts if keys is None else dict.fromkeys(keys, 0) | _only(counter.counts, keys)
        return {key: Tally(rows, _written(counter.latest.get(key))) for key, rows in chosen.items()}

    def _stretches(self, keys: set[str] | None) -> list[list[Partition]]:
        if keys is None:
            return [[]]
        calendar = Calendar(self._spec)
        parts = [calendar.partition(key) for key in sorted(keys)]
        return [[part] for part in parts] if len(parts) <= _FEW else [list(calendar.range(parts[0].key, parts[-1].key))]

    def window(self, partitions: Sequence[Partition]) -> list[Any]:
        """Conditions that all rows of these partitions meet, and as few others as can be."""
        start, end = partitions[0].start, partitions[-1].end
        assert start is not None
        assert end is not None
        first, last = self._border(start, -1), self._border(end, 1)
        return [self._time >= first, self._time <= last]

    def _border(self, moment: datetime, side: int) -> Any:
        """A moment as the time column would have it; where that is not sure, a bit before (-1) or after (1)."""
        if self._form is None:
            (self._form,) = self._rows.one(self._time, where=[self._time.is_not(None)])
        local = moment.astimezone(Calendar(self._spec).zone if self._spec.partition != "hourly" else _zone(self._spec))
        if isinstance(self._form, datetime):
            if self._form.tzinfo is not None:
                return moment
            # An hour of room: local times of a clock change stand for two moments.
            return local.replace(tzinfo=None) + side * timedelta(hours=1)
        if isinstance(self._form, date):
            return local.date() + timedelta(days=side)
        if isinstance(self._form, str) or self._form is None:
            # Two days of room: texts may hold an offset, and compare as texts.
            return (local.date() + 2 * side * timedelta(days=1)).isoformat()
        raise SchemaError(
            f"the time column {self._spec.time!r} of {self._spec.source.place} holds {type(self._form).__name__}",
            rule="it holds times, dates, or texts in ISO 8601 form",
            fix="use a `query` (or a view) that turns it into a timestamp",
        )


def _zone(spec: PipelineSpec) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(spec.timezone)


def _only(counts: dict[str, int], keys: set[str]) -> dict[str, int]:
    return {key: count for key, count in counts.items() if key in keys}


def _joined(table: pa.Table, names: list[str]) -> pa.ChunkedArray:
    """Key columns as one text."""
    texts = [pc.fill_null(texts_of(table[name].combine_chunks()), "") for name in names]
    return pc.binary_join_element_wise(*texts, "\x1f") if len(texts) > 1 else texts[0]


# -------------------------------------------------------------------------------------------------- watermarks


def _later(before: Any, column: pa.ChunkedArray | None) -> Any:
    if column is None or column.null_count == len(column):
        return before
    found = pc.max(column).as_py()
    return found if before is None or found > before else before


def _before(mark: Any, source: SqlSource) -> Any:
    """Where the next look begins."""
    return mark - timedelta(seconds=source.overlap_seconds) if isinstance(mark, datetime) else mark


def _written(mark: Any) -> str:
    """A watermark as text that keeps its type; empty for none."""
    if mark is None:
        return ""
    if isinstance(mark, datetime):
        # The offset is the connection's; the moment counts.
        moment = mark if mark.tzinfo is None else mark.astimezone(UTC)
        return json.dumps({"time": moment.isoformat()})
    if isinstance(mark, date):
        return json.dumps({"date": mark.isoformat()})
    if isinstance(mark, Decimal | int) and not isinstance(mark, bool):
        return json.dumps({"number": str(mark)})
    return json.dumps({"text": str(mark)})


def _parsed(text: str) -> Any:
    ((kind, value),) = json.loads(text).items()
    if kind == "time":
        return datetime.fromisoformat(value)
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "number":
        return int(value) if value.lstrip("-").isdigit() else Decimal(value)
    return value
