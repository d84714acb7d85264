"""Source files become rows of the table `raw`: typed, placed in their partition, and none of them lost.

A row that does not fit is kept with `_rejected`, all the reasons, and `_text`, the row as it came. A file that can't be
read is set aside and reported; the other files go on. A partition is replaced whole, so the same files ingested twice
leave the same rows once. Rows of files that have since been moved away stay where they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import DataError, SchemaError, SourceError, SourceMissing, SourceUnreadable
from pynomaly_pipelines.partitions import WHOLE, Calendar, Partition
from pynomaly_pipelines.resources.tables import PARTITION, Commit, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import conversion, landing, reading
from pynomaly_pipelines.stages.landing import FileRecord, LandedFile
from pynomaly_pipelines.stages.reading import REJECTED, ROW, TEXT, FileRows

RAW = "raw"
SOURCE = "_source"
OWN_COLUMNS = (PARTITION, SOURCE, ROW, REJECTED, TEXT)

_SAMPLE_FILES = 20
_SAMPLE_BYTES = 32 << 20
_CLOCKS_APART = timedelta(days=1)
"""How far a file's time of writing and the clock of its rows may disagree before a row counts as in the future."""
_FILE = "_file"

Types = dict[str, pa.DataType]


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
    rows = _placed(spec, batch, types) if batch.tables else None
    wanted = [partition.key for partition in partitions]
    failures = _failures(spec, wanted, pairs, batch, project)
    landing.remember(spec, lake, batch.failed_records())
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


def partitions_in(spec: PipelineSpec, file: LandedFile, project: Path) -> tuple[tuple[str, ...], int]:
    """The partitions a file's rows belong to, by their times, and how many rows it has."""
    types = {spec.time: conversion.TIME} if spec.time else {}
    batch = _Batch.read(spec, [(file, ())], types, project)
    if batch.errors:
        raise batch.errors[file.path]
    keys = _placed(spec, batch, types)[PARTITION]
    return tuple(sorted(key for key in pc.unique(keys).to_pylist() if key is not None)), len(keys)


# ----------------------------------------------------------------------------------------------------- types


def column_types(spec: PipelineSpec, lake: Lake, project: Path) -> Types:
    """Type of each column: as `raw` has it, as declared, or found in a sample of the files.

    Raises:
        SchemaError: a declared type is not the one the table has.
    """
    declared: Types = {name: conversion.ARROW_TYPES[kind] for name, kind in spec.columns.items()}
    if spec.time is not None:
        declared[spec.time] = conversion.TIME
    if not lake.exists(spec.name, RAW):
        return {**_sampled_types(spec, declared, project), **declared}
    known = {f.name: f.type for f in lake.schema(spec.name, RAW) if f.name not in OWN_COLUMNS}
    for name, kind in declared.items():
        if known.get(name, kind) != kind:
            raise SchemaError(
                f"column {name!r} of pipeline {spec.name!r} is declared as {kind}; the table has it as {known[name]}",
                rule="a column keeps the type it was first ingested with",
                fix=f"declare it as before, or delete the tables under {lake.uri(spec.name, '')} and ingest again",
            )
    return {**known, **declared}


def _sampled_types(spec: PipelineSpec, declared: Types, project: Path) -> Types:
    """Types that hold for the values of up to twenty files, spread over all there are."""
    samples: dict[str, list[pa.Array]] = {}
    natural: Types = {}
    for file in _spread(spec, project):
        try:
            rows = _read_file(spec, file, {}, project, most=_SAMPLE_BYTES)[0]
        except SourceUnreadable:
            continue
        for name in rows.table.column_names:
            column = rows.table[name]
            if name in declared or name in OWN_COLUMNS:
                continue
            if spec.source.type == "parquet":
                if pa.types.is_null(column.type):
                    continue
                natural[name] = _wider(natural.get(name), reading.natural_type(column.type), column)
            else:
                samples.setdefault(name, []).append(pc.unique(column))
    texts = {name: pa.chunked_array(found) for name, found in samples.items()}
    found = {name: _found_type(spec, name, column) for name, column in texts.items()}
    return natural | {name: kind for name, kind in found.items() if kind is not None}


def _spread(spec: PipelineSpec, project: Path) -> list[LandedFile]:
    """Up to twenty files, spread evenly over all there are, the first and the last among them."""
    files = landing.landed(spec, project)
    if spec.source.dated:
        files = [file for file, _ in landing.dated_files(spec, files)]
    if len(files) <= _SAMPLE_FILES:
        return files
    return [files[round(place)] for place in np.linspace(0, len(files) - 1, _SAMPLE_FILES)]


