"""Source files become rows of the table `raw`: typed, placed in their partition, and none of them lost.

A row that does not fit is kept with `_rejected`, all the reasons, and `_text`, the row as it came. A file that can't be
read is set aside and reported; the other files go on. A partition is replaced whole, so the same files ingested twice
leave the same rows once. Rows of files that have since been moved away stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import DataError, SchemaError, SourceError, SourceMissing, SourceUnreadable
from pynomaly_pipelines.partitions import WHOLE, Partition
from pynomaly_pipelines.resources.tables import PARTITION, Commit, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import landing
from pynomaly_pipelines.stages.columns import (
    OWN_COLUMNS,
    RAW,
    SAMPLE_BYTES,
    SOURCE,
    column_types,
    refuse_missing,
    sampled_types,
    spread,
)
from pynomaly_pipelines.stages.landing import FileRecord
from pynomaly_pipelines.stages.paths import LandedFile, landed, no_match
from pynomaly_pipelines.stages.placement import FILE, placed
from pynomaly_pipelines.stages.reading import REJECTED, ROW, TEXT, FileRows, Types, read_file


@dataclass(frozen=True)
class FileReport:
    """What became of one file."""

    path: str
    status: landing.Status
    rows: int
    reason: str | None = None
    missing: tuple[str, ...] = ()
    """Columns of the table that the file does not have; they are null."""
    new: tuple[str, ...] = ()
    """Columns that were not in the table before."""


@dataclass(frozen=True)
class PartitionFailure:
    """A partition that could not be ingested; what was in the table before is still there."""

    partition: str
    error: SourceError | DataError


@dataclass(frozen=True)
class PartitionCounts:
    """Rows of one partition in `raw`."""

    rows: int
    rejected: int


@dataclass(frozen=True)
class IngestReport:
    """What an ingestion did."""

    rows: int
    rejected: int
    partitions: Mapping[str, PartitionCounts]
    files: tuple[FileReport, ...]
    schema: pa.Schema
    """The user's columns with their types."""
    commit: Commit
    failures: tuple[PartitionFailure, ...] = ()
    kept: int = 0
    """Rows kept from files that were ingested earlier and are no longer there."""


def ingest(spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, project: Path) -> IngestReport:
    """Read the files of these partitions and replace the partitions in `raw`, in one commit.

    Raises:
        SourceMissing: none of the partitions has a file.
        SourceUnreadable: of none of the partitions a file can be read.
        SchemaError: no file has the columns that the spec names.
    """
    pairs = landing.files_of(spec, partitions, lake, project)
    types = column_types(spec, lake, project)
    batch = _Batch.read(spec, pairs, types, project)
    rows = batch.placed(spec, types) if batch.files else None
    wanted = [partition.key for partition in partitions]
    failures = _failures(spec, wanted, pairs, batch, project)
    landing.remember(spec, lake, batch.failed)
    done = [key for key in wanted if key not in {failure.partition for failure in failures}]
    if rows is None or not done:
        raise failures[0].error
    kept = _rows_of_gone_files(spec, done, lake, project)
    chosen = rows.filter(pc.is_in(rows[PARTITION], value_set=pa.array(done)))
    chosen = _with_texts(chosen, batch)
    whole = pa.concat_tables([chosen, kept], promote_options="default") if kept is not None else chosen
    commit = lake.replace(spec.name, RAW, done, whole)
    landing.remember(spec, lake, _read_records(batch, done))
    return _report(whole, done, batch, commit, tuple(failures), 0 if kept is None else kept.num_rows)


def sample(spec: PipelineSpec, project: Path) -> pa.Table:
    """Rows of up to twenty files as `raw` would have them, less their texts; of long files only the beginning.

    Raises:
        SourceMissing: no file matches.
        SourceUnreadable: none of the files can be read.
    """
    files = spread(spec, project)
    if not files:
        raise no_match(spec, project)
    types = sampled_types(spec, {}, project)
    batch = _Batch()
    for file in files:
        batch.add(spec, file, (WHOLE,), types, project, most=SAMPLE_BYTES)
    if not batch.files:
        raise next(iter(batch.errors.values()))
    return batch.placed(spec, types).drop_columns([FILE])


# ----------------------------------------------------------------------------------------------------- files


