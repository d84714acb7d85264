"""Files -> their rows by partition, typed and placed, with what became of each file; memory stays within the setting.

A file counts only once it has been read to its end: what was read of a torn one, or of one that was replaced meanwhile,
is left out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import SchemaError, SourceChanging, SourceError, SourceUnreadable
from pynomaly_pipelines.resources.storage import LandedFile, Replaced
from pynomaly_pipelines.resources.tables import PARTITION
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.contract.agreement import Deviation, Terms, wider_of
from pynomaly_pipelines.stages.contract.columns import NewColumns, refuse_missing
from pynomaly_pipelines.stages.contract.inspection import Held, Inspection, with_reasons
from pynomaly_pipelines.stages.sources import opening
from pynomaly_pipelines.stages.sources.manifest import FileRecord, Manifest, Status
from pynomaly_pipelines.stages.sources.placement import FILE, last_partitions, placed, with_last_partitions
from pynomaly_pipelines.stages.sources.reading import piece_bytes
from pynomaly_pipelines.stages.sources.rows import REJECTED, ROW, TEXT, FileRows, Reading, unread_in
from pynomaly_pipelines.stages.sources.spooling import Spool

_ATTEMPTS = 3
_KEPT_PIECES = 4
"""How many pieces of rows are kept in memory before they go to disk."""


@dataclass(frozen=True)
class FileReport:
    """What became of one file."""

    path: str
    status: Status
    rows: int
    reason: str | None = None
    missing: tuple[str, ...] = ()
    """Columns of the table that the file does not have; they are null."""
    new: tuple[str, ...] = ()
    """Columns that were not in the table before."""
    attempts: int = 1
    """How often it was read; more than once if it was replaced meanwhile."""


@dataclass
class _Attempt:
    """One reading of one file."""

    number: int
    file: LandedFile
    keys: tuple[str, ...]
    rows: int = 0
    held: Held = field(default_factory=Held)
    whole: bool = False
    reasons: list[str] = field(default_factory=list)
    """Why all its rows are set aside."""


class Intake:
    """The files of one ingestion: what was read, and what was wrong with the rest."""

    def __init__(
        self,
        spec: PipelineSpec,
        wanted: Sequence[str],
        terms: Terms,
        known: Manifest,
        there: Mapping[str, LandedFile],
        project: Path,
    ) -> None:
        self._spec, self._known, self._there, self._project = spec, known, there, project
        self.terms = terms
        self._types = terms.types
        self._inspection = Inspection(spec, terms)
        self._wanted = pa.array([*wanted, None], pa.string())
        self._piece = piece_bytes(spec.source.memory_mb)
        self._spool = Spool(_KEPT_PIECES * self._piece)
        self._new = NewColumns(spec, terms.types)
        self._waiting: list[tuple[_Attempt, FileRows]] = []
        self._waiting_bytes = 0
        self._attempts: list[_Attempt] = []
        self._last: dict[int, str] = {}
        self._schema: dict[str, pa.DataType] = {}
        self._digests: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.reports: list[FileReport] = []
        self.errors: dict[str, SourceError | SchemaError] = {}
        self.records: list[FileRecord] = []
        """Of files that were read, or are a copy of one that was."""
        self.deviations: list[Deviation] = []
        self.refused: dict[str, SchemaError] = {}
        """Partitions that the contract refuses."""
        self.wider: dict[str, pa.DataType] = {}
        """Types that values ask for and the contract grants: read again with them."""
        self.optional: set[str] = set()
        """Columns that files may lack from now on."""
        self.failed: list[FileRecord] = []

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    @property
    def readable(self) -> set[str]:
        """Partitions of the files that were read."""
        return {key for record in self.records for key in record.partitions}

    # ------------------------------------------------------------------------------------------------ reading

    def read(self, file: LandedFile, keys: tuple[str, ...]) -> None:
        """Read one file, again if it is replaced meanwhile, or note why it can't be read.

        Raises:
            SourceError: the source as a whole can't be reached.
        """
        now: LandedFile | None = file
        for count in range(1, _ATTEMPTS + 1):
            if now is None:
                self._note_error(file, keys, _gone(file))
                return
            try:
                self._attempt(now, keys, count)
            except Replaced:
                now = opening.current(self._spec, file, self._project)
            except (SourceUnreadable, SchemaError) as error:
                self._note_error(now, keys, error)
                return
            else:
                return
        # Not remembered: it is looked at again when it has come to rest.
        self.errors[file.path] = _restless(file)
        self.reports.append(FileReport(file.path, "unreadable", 0, str(self.errors[file.path]), attempts=_ATTEMPTS))

    def _attempt(self, file: LandedFile, keys: tuple[str, ...], count: int) -> None:
        attempt = _Attempt(len(self._attempts), file, keys)
        self._attempts.append(attempt)
        try:
            with opening.reading(self._spec, file, self._types, self._project) as opened:
                twin = self._twin(file.path, opened.digest, keys)
                if twin is None:
                    for rows in opened.pieces:
                        self._add(attempt, rows)
                    refuse_missing(self._spec, attempt.held.names, file, learning=self.terms.learning)
            attempt.whole = True
        finally:
            if not attempt.whole:
                self._waiting = [(other, rows) for other, rows in self._waiting if other is not attempt]
        self._note(attempt, opened, twin, count)

    def _add(self, attempt: _Attempt, rows: FileRows) -> None:
        attempt.rows += rows.table.num_rows
        attempt.held.see(rows)
        rows = self._inspection.without_strangers(rows)
        self._waiting.append((attempt, rows))
        self._waiting_bytes += rows.table.nbytes
        if self._waiting_bytes >= self._piece:
            self._settle()

    def _settle(self) -> None:
        """Place what was read so far; rows of other partitions are let go."""
        if not self._waiting:
            return
        attempts, pieces = [a for a, _ in self._waiting], [rows for _, rows in self._waiting]
        pairs = [(attempt.file, attempt.keys) for attempt in attempts]
        # By position first, so that rows find their texts.
        rows = placed(self._spec, pairs, [piece.table for piece in pieces], self._types)
        self._see_unread_times(attempts, pieces, rows)
        self._waiting, self._waiting_bytes = [], 0
        chosen = rows.filter(pc.is_in(rows[PARTITION], value_set=self._wanted))
        chosen = _with_texts(chosen, pieces)
        for place, key in last_partitions(rows).items():
            number = attempts[place].number
            self._last[number] = max(key, self._last.get(number, key))
        numbers = pa.array([attempt.number for attempt in attempts], pa.int32())
        named = numbers.take(chosen[FILE].combine_chunks())
        chosen = chosen.set_column(chosen.column_names.index(FILE), FILE, named)
        self._new.see(chosen)
        self._schema |= {f.name: f.type for f in chosen.schema if f.name not in self._schema}
        self._spool.add(chosen)

    def _twin(self, path: str, digest: str, keys: Sequence[str]) -> str | None:
        """Another file with the same content in one of the same partitions."""
        earlier = self._digests.get(digest)
        if earlier is not None and earlier[0] != path and set(earlier[1]) & set(keys):
            return earlier[0]
        known = self._known.twin(path, digest, keys)
        if known is None:
            return None
        # The rows of a file that has been moved away are kept; one that has changed has other rows now.
        now = self._there.get(known.path)
        return known.path if now is None or now.stamp == known.stamp else None

    # ---------------------------------------------------------------------------------------------- reporting

    def _note(self, attempt: _Attempt, opened: Reading, twin: str | None, count: int) -> None:
        file, reason = opened.file, None
        if twin is not None:
            reason = f"file {file.path} has the same content as {twin}, whose rows are there already"
        elif opened.digest:
            self._digests[opened.digest] = (file.path, attempt.keys)
        status: Status = "read" if twin is None else "duplicate"
        names = attempt.held.names
        missing = () if twin else tuple(sorted(set(self._types) - set(names)))
        new = tuple(name for name in names if name not in self._types)
        self.reports.append(FileReport(file.path, status, attempt.rows, reason, missing, new, count))
        self.records.append(FileRecord(*file.stamp, opened.digest, attempt.rows, attempt.keys, (), status, reason))

    def _note_error(self, file: LandedFile, keys: tuple[str, ...], error: SourceError | SchemaError) -> None:
        self.errors[file.path] = error
        self.reports.append(FileReport(file.path, "unreadable", 0, str(error)))
        self.failed.append(FileRecord(*file.stamp, "", 0, keys, (), "unreadable", str(error)))

    # ------------------------------------------------------------------------------------------------- output

    def finish(self) -> pa.Schema | None:
        """Place the rest, hold the files against the contract, and settle the types of new columns.

        Returns:
            The columns of all rows, without `_file`; None if no file was read.
        """
        self._settle()
        self._hold_to_contract()
        if not self._schema:
            return None
        kinds = {**self._new.types(), **{n: self._types[n] for n in self._schema if n in self._types}}
        own = {
            PARTITION: pa.string(),
            "_source": pa.string(),
            ROW: pa.int64(),
            REJECTED: pa.string(),
            TEXT: pa.string(),
        }
        kept = {name for attempt in self._attempts if attempt.whole for name in attempt.held.names}
        names = [name for name in self._schema if name in kinds and (name in self._types or name in kept)]
        return pa.schema([*((name, kinds[name]) for name in names), *own.items()])

    def _hold_to_contract(self) -> None:
        paths = {record.path for record in self.records if record.status == "read"}
        for attempt in (a for a in self._attempts if a.whole and a.file.path in paths and a.held.names):
            found = self._inspection.judge(attempt.held, attempt.file.path, attempt.keys)
            self.deviations += found.deviations
            self.wider |= {n: wider_of(self.wider.get(n), kind) for n, kind in found.wider.items()}
            self.optional |= found.optional
            attempt.reasons = found.reasons
            if found.error is not None:
                attempt.whole = False
                self._refuse(attempt, found.error)

    def _refuse(self, attempt: _Attempt, error: SchemaError) -> None:
        """Its partitions stay as they are, and it is looked at again by itself once it has changed."""
        path = attempt.file.path
        self.refused |= dict.fromkeys(attempt.keys, error)
        self.records = [record for record in self.records if record.path != path]
        self.reports = [report for report in self.reports if report.path != path]
        self._note_error(attempt.file, attempt.keys, error)

    def _set_aside(self, rows: pa.Table) -> pa.Table:
        """Rejected, all rows of files that the contract sets aside."""
        for attempt in (a for a in self._attempts if a.reasons):
            of_file = pc.equal(rows[FILE], attempt.number)
            if pc.any(of_file).as_py():
                marked = with_reasons(rows, attempt.reasons)[REJECTED]
                column = pc.if_else(of_file, marked, rows[REJECTED])
                rows = rows.set_column(rows.column_names.index(REJECTED), REJECTED, column)
        return rows

    def _see_unread_times(self, attempts: Sequence[_Attempt], pieces: Sequence[FileRows], rows: pa.Table) -> None:
        """Times become times only when they are placed: count those that did not."""
        names = [n for n, kind in self._types.items() if pa.types.is_timestamp(kind) and n in rows.column_names]
        for name in names:
            valid = pc.is_valid(rows[name]).to_numpy()
            read = np.bincount(rows[FILE].to_numpy()[valid], minlength=len(pieces))
            for place, (attempt, piece) in enumerate(zip(attempts, pieces, strict=True)):
                given = piece.table[name] if name in piece.table.column_names else None
                if given is None or len(given) - given.null_count == read[place]:
                    continue
                lost = np.flatnonzero(~valid[rows[FILE].to_numpy() == place])
                texts = given.combine_chunks().take(pa.array(lost)).drop_null()
                attempt.held.see_unread({name: unread_in(texts, range(len(texts)))})
                attempt.held.values[name] -= len(texts)

    def rows_of(self, partition: str) -> Iterator[pa.Table]:
        """The rows of a partition, a table at a time; those without a fit time are in the last one of their file."""
        failed = pa.array([a.number for a in self._attempts if not a.whole], pa.int32())
        for key in (partition, None):
            for kept in self._spool.of(key):
                rows = self._set_aside(kept.filter(pc.invert(pc.is_in(kept[FILE], value_set=failed))))
                if key is None:
                    filled = with_last_partitions(rows, self._last)
                    rows = filled.filter(pc.equal(filled[PARTITION], partition))
                if rows.num_rows:
                    yield self._new.settled(rows.drop_columns([FILE]))


def _with_texts(rows: pa.Table, pieces: Sequence[FileRows]) -> pa.Table:
    """Add `_text`: the row as it came, for rejected rows; `_file` is the position among the pieces."""
    texts: list[str | None] = [None] * rows.num_rows
    rejected = np.flatnonzero(pc.is_valid(rows[REJECTED]).to_numpy())
    file_of, numbers = rows[FILE].to_numpy()[rejected], rows[ROW].to_numpy()[rejected]
    for index in np.unique(file_of).tolist():
        of_file = file_of == index
        found = pieces[index].texts(numbers[of_file].tolist())
        for position, text in zip(rejected[of_file].tolist(), found, strict=True):
            texts[position] = text
    return rows.append_column(TEXT, pa.array(texts, pa.string()))


def _gone(file: LandedFile) -> SourceUnreadable:
    return SourceUnreadable(
        f"file {file.path} was taken away while it was to be read",
        rule="a file stays until it has been ingested",
        fix="deliver it again",
    )


def _restless(file: LandedFile) -> SourceChanging:
    return SourceChanging(
        f"file {file.path} was replaced {_ATTEMPTS} times while it was read",
        rule="a file is read whole, and only as one version of it",
        fix="write it under another name (`.tmp` is not looked at) and rename it when it is whole",
    )
