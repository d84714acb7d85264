"""A source becomes the partitions that can be ingested, and those that wait for it.

With date codes in the path (`sales/%Y-%m-%d.csv`) a file's name says its partitions. Without, they are found by reading
its time column once. What a database or a Delta table holds of one partition counts as one file (`extracts`). All of it
is remembered in the pipeline's table `files`, a log with one row each time a file was looked at (`manifest`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pynomaly_pipelines.operations.errors import SchemaError, SourceUnreadable
from pynomaly_pipelines.partitions import WHOLE, Partition
from pynomaly_pipelines.resources.storage import LandedFile, Replaced
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import FileSource, PipelineSpec
from pynomaly_pipelines.stages.sources import extracts, opening
from pynomaly_pipelines.stages.sources.manifest import FileRecord, Manifest, remember, remembered
from pynomaly_pipelines.stages.sources.paths import dated_files, landed, no_match
from pynomaly_pipelines.stages.sources.placement import partitions_in

_SETTLED_SECONDS = 1.0

Placed = dict[LandedFile, tuple[str, ...]]
"""File -> its partitions."""
Pairs = list[tuple[LandedFile, tuple[str, ...]]]
"""Files, each with all partitions it belongs to."""


@dataclass(frozen=True)
class Found:
    """What there is to read for some partitions."""

    pairs: Pairs
    there: dict[str, LandedFile]
    """All files that lie there now, as far as they can hold rows of these partitions, by path."""


def found(spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, project: Path) -> Found:
    """The files to read for these partitions.

    Raises:
        SourceMissing: the path matches no file at all.
    """
    wanted = {partition.key for partition in partitions}
    if not isinstance(spec.source, FileSource):
        pairs: Pairs = [(file, (key,)) for key, file in extracts.looked_at(spec, lake, project).items()]
    elif spec.source.dated:
        pairs = dated_files(spec, landed(spec, project, partitions) or _some(spec, project))
    else:
        pairs = _located(spec, _some(spec, project), lake, project)
    there = {file.path: file for file, _ in pairs}
    return Found([(file, keys) for file, keys in pairs if wanted & set(keys)], there)


def available(spec: PipelineSpec, lake: Lake, project: Path) -> list[str]:
    """Keys of all partitions that there is something to read for, in order.

    Raises:
        SourceMissing: there is nothing at all.
    """
    spec = spec.events
    if not isinstance(spec.source, FileSource):
        return sorted(extracts.looked_at(spec, lake, project))
    files = _some(spec, project)
    pairs = dated_files(spec, files) if spec.source.dated else _located(spec, files, lake, project)
    return sorted({key for _, keys in pairs for key in keys})


def pending(spec: PipelineSpec, lake: Lake, project: Path) -> dict[str, str]:
    """Partitions with files that are new or changed since they were ingested, each with a digest of its files' state.

    The digest stays the same until a file of the partition changes. A file with the content it had when it was ingested
    has not changed, whatever its time of writing says. Files written to within the last second wait.
    """
    spec = spec.events
    if not isinstance(spec.source, FileSource):
        extracted: Placed = {file: (key,) for key, file in extracts.looked_at(spec, lake, project).items()}
        return _digests(list(extracted), extracted, remembered(spec, lake))
    files = landed(spec, project)
    records = remembered(spec, lake)
    settled_before = time.time_ns() - int(_SETTLED_SECONDS * 1e9)
    settled = [file for file in files if file.mtime_ns <= settled_before]
    records = _with_untouched(spec, lake, settled, records, project)
    if spec.source.dated:
        placed = _placed_by_name(spec, files, records)
    else:
        placed = dict(_located(spec, settled, lake, project, records))
    return _digests(settled, placed, records)


def _digests(settled: Sequence[LandedFile], placed: Placed, records: Manifest) -> dict[str, str]:
    waiting = {key for file in settled for key in _waiting(records, file, placed.get(file, ()))}
    digests = {key: hashlib.sha256() for key in sorted(waiting)}
    for file, keys in placed.items():
        for key in digests.keys() & set(keys):
            digests[key].update(repr((file.stamp, _replaced(records.get(file.path), file))).encode())
    return {key: digest.hexdigest()[:16] for key, digest in digests.items()}


def _replaced(record: FileRecord | None, file: LandedFile) -> tuple[str, int, int, str] | None:
    """What was ingested before under this name, so that a file put back as it once was is news again."""
    if record is None or not record.ingested or record.stamp == file.stamp:
        return None
    return record.stamp


def _waiting(records: Manifest, file: LandedFile, keys: Sequence[str]) -> set[str]:
    """Partitions of a file that were not ingested since it is as it is."""
    record = records.get(file.path)
    if record is None or record.stamp != file.stamp:
        return set(keys)
    if record.status == "duplicate":
        return set() if records.original_of(record) is not None else set(keys)
    return set() if record.status == "unreadable" else set(keys) - set(record.ingested)


def _with_untouched(
    spec: PipelineSpec, lake: Lake, files: Sequence[LandedFile], records: Manifest, project: Path
) -> Manifest:
    """Note files that were written again with the content they had: they need not be ingested again."""
    again = []
    for file in files:
        record = records.get(file.path)
        if record is None or record.stamp == file.stamp or record.size != file.size or not record.ingested:
            continue
        if opening.same_content(spec, file, record, project):
            again.append(replace(record, mtime_ns=file.mtime_ns, version=file.version))
    remember(spec, lake, again)
    return records.with_records(again)


def _placed_by_name(spec: PipelineSpec, files: Sequence[LandedFile], records: Manifest) -> Placed:
    """As `dated_files`, but names that were read before are not read again."""
    known = {file: record.partitions for file in files if (record := records.get(file.path)) is not None}
    return known | dict(dated_files(spec, [file for file in files if file not in known]))


def _some(spec: PipelineSpec, project: Path) -> list[LandedFile]:
    files = landed(spec, project)
    if not files:
        raise no_match(spec, project)
    return files


def _located(
    spec: PipelineSpec, files: Sequence[LandedFile], lake: Lake, project: Path, records: Manifest | None = None
) -> Pairs:
    """Each file with its partitions: as remembered, or found by reading its times, and then remembered."""
    if spec.partition == "whole":
        return [(file, (WHOLE,)) for file in files]
    records = remembered(spec, lake) if records is None else records
    pairs, news = [], []
    for file in files:
        record = records.get(file.path)
        if record is None or record.stamp != file.stamp:
            before = () if record is None else record.partitions
            try:
                record = _looked_at(spec, file, before, project)
            except Replaced:
                continue  # It is looked at when it has come to rest.
            news.append(record)
        pairs.append((file, record.partitions))
    remember(spec, lake, news)
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
