"""A source becomes rows of the table `raw`: typed, placed in their partition, and none of them lost.

A row that does not fit is kept with `_rejected`, all the reasons, and `_text`, the row as it came. A file that can't be
read is set aside and reported; the other files go on. A partition is replaced whole, so the same files ingested twice
leave the same rows once. Rows of files that have since been moved away stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import DataError, SourceError, SourceMissing
from pynomaly_pipelines.partitions import WHOLE, Partition
from pynomaly_pipelines.resources.tables import Commit, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.contract.agreement import Deviation, record
from pynomaly_pipelines.stages.contract.columns import (
    OWN_COLUMNS,
    RAW,
    SOURCE,
    NewColumns,
    declared_types,
    refuse_missing,
    sampled_files,
    sampled_types,
    terms,
)
from pynomaly_pipelines.stages.sources import landing
from pynomaly_pipelines.stages.sources.intake import FileReport, Intake
from pynomaly_pipelines.stages.sources.manifest import remember, remembered
from pynomaly_pipelines.stages.sources.paths import no_match
from pynomaly_pipelines.stages.sources.placement import FILE, placed
from pynomaly_pipelines.stages.sources.rows import REJECTED

FOLLOWING = ("validated", "quarantine", "scores")
"""Tables that have the columns of `raw`, and widen with it."""


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
    deviations: tuple[Deviation, ...] = ()
    """Where files did not keep to the contract, and what was done about it."""


def ingest(spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, project: Path) -> IngestReport:
    """Read the files of these partitions and replace the partitions in `raw`, in one commit.

    Raises:
        SourceMissing: none of the partitions has a file.
        SourceUnreadable: of none of the partitions a file can be read.
        SourceError: the source can't be reached.
        SchemaError: no file has the columns that the spec names.
    """
    tables = (RAW,) if spec.aggregate else (RAW, *FOLLOWING)
    spec = spec.events
    wanted = [partition.key for partition in partitions]
    found = landing.found(spec, partitions, lake, project)
    agreed, known = terms(spec, lake, project), remembered(spec, lake)
    widened: list[Deviation] = []
    while True:
        with Intake(spec, wanted, agreed, known, found.there, project) as intake:
            for file, keys in found.pairs:
                intake.read(file, keys)
            schema = intake.finish()
            if not intake.wider:
                intake.deviations += widened
                return _written(spec, tables, wanted, found, intake, schema, lake, project)
            # Values need wider types, and the contract grants them: the rows are read again with these.
            widened += [d for d in intake.deviations if d.column in intake.wider and d.response == "accept"]
            agreed = agreed.widened(intake.wider)


def _written(
    spec: PipelineSpec,
    tables: Sequence[str],
    wanted: Sequence[str],
    found: landing.Found,
    intake: Intake,
    schema: pa.Schema | None,
    lake: Lake,
    project: Path,
) -> IngestReport:
    failures = _failures(spec, wanted, found.pairs, intake, project)
    remember(spec, lake, intake.failed)
    failed = {failure.partition for failure in failures}
    done = [key for key in wanted if key not in failed]
    if not done:
        raise failures[0].error
    for noun in tables:
        lake.widen(spec.name, noun, {name: intake.terms.types[name] for name in intake.terms.wider})
    writer = _Writer(spec, lake, intake, _gone_sources(spec, done, lake, found))
    commit = writer.write(done, schema)
    remember(spec, lake, [replace(r, ingested=tuple(k for k in r.partitions if k in done)) for r in intake.records])
    told = [term for term in intake.deviations if set(term.partitions) & set(wanted)]
    agreed = _users(lake.schema(spec.name, RAW))
    record(spec, lake, commit.version, agreed, optional=intake.optional, deviations=told)
    return writer.report(done, schema, commit, tuple(failures))


def sample(spec: PipelineSpec, project: Path) -> pa.Table:
    """The first rows of up to twenty files as `raw` would have them, less their texts.

    Raises:
        SourceMissing: there is no file.
        SourceUnreadable: none of the files can be read.
    """
    spec = spec.events
    declared = declared_types(spec)
    types, error = {**sampled_types(spec, declared, project), **declared}, None
    pairs, tables = [], []
    for file, rows in sampled_files(spec, types, project):
        if isinstance(rows, SourceError):
            error = error or rows
            continue
        refuse_missing(spec, rows.table.column_names, file)
        pairs.append((file, (WHOLE,)))
        tables.append(rows.table)
    if not tables:
        raise error or no_match(spec, project)
    rows_placed = placed(spec, pairs, tables, types)
    new = NewColumns(spec, types)
    new.see(rows_placed)
    return new.settled(rows_placed).drop_columns([FILE])


# --------------------------------------------------------------------------------------------------- outcome


def _failures(
    spec: PipelineSpec, wanted: Sequence[str], pairs: landing.Pairs, intake: Intake, project: Path
) -> list[PartitionFailure]:
    """Partitions without a file, or with none that can be read."""
    readable = intake.readable
    failures = []
    for key in wanted:
        if key in intake.refused:
            failures.append(PartitionFailure(key, intake.refused[key]))
            continue
        if key in readable:
            continue
        broken = [intake.errors[file.path] for file, keys in pairs if key in keys and file.path in intake.errors]
        failures.append(PartitionFailure(key, broken[0] if broken else _no_file(spec, key, project)))
    return failures


def _no_file(spec: PipelineSpec, key: str, project: Path) -> SourceMissing:
    looked = "" if "://" in spec.source.place else f" in {project}"
    return SourceMissing(
        f"no file for partition {key!r} of pipeline {spec.name!r} (looked for {spec.source.place!r}{looked})",
        rule="a partition is ingested from the files that hold its rows",
        fix="deliver the file, or leave this partition out",
    )


def _gone_sources(spec: PipelineSpec, keys: Sequence[str], lake: Lake, found: landing.Found) -> pa.Array:
    """Files that rows of these partitions came from and that are no longer there."""
    sources: set[str] = set()
    if lake.exists(spec.name, RAW):
        for rows in lake.stream(spec.name, RAW, partitions=keys, columns=[SOURCE]):
            sources.update(pc.unique(rows[SOURCE]).to_pylist())
    return pa.array(sorted(sources - set(found.there)), pa.string())


class _Writer:
    """Writes the rows of an intake, and those kept of files that have gone, and counts them."""

    def __init__(self, spec: PipelineSpec, lake: Lake, intake: Intake, gone: pa.Array) -> None:
        self._spec, self._lake, self._intake, self._gone = spec, lake, intake, gone
        self._counts: dict[str, PartitionCounts] = {}
        self._kept = 0

    def write(self, keys: Sequence[str], schema: pa.Schema | None) -> Commit:
        """Replace these partitions in one commit."""
        known = self._lake.schema(self._spec.name, RAW) if self._lake.exists(self._spec.name, RAW) else None
        schema = known if schema is None else schema
        assert schema is not None
        return self._lake.replace_streamed(self._spec.name, RAW, keys, schema, self._rows_of)

    def _rows_of(self, key: str) -> Iterator[pa.Table]:
        rows = rejected = 0
        for table in self._kept_rows(key) if len(self._gone) else ():
            rows, rejected = rows + table.num_rows, rejected + _rejected(table)
            self._kept += table.num_rows
            yield table
        for table in self._intake.rows_of(key):
            rows, rejected = rows + table.num_rows, rejected + _rejected(table)
            yield table
        self._counts[key] = PartitionCounts(rows, rejected)

    def _kept_rows(self, key: str) -> Iterator[pa.Table]:
        for rows in self._lake.stream(self._spec.name, RAW, partitions=[key]):
            yield rows.filter(pc.is_in(rows[SOURCE], value_set=self._gone))

    def report(
        self, done: Sequence[str], schema: pa.Schema | None, commit: Commit, failures: tuple[PartitionFailure, ...]
    ) -> IngestReport:
        """What was done."""
        users = _users(schema)
        known = set(users.names)
        files = tuple(replace(r, new=tuple(n for n in r.new if n in known)) for r in self._intake.reports)
        counts = {key: self._counts[key] for key in done}
        return IngestReport(
            rows=sum(count.rows for count in counts.values()),
            rejected=sum(count.rejected for count in counts.values()),
            partitions=counts,
            files=files,
            schema=users,
            commit=commit,
            failures=failures,
            kept=self._kept,
            deviations=tuple(self._intake.deviations),
        )


def _users(schema: pa.Schema | None) -> pa.Schema:
    return pa.schema([] if schema is None else [field for field in schema if field.name not in OWN_COLUMNS])


def _rejected(rows: pa.Table) -> int:
    return int(rows.num_rows - rows[REJECTED].null_count)