def sample(spec: PipelineSpec, project: Path) -> pa.Table:
    """Rows of up to twenty files as `raw` would have them, less their texts; of long files only the beginning.

    Raises:
        SourceMissing: no file matches.
        SourceUnreadable: none of the files can be read.
    """
    files = _spread(spec, project)
    if not files:
        raise landing.no_match(spec, project)
    types = _sampled_types(spec, {}, project)
    batch = _Batch()
    for file in files:
        batch.add(spec, file, (WHOLE,), types, project, most=_SAMPLE_BYTES)
    if not batch.tables:
        raise next(iter(batch.errors.values()))
    return _placed(spec, batch, types).drop_columns([_FILE])


def _found_type(spec: PipelineSpec, name: str, texts: pa.Array | pa.ChunkedArray) -> pa.DataType | None:
    """Type of a column by its values. Without any: none yet, or what the spec's use of the column suggests."""
    if texts.null_count < len(texts):
        return conversion.inferred(texts)
    if name not in named_columns(spec):
        return None
    return pa.float64() if _is_to_be_a_number(spec, name) else pa.string()


def _is_to_be_a_number(spec: PipelineSpec, name: str) -> bool:
    """Whether the spec learns from the column, or holds it against numbers."""
    told = [e for e in spec.expectations if name in e.columns]
    bounds = [e.arguments.get(bound) for e in told for bound in ("min_value", "max_value", "sum_total")]
    label = None if spec.labels is None else spec.labels.column
    return name in (*spec.features, *spec.values, label) or any(isinstance(bound, int | float) for bound in bounds)


def _wider(before: pa.DataType | None, found: pa.DataType, column: pa.ChunkedArray) -> pa.DataType:
    if before is None or before == found or column.null_count == len(column):
        return found if before is None else before
    return pa.float64() if _is_number(before) and _is_number(found) else pa.string()


def named_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """Columns that a role or an expectation needs."""
    time = () if spec.time is None else (spec.time,)
    label = () if spec.labels is None or spec.labels.column is None else (spec.labels.column,)
    expected = [name for e in spec.expectations if e.name != "expect_column_to_exist" for name in e.columns]
    return tuple(dict.fromkeys((*time, *spec.key, *spec.features, *spec.series, *spec.values, *label, *expected)))


def required_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """Columns the spec names; a file without one of them is set aside."""
    time = () if spec.time is None else (spec.time,)
    named = (*time, *spec.key, *spec.features, *spec.series, *spec.values, *spec.columns)
    return tuple(dict.fromkeys(named))


# ----------------------------------------------------------------------------------------------------- files


@dataclass
class _Batch:
    """The files of one ingestion: what was read, and what was wrong with the rest."""

    pairs: list[tuple[LandedFile, tuple[str, ...]]] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    files: list[FileRows] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    reports: list[FileReport] = field(default_factory=list)
    errors: dict[str, SourceUnreadable | SchemaError] = field(default_factory=dict)
    _failed: list[FileRecord] = field(default_factory=list)

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
            rows, digest = _read_file(spec, file, types, project, most=most)
            _refuse_missing(spec, rows.table, file)
        except (SourceUnreadable, SchemaError) as error:
            self.errors[file.path] = error
            self.reports.append(FileReport(file.path, "unreadable", 0, str(error)))
            self._failed.append(FileRecord(*file.stamp, "", 0, keys, (), "unreadable", str(error)))
            return
        index = pa.array(np.full(rows.table.num_rows, len(self.pairs), dtype=np.int32))
        names = [name for name in rows.table.column_names if name not in OWN_COLUMNS]
        self.pairs.append((file, keys))
        self.files.append(rows)
        self.tables.append(rows.table.append_column(_FILE, index))
        self.digests.append(digest)
        missing = tuple(sorted(set(types) - set(names)))
        new = tuple(name for name in names if name not in types)
        self.reports.append(FileReport(file.path, "read", rows.table.num_rows, None, missing, new))

    def failed_records(self) -> list[FileRecord]:
        return self._failed


def _read_file(
    spec: PipelineSpec, file: LandedFile, types: Types, project: Path, *, most: int | None = None
) -> tuple[FileRows, str]:
    """The rows of a file and a digest of its bytes; of a long text file only the first `most` bytes, if given."""
    path = project / file.path
    cut = most is not None and file.size > most and spec.source.type != "parquet"
    try:
        if cut:
            with path.open("rb") as stream:
                data = stream.read(most)
            data = data[: data.rfind(b"\n") + 1]
        else:
            data = path.read_bytes()
    except OSError as error:
        problem = f"can't be opened: {error.strerror}"
        raise reading.unreadable(file.path, problem, "the product's process may read its sources") from error
    rows = reading.read_rows(data, spec.source, types, spec.timezone, where=file.path)
    return rows, hashlib.sha256(data).hexdigest()


