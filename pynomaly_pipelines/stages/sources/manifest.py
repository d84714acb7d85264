"""What was found and read of a source -> the pipeline's table `files`, a log whose latest row of each file counts.

This is what makes ingestion incremental and exact: files are known by name, state and content, and partitions of them
count as ingested only since the file is as it is. Nothing of it is kept in a process's memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec

FILES = "files"
Status = Literal["seen", "read", "unreadable", "duplicate"]

_FILES_SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "size": pa.int64(),
        "mtime_ns": pa.int64(),
        "version": pa.string(),
        "digest": pa.string(),
        "rows": pa.int64(),
        "partitions": pa.list_(pa.field("element", pa.string())),
        "ingested": pa.list_(pa.field("element", pa.string())),
        "status": pa.string(),
        "reason": pa.string(),
        "recorded_ns": pa.int64(),
    }
)


@dataclass(frozen=True)
class FileRecord:
    """What is remembered of a file: as it was when it was last looked at."""

    path: str
    size: int
    mtime_ns: int
    version: str
    digest: str
    rows: int
    partitions: tuple[str, ...]
    """Partitions its rows belong to, or did before it changed."""
    ingested: tuple[str, ...]
    """Those of them that were ingested since the file is as it is."""
    status: Status
    reason: str | None = None

    @property
    def stamp(self) -> tuple[str, int, int, str]:
        """See `LandedFile.stamp`."""
        return (self.path, self.size, self.mtime_ns, self.version)


class Manifest:
    """The latest record of each file."""

    def __init__(self, records: Iterable[FileRecord] = ()) -> None:
        self._records: dict[str, FileRecord] = {}
        for record in records:
            self._records[record.path] = _merged(self._records.get(record.path), record)
        self._by_digest: dict[str, list[FileRecord]] = {}
        for record in self._records.values():
            if record.status == "read" and record.digest:
                self._by_digest.setdefault(record.digest, []).append(record)

    def get(self, path: str) -> FileRecord | None:
        """The record of that file."""
        return self._records.get(path)

    def __getitem__(self, path: str) -> FileRecord:
        return self._records[path]

    def items(self) -> Iterable[tuple[str, FileRecord]]:
        """All records, by path."""
        return self._records.items()

    def with_records(self, more: Sequence[FileRecord]) -> Manifest:
        """The same with later records."""
        return Manifest([*self._records.values(), *more]) if more else self

    def original_of(self, record: FileRecord) -> FileRecord | None:
        """Another file that was read with the same content, in one of the same partitions."""
        return self.twin(record.path, record.digest, record.partitions)

    def twin(self, path: str, digest: str, partitions: Sequence[str]) -> FileRecord | None:
        """Another file than `path` that was read with this content, in one of these partitions."""
        others = self._by_digest.get(digest, ()) if digest else ()
        return next((r for r in others if r.path != path and set(r.partitions) & set(partitions)), None)


def _merged(before: FileRecord | None, record: FileRecord) -> FileRecord:
    """Runs that each ingested some partitions of a file add up, as long as it is the same file."""
    if before is None or before.stamp != record.stamp or before.status != record.status:
        return record
    return replace(record, ingested=tuple(dict.fromkeys((*before.ingested, *record.ingested))))


def remembered(spec: PipelineSpec, lake: Lake) -> Manifest:
    """The latest record of each file."""
    if not lake.exists(spec.name, FILES):
        return Manifest()
    rows = lake.read(spec.name, FILES).sort_by("recorded_ns").to_pylist()
    return Manifest(_record(row) for row in rows)


def _record(row: dict[str, Any]) -> FileRecord:
    row.pop("recorded_ns")
    row["partitions"], row["ingested"] = tuple(row["partitions"]), tuple(row["ingested"])
    # Logs of earlier releases have no versions.
    row["version"] = row.get("version") or ""
    return FileRecord(**row)


def remember(spec: PipelineSpec, lake: Lake, records: Sequence[FileRecord]) -> None:
    """Append these records to the log."""
    if not records:
        return
    now = time.time_ns()
    rows = [{**vars(record), "recorded_ns": now} for record in records]
    lake.append(spec.name, FILES, pa.Table.from_pylist(rows, schema=_FILES_SCHEMA))
