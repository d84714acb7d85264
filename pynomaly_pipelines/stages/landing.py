"""Source files become the partitions that can be ingested, and those that wait for it.

With date codes in the path (`sales/%Y-%m-%d.csv`) a file's name says its partitions. Without, they are found by reading
its time column once, and remembered in the pipeline's table `files`, a log with one row each time a file was looked at.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa

from pynomaly_pipelines.operations.errors import SchemaError, SourceUnreadable
from pynomaly_pipelines.partitions import WHOLE, Partition
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.paths import LandedFile, dated_files, landed, no_match
from pynomaly_pipelines.stages.placement import partitions_in

FILES = "files"
Status = Literal["seen", "read", "unreadable"]

_SETTLED_SECONDS = 1.0
_FILES_SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "size": pa.int64(),
        "mtime_ns": pa.int64(),
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
    digest: str
    rows: int
    partitions: tuple[str, ...]
    """Partitions its rows belong to, or did before it changed."""
    ingested: tuple[str, ...]
    """Those of them that were ingested since the file is as it is."""
    status: Status
    reason: str | None = None

    @property
    def stamp(self) -> tuple[str, int, int]:
        """See `LandedFile.stamp`."""
        return (self.path, self.size, self.mtime_ns)


# ------------------------------------------------------------------------------------------------- the log


def remembered(spec: PipelineSpec, lake: Lake) -> dict[str, FileRecord]:
    """The latest record of each file."""
    if not lake.exists(spec.name, FILES):
        return {}
    rows = lake.read(spec.name, FILES).sort_by("recorded_ns").to_pylist()
    records: dict[str, FileRecord] = {}
    for row in rows:
        row.pop("recorded_ns")
        record = FileRecord(**{**row, "partitions": tuple(row["partitions"]), "ingested": tuple(row["ingested"])})
        records[record.path] = _merged(records.get(record.path), record)
    return records


def _merged(before: FileRecord | None, record: FileRecord) -> FileRecord:
    """Runs that each ingested some partitions of a file add up, as long as it is the same file."""
    if before is None or before.stamp != record.stamp:
        return record
    return replace(record, ingested=tuple(dict.fromkeys((*before.ingested, *record.ingested))))


def remember(spec: PipelineSpec, lake: Lake, records: Sequence[FileRecord]) -> None:
    """Append these records to the log."""
    if not records:
        return
    now = time.time_ns()
    rows = [{**vars(record), "recorded_ns": now} for record in records]
    lake.append(spec.name, FILES, pa.Table.from_pylist(rows, schema=_FILES_SCHEMA))


# ------------------------------------------------------------------------------------------------- questions


def files_of(
    spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, project: Path
) -> list[tuple[LandedFile, tuple[str, ...]]]:
    """The files to read for these partitions, each with all partitions it belongs to.

    Raises:
        SourceMissing: the path matches no file at all.
    """
    files = _some(spec, project)
    wanted = {partition.key for partition in partitions}
    pairs = dated_files(spec, files) if spec.source.dated else _located(spec, files, lake, project)
    return [(file, keys) for file, keys in pairs if wanted & set(keys)]


def available(spec: PipelineSpec, lake: Lake, project: Path) -> list[str]:
    """Keys of all partitions that files were found for, in order.

    Raises:
        SourceMissing: the path matches no file at all.
    """
    files = _some(spec, project)
    pairs = dated_files(spec, files) if spec.source.dated else _located(spec, files, lake, project)
    return sorted({key for _, keys in pairs for key in keys})


def pending(spec: PipelineSpec, lake: Lake, project: Path) -> dict[str, str]:
    """Partitions with files that are new or changed since they were ingested, each with a digest of its files' state.

    The digest stays the same until a file of the partition changes. Files written to within the last second wait.
    """
    files = landed(spec, project)
    records = remembered(spec, lake)
    settled_before = time.time_ns() - int(_SETTLED_SECONDS * 1e9)
    settled = [file for file in files if file.mtime_ns <= settled_before]
    if spec.source.dated:
        placed = _placed_by_name(spec, files, records)
    else:
        placed = dict(_located(spec, settled, lake, project, records))
    waiting = {key for file in settled for key in _waiting(records.get(file.path), file, placed.get(file, ()))}
    digests = {key: hashlib.sha256() for key in sorted(waiting)}
    for file, keys in placed.items():
        for key in digests.keys() & set(keys):
            digests[key].update(repr((file.stamp, _replaced(records.get(file.path), file))).encode())
    return {key: digest.hexdigest()[:16] for key, digest in digests.items()}


def _replaced(record: FileRecord | None, file: LandedFile) -> tuple[str, int, int] | None:
    """What was ingested before under this name, so that a file put back as it once was is news again."""
    if record is None or not record.ingested or record.stamp == file.stamp:
        return None
    return record.stamp


def _placed_by_name(
    spec: PipelineSpec, files: Sequence[LandedFile], records: dict[str, FileRecord]
) -> dict[LandedFile, tuple[str, ...]]:
    """As `dated_files`, but names that were read before are not read again."""
    known = {file: records[file.path].partitions for file in files if file.path in records}
    return known | dict(dated_files(spec, [file for file in files if file not in known]))


def _some(spec: PipelineSpec, project: Path) -> list[LandedFile]:
    files = landed(spec, project)
    if not files:
        raise no_match(spec, project)
    return files


def _waiting(record: FileRecord | None, file: LandedFile, keys: Sequence[str]) -> set[str]:
    """Partitions of a file that were not ingested since it is as it is."""
    if record is None or record.stamp != file.stamp:
        return set(keys)
    return set() if record.status == "unreadable" else set(keys) - set(record.ingested)


def _located(
    spec: PipelineSpec,
    files: Sequence[LandedFile],
    lake: Lake,
    project: Path,
    records: dict[str, FileRecord] | None = None,
) -> list[tuple[LandedFile, tuple[str, ...]]]:
    """Each file with its partitions: as remembered, or found by reading its times, and then remembered."""
    if spec.partition == "whole":
        return [(file, (WHOLE,)) for file in files]
    records = remembered(spec, lake) if records is None else records
    pairs, found = [], []
    for file in files:
        record = records.get(file.path)
        if record is None or record.stamp != file.stamp:
            before = () if record is None else record.partitions
            record = _looked_at(spec, file, before, project)
            found.append(record)
        pairs.append((file, record.partitions))
    remember(spec, lake, found)
    return pairs


def _looked_at(spec: PipelineSpec, file: LandedFile, before: tuple[str, ...], project: Path) -> FileRecord:
    """Read the times of a file once; the partitions it had before it changed are still its own, to be emptied."""
    try:
        keys, rows = partitions_in(spec, file, project)
    except (SourceUnreadable, SchemaError) as error:
        return FileRecord(*file.stamp, "", 0, before, (), "unreadable", str(error))
    if not keys:
        reason = f"no row of {file.path} has a time that is a time of pipeline {spec.name!r}, from {spec.start} on"
        return FileRecord(*file.stamp, "", rows, before, (), "unreadable", reason)
    keys = tuple(sorted({*before, *keys}))
    return FileRecord(*file.stamp, "", rows, keys, (), "seen")