def _refuse_missing(spec: PipelineSpec, table: pa.Table, file: LandedFile) -> None:
    missing = [name for name in required_columns(spec) if name not in table.column_names]
    if missing:
        given = [name for name in table.column_names if name not in OWN_COLUMNS]
        raise SchemaError(
            f"file {file.path} has no column {', '.join(map(repr, missing))}",
            rule=f"the pipeline names it; the file's columns are {', '.join(map(repr, given))}",
            fix="deliver the file with this column, or correct the name in defs.yaml",
        )


# ------------------------------------------------------------------------------------------------- placement


def _placed(spec: PipelineSpec, batch: _Batch, types: Types) -> pa.Table:
    """All rows of the batch with `_partition` and `_source`; those with unfit times are rejected."""
    table = pa.concat_tables(_alike(batch.tables), promote_options="permissive").combine_chunks()
    table, problems = _with_times(spec, table, types)
    moments = table[spec.time].combine_chunks() if spec.time else pa.nulls(table.num_rows, conversion.TIME)
    reasons = _more_reasons(table[REJECTED], problems)
    keys, misplaced = _Placement(spec, batch, table[_FILE].to_numpy(), moments).keys()
    reasons = _more_reasons(reasons, misplaced)
    if spec.time and not spec.source.dated and spec.partition != "whole":
        untimed = pc.and_(pc.is_null(moments), pc.is_null(reasons))
        reasons = pc.if_else(untimed, pa.scalar(f"{spec.time} is missing"), reasons)
    paths = pa.DictionaryArray.from_arrays(table[_FILE].combine_chunks(), [file.path for file, _ in batch.pairs])
    names = [name for name in table.column_names if name not in (ROW, REJECTED, _FILE)]
    placed = table.select(names).append_column(PARTITION, keys).append_column(SOURCE, paths.cast(pa.string()))
    return placed.append_column(ROW, table[ROW]).append_column(REJECTED, reasons).append_column(_FILE, table[_FILE])