@dataclass
class _Batch:
    """The files of one ingestion: what was read, and what was wrong with the rest."""

    pairs: list[tuple[LandedFile, tuple[str, ...]]] = field(default_factory=list)
    files: list[FileRows] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    reports: list[FileReport] = field(default_factory=list)
    errors: dict[str, SourceUnreadable | SchemaError] = field(default_factory=dict)
    failed: list[FileRecord] = field(default_factory=list)

    @classmethod
    def read(
        cls, spec: PipelineSpec, pairs: Sequence[tuple[LandedFile, tuple[str, ...]]], types: Types, project: Path
    ) -> _Batch:
        batch = cls()
        for file, keys in pairs:
            batch.add(spec, file, keys, types, project)
        return batch

    def add(
        self,
        spec: PipelineSpec,
        file: LandedFile,
        keys: tuple[str, ...],
        types: Types,
        project: Path,
        *,
        most: int | None = None,
    ) -> None:
        """Read one file, or note why it can't be read."""
        try:
            rows, digest = read_file(spec, file, types, project, most=most)
            refuse_missing(spec, rows.table, file)
        except (SourceUnreadable, SchemaError) as error:
            self.errors[file.path] = error
            self.reports.append(FileReport(file.path, "unreadable", 0, str(error)))
            self.failed.append(FileRecord(*file.stamp, "", 0, keys, (), "unreadable", str(error)))
            return
        names = [name for name in rows.table.column_names if name not in OWN_COLUMNS]
        self.pairs.append((file, keys))
        self.files.append(rows)
        self.digests.append(digest)
        missing = tuple(sorted(set(types) - set(names)))
        new = tuple(name for name in names if name not in types)
        self.reports.append(FileReport(file.path, "read", rows.table.num_rows, None, missing, new))

    def placed(self, spec: PipelineSpec, types: Types) -> pa.Table:
        """All rows that were read, each in its partition."""
        return placed(spec, self.pairs, [rows.table for rows in self.files], types)


def _with_texts(rows: pa.Table, batch: _Batch) -> pa.Table:
    """Add `_text`: the row as it came, for rejected rows."""
    texts: list[str | None] = [None] * rows.num_rows
    rejected = np.flatnonzero(pc.is_valid(rows[REJECTED]).to_numpy())
    file_of, numbers = rows[FILE].to_numpy()[rejected], rows[ROW].to_numpy()[rejected]
    for index in np.unique(file_of).tolist():
        of_file = file_of == index
        found = batch.files[index].texts(numbers[of_file].tolist())
        for position, text in zip(rejected[of_file].tolist(), found, strict=True):
            texts[position] = text
    return rows.drop_columns([FILE]).append_column(TEXT, pa.array(texts, pa.string()))


# --------------------------------------------------------------------------------------------------- outcome


def _failures(
    spec: PipelineSpec,
    wanted: Sequence[str],
    pairs: Sequence[tuple[LandedFile, tuple[str, ...]]],
    batch: _Batch,
    project: Path,
) -> list[PartitionFailure]:
    """Partitions without a file, or with none that can be read."""
    readable = {key for _, keys in batch.pairs for key in keys}
    failures = []
    for key in wanted:
        if key in readable:
            continue
        broken = [batch.errors[file.path] for file, keys in pairs if key in keys and file.path in batch.errors]
        failures.append(PartitionFailure(key, broken[0] if broken else _no_file(spec, key, project)))
    return failures


def _no_file(spec: PipelineSpec, key: str, project: Path) -> SourceMissing:
    return SourceMissing(
        f"no file for partition {key!r} of pipeline {spec.name!r} (looked for {spec.source.place!r} in {project})",
        rule="a partition is ingested from the files that hold its rows",
        fix="deliver the file, or leave this partition out",
    )


def _rows_of_gone_files(spec: PipelineSpec, keys: Sequence[str], lake: Lake, project: Path) -> pa.Table | None:
    """Rows ingested earlier from files that are no longer there."""
    if not lake.exists(spec.name, RAW):
        return None
    there = [file.path for file in landed(spec, project)]
    sources = lake.read(spec.name, RAW, partitions=keys, columns=[SOURCE])
    gone = pc.invert(pc.is_in(sources[SOURCE], value_set=pa.array(there)))
    if not pc.any(gone).as_py():
        return None
    return lake.read(spec.name, RAW, partitions=keys).filter(gone)


def _read_records(batch: _Batch, done: Sequence[str]) -> list[FileRecord]:
    records = []
    reports = [report for report in batch.reports if report.status == "read"]
    for (file, keys), digest, report in zip(batch.pairs, batch.digests, reports, strict=True):
        ingested = tuple(key for key in keys if key in done)
        records.append(FileRecord(*file.stamp, digest, report.rows, keys, ingested, "read"))
    return records


def _report(
    rows: pa.Table,
    done: Sequence[str],
    batch: _Batch,
    commit: Commit,
    failures: tuple[PartitionFailure, ...],
    kept: int,
) -> IngestReport:
    bad = rows.append_column("bad", pc.is_valid(rows[REJECTED]).cast(pa.int64()))
    grouped = bad.group_by(PARTITION).aggregate([("bad", "count"), ("bad", "sum")]).to_pylist()
    counts = {row[PARTITION]: PartitionCounts(row["bad_count"], row["bad_sum"]) for row in grouped}
    return IngestReport(
        rows=rows.num_rows,
        rejected=sum(count.rejected for count in counts.values()),
        partitions={key: counts.get(key, PartitionCounts(0, 0)) for key in done},
        files=tuple(replace(r, new=tuple(n for n in r.new if n in rows.column_names)) for r in batch.reports),
        schema=pa.schema([f for f in rows.schema if f.name not in OWN_COLUMNS]),
        commit=commit,
        failures=failures,
        kept=kept,
    )
