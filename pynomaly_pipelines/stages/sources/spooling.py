"""Rows as they are read -> rows by partition: in memory while they are few, else in temporary files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.resources.tables import PARTITION


class Spool:
    """Keeps the rows of one ingestion; beyond `budget` bytes they go to disk. Close it when they are written."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._tables: list[pa.Table] = []
        self._bytes = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: dict[str | None, list[Path]] = {}
        self._count = 0

    def add(self, rows: pa.Table) -> None:
        """Keep these rows; `_partition` may be null."""
        self._tables.append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self._budget:
            self._flush()

    def of(self, partition: str | None) -> Iterator[pa.Table]:
        """The rows of a partition in the order they came, a table at a time."""
        for path in self._files.get(partition, ()):
            with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
                yield reader.read_all()
        for table in self._tables:
            yield table.filter(_within(table, partition))

    def close(self) -> None:
        """Forget all rows."""
        self._tables = []
        if self._folder is not None:
            self._folder.cleanup()

    def _flush(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="pynomaly-")
        for table in self._tables:
            for key in pc.unique(table[PARTITION]).to_pylist():
                path = Path(self._folder.name, f"{self._count}.arrow")
                self._count += 1
                _write(table.filter(_within(table, key)), path)
                self._files.setdefault(key, []).append(path)
        self._tables, self._bytes = [], 0


def _within(table: pa.Table, partition: str | None) -> pa.ChunkedArray:
    if partition is None:
        return pc.is_null(table[PARTITION])
    return pc.equal(table[PARTITION], partition)


def _write(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
