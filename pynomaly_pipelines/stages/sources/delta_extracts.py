"""A Delta table, whose every commit has a number -> which partitions have new rows, and their rows.

A look compares the table's version with the last one seen. Compactions and vacuums change no rows. Of other commits
the changed rows are known where the table keeps a change data feed; elsewhere from the files that commits added and
removed, whose times are read. That may name a partition too many (a file that was rewritten holds rows that stayed as
they were), never one too few.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import PynomalyError, SchemaError, SourceMissing
from pynomaly_pipelines.partitions import WHOLE, Calendar
from pynomaly_pipelines.resources import object_storage
from pynomaly_pipelines.resources.storage import LandedFile
from pynomaly_pipelines.spec import DeltaSource, PipelineSpec
from pynomaly_pipelines.stages.sources.manifest import FileRecord
from pynomaly_pipelines.stages.sources.reading import piece_bytes
from pynomaly_pipelines.stages.sources.rows import Reading
from pynomaly_pipelines.stages.sources.tallies import Counter, Keys, Seen, Tally

_NO_CHANGE = frozenset({"OPTIMIZE", "VACUUM START", "VACUUM END", "FSCK", "SET TBLPROPERTIES", "ADD COLUMN"})
_MOST_ROWS = 65_536


def look(spec: PipelineSpec, source: DeltaSource, cursor: FileRecord | None, project: Path) -> Seen:
    """Partitions with rows that are new or changed since the version that the cursor names.

    Raises:
        SourceMissing: there is no such table.
        SourceError: it can't be reached.
        SchemaError: it has no such time column.
    """
    table = _Table(spec, source, project)
    latest = table.version
    if cursor is not None and cursor.version == str(latest):
        return Seen({}, cursor.version)
    if spec.partition == "whole":
        return Seen({WHOLE: Tally(table.rows(), str(latest))}, str(latest))
    touched = None if cursor is None else table.touched(int(cursor.version))
    if touched is not None and not touched:
        return Seen({}, str(latest))
    counts = table.counts(touched)
    chosen = counts if touched is None else {key: counts.get(key, 0) for key in touched}
    tallies = {key: Tally(rows, str(latest)) for key, rows in chosen.items()}
    return Seen(tallies, str(latest), complete=touched is None)


def refuse_unreadable(spec: PipelineSpec, source: DeltaSource, project: Path) -> None:
    """Look whether the table is there, and has the time column; raises as `look` does."""
    _Table(spec, source, project)


def tables_of(
    spec: PipelineSpec, source: DeltaSource, key: str, project: Path, size: int, opened: Reading
) -> Generator[pa.Table, None, None]:
    """The rows of a partition, all of one version of the table."""
    table = _Table(spec, source, project, opened.file.version)
    count = 0
    yield table.schema.empty_table()
    for piece in table.stream(key, size):
        count += piece.num_rows
        yield piece
    opened.file = LandedFile(opened.file.path, count, 0, opened.file.version or str(table.version))


class _Table:
    """One version of a Delta table."""

    def __init__(self, spec: PipelineSpec, source: DeltaSource, project: Path, version: str = "") -> None:
        self._spec, self._source = spec, source
        self._keys = Keys(spec)
        self._url = source.path if "://" in source.path else str(project / source.path)
        self._options = object_storage.delta_options(source.path, source.storage)
        self._table = self._at(int(version) if version else None)
        self.version = int(self._table.version())
        self.schema = pa.schema(self._table.schema().to_arrow())
        if spec.time is not None and spec.time not in self.schema.names:
            raise SchemaError(
                f"the Delta table {source.path} has no column {spec.time!r}",
                rule=f"the pipeline names it as `time`; its columns are {', '.join(map(repr, self.schema.names))}",
                fix="correct `time` in defs.yaml",
            )

    def _at(self, version: int | None) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return DeltaTable(self._url, version=version, storage_options=self._options or None)
        except TableNotFoundError as error:
            raise SourceMissing(
                f"there is no Delta table at {self._source.path}",
                rule=f"pipeline {self._spec.name!r} reads its rows from there",
                fix="correct `source: {path: …}`, which names the folder that holds `_delta_log`",
            ) from error
        except (DeltaError, OSError) as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> PynomalyError:
        return object_storage.as_source_error(self._source.path, str(error))

    def rows(self) -> int:
        """Number of rows."""
        return int(self._table.count())

    def touched(self, before: int) -> set[str] | None:
        """Partitions of rows that came, changed or went after version `before`; None if that can't be told any more."""
        from deltalake.exceptions import DeltaError

        commits = [c for c in self._table.history() if int(c.get("version", 0)) > before]
        if len(commits) < self.version - before:
            return None
        if all(commit.get("operation") in _NO_CHANGE for commit in commits):
            return set()
        try:
            if self._table.metadata().configuration.get("delta.enableChangeDataFeed") == "true":
                return self._from_change_data(before)
            return self._from_files(before)
        except (DeltaError, OSError, pa.ArrowException):
            # The old version, or its files, were vacuumed away.
            return None

    def _from_change_data(self, before: int) -> set[str]:
        reader = self._table.load_cdf(
            starting_version=before + 1, ending_version=self.version, columns=[self._spec.time]
        )
        return self._keys_of(pa.RecordBatchReader.from_stream(reader))

    def _from_files(self, before: int) -> set[str]:
        old = self._at(before)
        had, has = _paths(old), _paths(self._table)
        return self._times_in(old, had - has) | self._times_in(self._table, has - had)

    def _times_in(self, table: Any, paths: set[str]) -> set[str]:
        """Partitions of the rows in these files."""
        found: set[str] = set()
        dataset = table.to_pyarrow_dataset()
        for fragment in dataset.get_fragments():
            if _plain(fragment.path) in paths:
                scanner = fragment.scanner(schema=dataset.schema, **self._scanning([self._spec.time or ""]))
                found |= self._keys_of(scanner.to_batches())
        return found

    def _keys_of(self, batches: Any) -> set[str]:
        found: set[str] = set()
        for batch in batches:
            found.update(key for key in self._keys.of(batch.column(self._spec.time)) if key is not None)
        return found

    def counts(self, keys: set[str] | None) -> dict[str, int]:
        """Rows of these partitions, or of all."""
        counter = Counter()
        window = None
        if keys:
            calendar = Calendar(self._spec)
            parts = [calendar.partition(key) for key in sorted(keys)]
            window = self._window(parts[0].start, parts[-1].end)
        for batch in self._scanner([self._spec.time or ""], window).to_batches():
            found = [key for key in self._keys.of(batch.column(0)) if key is not None]
            names, sizes = np.unique(np.array(found, dtype=object), return_counts=True)
            counter.add(names, sizes, [None] * len(sizes))
        return counter.counts if keys is None else {k: n for k, n in counter.counts.items() if k in keys}

    def stream(self, key: str, size: int) -> Iterator[pa.Table]:
        """The rows of a partition, a piece at a time."""
        window = None
        if key != WHOLE:
            partition = Calendar(self._spec).partition(key)
            window = self._window(partition.start, partition.end)
        names = self.schema.names
        for batch in self._scanner(names, window, size).to_batches():
            rows = pa.Table.from_batches([batch])
            if key != WHOLE:
                rows = rows.filter(pa.array(self._keys.of(rows[self._spec.time]) == key))
            if rows.num_rows:
                yield rows

    def _window(self, start: Any, end: Any) -> Any:
        """A condition that all rows of this span meet; none where the column's type does not allow one."""
        kind = self.schema.field(self._spec.time).type
        column = pc.field(self._spec.time)
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            return (column >= pa.scalar(start, kind)) & (column < pa.scalar(end, kind))
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            from datetime import timedelta

            # A day of room on either side, for time zones.
            first, last = ((border.replace(tzinfo=None) + timedelta(days=d)) for border, d in ((start, -1), (end, 1)))
            bounds = [border.date() if pa.types.is_date(kind) else border for border in (first, last)]
            return (column >= pa.scalar(bounds[0], kind)) & (column <= pa.scalar(bounds[1], kind))
        return None

    def _scanner(self, names: list[str], window: Any, size: int | None = None) -> Any:
        try:
            return self._table.to_pyarrow_dataset().scanner(filter=window, **self._scanning(names, size))
        except (OSError, pa.ArrowException) as error:
            raise self._told(error) from error

    def _scanning(self, names: list[str], size: int | None = None) -> dict[str, Any]:
        size = piece_bytes(self._source.memory_mb) if size is None else size
        rows = max(256, min(_MOST_ROWS, size // (16 * max(1, len(names)))))
        return {
            "columns": names, "batch_size": rows, "batch_readahead": 1, "fragment_readahead": 1, "use_threads": False,
        }  # fmt: skip


def _paths(table: Any) -> set[str]:
    return {_plain(path) for path in pa.table(table.get_add_actions())["path"].to_pylist()}


def _plain(path: str) -> str:
    return urllib.parse.unquote(path)