def _with_times(spec: PipelineSpec, table: pa.Table, types: Types) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Texts -> times, and -> what they look like where no type is known. A new column without a value is left out."""
    problems: list[tuple[int, str]] = []
    for name in [n for n in table.column_names if n not in (ROW, REJECTED, _FILE) and _is_text(table[n])]:
        column = table[name].combine_chunks()
        kind = types.get(name)
        if kind is None and (spec.source.type != "parquet" or pa.types.is_null(column.type)):
            kind = _found_type(spec, name, column)
            if kind is None:
                table = table.drop_columns([name])
                continue
        if kind is None or kind == column.type:
            continue
        values, bad = conversion.converted(column.cast(pa.string()), kind, spec.timezone)
        problems += [(i, f"{name}={reading.shown(column[i].as_py())} {why}") for i, why in bad.items()]
        table = table.set_column(table.column_names.index(name), name, values)
    return table, problems


def _is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_null(column.type))


def _alike(tables: list[pa.Table]) -> list[pa.Table]:
    """A column that came as numbers in one file and as something else in another is text in all."""
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for column in table.schema:
            kinds.setdefault(column.name, set()).add(column.type)
    mixed = {name for name, found in kinds.items() if len(found) > 1 and not all(map(_is_number, found))}
    return [_with_texts_for(table, mixed & set(table.column_names)) for table in tables] if mixed else tables


def _with_texts_for(table: pa.Table, names: set[str]) -> pa.Table:
    for name in names:
        place = table.column_names.index(name)
        table = table.set_column(place, name, reading.texts_of(table[name].combine_chunks()))
    return table


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _more_reasons(reasons: pa.ChunkedArray, problems: list[tuple[int, str]]) -> pa.Array:
    before = reasons.combine_chunks() if isinstance(reasons, pa.ChunkedArray) else reasons
    if not problems:
        return before
    more = reading.joined_reasons(len(before), problems)
    # 2026-11: with null_handling="skip" Arrow 25 drops the rows in which all are null.
    return pc.coalesce(pc.binary_join_element_wise(before, more, "; "), before, more)


class _Placement:
    """Times of rows and files -> partition keys, and what is wrong with the times."""

    def __init__(self, spec: PipelineSpec, batch: _Batch, file_of: np.ndarray, moments: pa.Array) -> None:
        self._spec = spec
        self._batch = batch
        self._file_of = file_of
        self._moments = moments
        self._calendar = Calendar(spec)

    def keys(self) -> tuple[pa.Array, list[tuple[int, str]]]:
        if self._spec.partition == "whole":
            whole = pa.array(np.full(len(self._file_of), WHOLE, dtype=object), pa.string())
            return whole, self._future() if self._spec.time else []
        found = self._calendar.keys_of(_as_series(self._moments))
        keys = found.astype(object).where(found.notna(), None).to_numpy()
        return self._dated(keys) if self._spec.source.dated else self._by_time(keys)

    def _dated(self, keys: np.ndarray) -> tuple[pa.Array, list[tuple[int, str]]]:
        """The file's name rules: a row of another time is rejected in the file's last partition."""
        problems = []
        last = np.array([keys_of_file[-1] for _, keys_of_file in self._batch.pairs], dtype=object)[self._file_of]
        outside = np.flatnonzero(keys != last)
        if len(outside):
            sets = [set(keys_of_file) for _, keys_of_file in self._batch.pairs]
            outside = np.array([i for i in outside if keys[i] not in sets[self._file_of[i]]], dtype=np.int64)
        ends = {key: self._calendar.partition(key).end for key in set(last[outside])}
        keys = keys.copy()
        keys[outside] = last[outside]
        for i in outside.tolist():
            moment, end = self._moments[i].as_py(), ends[last[i]]
            late = moment is not None and end is not None and moment >= end
            if moment is not None and not (late and self._spec.allow_future):
                problems.append((i, f"time {self._shown(moment)} lies outside partition {last[i]}"))
        return pa.array(keys, pa.string()), problems

    def _by_time(self, keys: np.ndarray) -> tuple[pa.Array, list[tuple[int, str]]]:
        """The row's time rules; a row without a fit time is rejected in the file's last partition."""
        problems = dict(self._outside_calendar())
        problems |= {i: why for i, why in self._future() if i not in problems}
        problems |= dict.fromkeys(np.flatnonzero(pc.is_null(self._moments).to_numpy(zero_copy_only=False)).tolist(), "")
        unfit = np.zeros(len(keys), dtype=bool)
        unfit[list(problems)] = True
        keys = keys.copy()
        for index in range(len(self._batch.pairs)):
            of_file = self._file_of == index
            if (bad := of_file & unfit).any():
                fit = keys[of_file & ~unfit]
                keys[bad] = max(fit) if len(fit) else None
        return pa.array(keys, pa.string()), [(i, why) for i, why in problems.items() if why]

    def _outside_calendar(self) -> list[tuple[int, str]]:
        spec, zone = self._spec, self._calendar.zone
        days = [("before the start", spec.start, pc.less), ("not before the end", spec.end, pc.greater_equal)]
        problems = []
        for what, day, compare in days:
            if day is None:
                continue
            border = pa.scalar(landing.midnight(day, zone), conversion.TIME)
            for i in np.flatnonzero(pc.fill_null(compare(self._moments, border), False).to_numpy(zero_copy_only=False)):
                shown = self._shown(self._moments[int(i)].as_py())
                problems.append((int(i), f"time {shown} is {what} of the pipeline ({day})"))
        return problems

    def _future(self) -> list[tuple[int, str]]:
        """Rows later than their file was written."""
        if self._spec.allow_future or self._spec.source.dated:
            return []
        written = np.array([file.mtime_ns for file, _ in self._batch.pairs])[self._file_of]
        latest = written // 1000 + int(_CLOCKS_APART.total_seconds() * 1e6)
        micros = pc.fill_null(self._moments.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        late = np.flatnonzero(micros > latest).tolist()
        return [(i, f"time {self._shown(self._moments[i].as_py())} is later than the file itself") for i in late]

    def _shown(self, moment: object) -> str:
        return str(moment).replace("+00:00", "Z")


def _as_series(moments: pa.Array) -> pd.Series:
    return pd.Series(moments.to_numpy(zero_copy_only=False)).dt.tz_localize("UTC")


def _with_texts(rows: pa.Table, batch: _Batch) -> pa.Table:
    """Add `_text`: the row as it came, for rejected rows."""
    texts: list[str | None] = [None] * rows.num_rows
    rejected = np.flatnonzero(pc.is_valid(rows[REJECTED]).to_numpy())
    file_of, numbers = rows[_FILE].to_numpy()[rejected], rows[ROW].to_numpy()[rejected]
    for index in np.unique(file_of).tolist():
        of_file = file_of == index
        found = batch.files[index].texts(numbers[of_file].tolist())
        for position, text in zip(rejected[of_file].tolist(), found, strict=True):
            texts[position] = text
    return rows.drop_columns([_FILE]).append_column(TEXT, pa.array(texts, pa.string()))


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
        f"no file for partition {key!r} of pipeline {spec.name!r} (looked for {spec.source.path!r} in {project})",
        rule="a partition is ingested from the files that hold its rows",
        fix="deliver the file, or leave this partition out",
    )


def _rows_of_gone_files(spec: PipelineSpec, keys: Sequence[str], lake: Lake, project: Path) -> pa.Table | None:
    """Rows ingested earlier from files that are no longer there."""
    if not lake.exists(spec.name, RAW):
        return None
    there = [file.path for file in landing.landed(spec, project)]
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
