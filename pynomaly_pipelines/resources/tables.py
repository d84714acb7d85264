"""Delta Lake: a pipeline's nouns become tables whose partitions are replaced whole, in one commit, or not at all."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from pynomaly_pipelines.operations.errors import TableError, TableMoved

if TYPE_CHECKING:
    import pyarrow.compute as pc

PARTITION = "_partition"
_MAKERS = {
    "files": "ingest",
    "raw": "ingest",
    "aggregated": "ingest",
    "validated": "validate",
    "quarantine": "validate",
    "scores": "score",
    "champions": "gate",
    "drift": "drift",
}
_ATTEMPTS = 12
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 2.0
_STREAMED_ROWS = 16_384

T = TypeVar("T")


@dataclass(frozen=True)
class Commit:
    """What a write left behind."""

    version: int
    rows: int
    uri: str


class Lake:
    """The Delta tables of a deployment, at `root/<pipeline>/<noun>`; `root` is a local folder or a URL."""

    def __init__(
        self,
        root: str,
        storage_options: dict[str, str] | None = None,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """`before_commit` is called right before each commit, and stops it by raising."""
        self.root = root.rstrip("/") or root
        self._options = storage_options
        self._before_commit = before_commit

    @property
    def storage_options(self) -> dict[str, str] | None:
        """What object storage is reached with; None for the provider's own variables."""
        return self._options

    # ---------------------------------------------------------------------------------------------- writing

    def replace(
        self,
        pipeline: str,
        noun: str,
        partitions: Sequence[str],
        data: pa.Table,
        *,
        note: Mapping[str, str] | None = None,
    ) -> Commit:
        """Replace exactly these partitions with `data`, in one commit; the table is made if there is none.

        `data` may be empty. New columns are added to the table, columns it lacks are null. A concurrent write to the
        same partitions is waited out and this one done again, so that the later one stands alone.

        Args:
            note: what the table's history says of this commit.

        Raises:
            TableError: `data` has rows of other partitions, or a column changed its type.
        """
        data = storable(data, where=f"{pipeline}/{noun}")
        self._refuse_strays(pipeline, noun, partitions, data)

        def write() -> Commit:
            table = self._open(pipeline, noun)
            if table is None:
                self._create(pipeline, noun, data.schema)
                table = self._require(pipeline, noun)
            if not partitions:
                return Commit(table.version(), 0, self.uri(pipeline, noun))
            fitted = _fitted(data, _arrow_schema(table), where=f"{pipeline}/{noun}")
            return self._write(table, fitted, self.uri(pipeline, noun), predicate=_among(partitions), note=note)

        return _retrying(write, what=f"replacing {len(partitions)} partition(s) of {pipeline}/{noun}")

    def replace_streamed(
        self,
        pipeline: str,
        noun: str,
        partitions: Sequence[str],
        schema: pa.Schema,
        rows_of: Callable[[str], Iterable[pa.Table]],
    ) -> Commit:
        """As `replace`, for more rows than memory holds: `rows_of` gives each partition's, a table at a time.

        Raises:
            TableError: a column changed its type.
        """
        from pynomaly_pipelines.resources.partition_files import commit_partitions, write_partition

        where = f"{pipeline}/{noun}"
        schema = storable(schema.empty_table(), where=where).schema
        if not self.exists(pipeline, noun):
            self._create(pipeline, noun, schema)
        table = _retrying(lambda: self._widened(pipeline, noun, schema), what=f"adding columns to {where}")
        fitted = _fitted(schema.empty_table(), _arrow_schema(table), where=where).schema
        files = []
        for key in partitions:
            stored = (storable(rows, where=where) for rows in rows_of(key))
            files.append(write_partition(table, PARTITION, key, stored, fitted))
        written = [file for file in files if file is not None]

        def commit() -> Commit:
            latest = self._require(pipeline, noun)
            self._before_commit()
            version = commit_partitions(latest, PARTITION, partitions, written)
            return Commit(version, sum(file.rows for file in written), self.uri(pipeline, noun))

        return _retrying(commit, what=f"replacing {len(partitions)} partition(s) of {where}")

    def _widened(self, pipeline: str, noun: str, schema: pa.Schema) -> Any:
        """The table, with the columns it lacked; they are null in the rows that are there."""
        from deltalake import Field, Schema

        table = self._require(pipeline, noun)
        known = _arrow_schema(table)
        fitted = _fitted(schema.empty_table(), known, where=f"{pipeline}/{noun}").schema
        fields: list[Field] = [f for f in Schema.from_arrow(fitted).fields if f.name not in known.names]
        if fields:
            table.alter.add_columns(fields)
        return table

    def widen(self, pipeline: str, noun: str, types: Mapping[str, pa.DataType]) -> None:
        """Rewrite a table with wider types of these columns, in one commit; versions before it keep theirs.

        Nothing happens where there is no table, or none of the columns with a narrower type. One partition at a time
        is in memory.

        Raises:
            TableError: a value does not fit the wider type (an integer of more than 53 bits into a number).
        """
        from pynomaly_pipelines.resources.partition_files import replace_all

        where = f"{pipeline}/{noun}"

        def rewrite() -> None:
            table = self._open(pipeline, noun)
            known = pa.schema([]) if table is None else _arrow_schema(table)
            if not any(f.name in types and f.type != types[f.name] for f in known):
                return
            schema = pa.schema([f.with_type(types.get(f.name, f.type)) for f in known])
            keys = list(self.counts(pipeline, noun))
            try:
                replace_all(table, PARTITION, keys, lambda key: self.stream(pipeline, noun, partitions=[key]), schema)
            except pa.ArrowInvalid as error:
                wanted = _listed(f"{name}: {kind}" for name, kind in types.items())
                raise TableError(
                    f"{where} can't be widened to {wanted}: {error}",
                    rule="a wider type holds every value that is there",
                    fix="declare the column as it was under `columns:`, or give it a new name",
                ) from error

        _retrying(rewrite, what=f"widening {where}")

    def append(self, pipeline: str, noun: str, data: pa.Table, *, compact_after: int = 64) -> Commit:
        """Add rows in one commit; for logs, whose readers take the latest row. Small files are merged now and then."""
        data = storable(data, where=f"{pipeline}/{noun}")

        def write() -> Commit:
            table = self._open(pipeline, noun)
            if table is None:
                self._create(pipeline, noun, data.schema)
                table = self._require(pipeline, noun)
            fitted = _fitted(data, _arrow_schema(table), where=f"{pipeline}/{noun}")
            return self._write(table, fitted, self.uri(pipeline, noun), predicate=None)

        commit = _retrying(write, what=f"appending to {pipeline}/{noun}")
        if len(self._require(pipeline, noun).file_uris()) > compact_after:
            self._compact(pipeline, noun)
        return commit

    def append_next(self, pipeline: str, noun: str, data: pa.Table, *, after: int) -> Commit:
        """Add rows as the commit right after version `after` (-1: there was no table); of many writers one succeeds.

        Raises:
            TableMoved: another commit came first; nothing was written.
        """
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import CommitFailedError

        where = f"{pipeline}/{noun}"
        data = storable(data, where=where)
        if after < 0:
            self._create(pipeline, noun, data.schema)
        table = self._require(pipeline, noun)
        fitted = _fitted(data, _arrow_schema(table), where=where)
        moved = TableMoved(
            f"{where} has gone on since version {max(0, after)}",
            rule="this write follows from what was read then",
            fix="read it again and decide anew",
        )
        if table.version() != max(0, after):
            raise moved
        try:
            # Not rebased onto another commit, as appends are by themselves.
            once = CommitProperties(max_commit_retries=0)
            write_deltalake(table, fitted, mode="append", schema_mode="merge", commit_properties=once)
        except CommitFailedError as error:
            raise moved from error
        return Commit(table.version(), fitted.num_rows, self.uri(pipeline, noun))

    def _write(
        self, table: Any, data: pa.Table, uri: str, *, predicate: str | None, note: Mapping[str, str] | None = None
    ) -> Commit:
        from deltalake import CommitProperties, write_deltalake

        said = CommitProperties(custom_metadata=dict(note)) if note else None
        # The table was opened before: who commits to it between this and the write is met as a conflict.
        self._before_commit()
        if predicate is None:
            write_deltalake(table, data, mode="append", schema_mode="merge", commit_properties=said)
        else:
            write_deltalake(
                table, data, mode="overwrite", schema_mode="merge", predicate=predicate, commit_properties=said
            )
        return Commit(table.version(), data.num_rows, uri)

    def _create(self, pipeline: str, noun: str, schema: pa.Schema) -> None:
        from deltalake import DeltaTable

        uri = self.uri(pipeline, noun)
        if "://" not in uri:
            Path(uri).mkdir(parents=True, exist_ok=True)
        partition_by = [PARTITION] if PARTITION in schema.names else None
        schema = pa.schema([f.with_type(pa.float64()) if pa.types.is_null(f.type) else f for f in schema])
        DeltaTable.create(uri, schema, mode="ignore", partition_by=partition_by, storage_options=self._options)

    def _compact(self, pipeline: str, noun: str) -> None:
        """Merge small files; whoever comes second in a race leaves it to the next time."""
        from deltalake.exceptions import CommitFailedError

        try:
            self._require(pipeline, noun).optimize.compact()
        except CommitFailedError:
            return

    def _refuse_strays(self, pipeline: str, noun: str, partitions: Sequence[str], data: pa.Table) -> None:
        if PARTITION not in data.column_names:
            raise TableError(
                f"rows for {pipeline}/{noun} have no column {PARTITION!r}",
                rule="tables are partitioned by it",
                fix=f"add the column {PARTITION!r} with each row's partition key",
            )
        strays = sorted({str(key) for key in data[PARTITION].unique().to_pylist()} - set(partitions))
        if strays:
            raise TableError(
                f"rows for {pipeline}/{noun} belong to partition(s) {_listed(strays)}",
                rule=f"this write replaces {_listed(sorted(partitions))} and nothing else",
                fix="write each row with the partition it belongs to",
            )

    # ---------------------------------------------------------------------------------------------- reading

    def read(
        self,
        pipeline: str,
        noun: str,
        *,
        partitions: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """The rows of these partitions (by default all), ordered by partition and then as they were written.

        Args:
            where: only the rows it holds for; files whose statistics speak against it are not opened.

        Raises:
            TableError: no such table, version or column.
        """
        table = self._require(pipeline, noun, version)
        schema = _arrow_schema(table)
        unknown = [name for name in columns or () if name not in schema.names]
        if unknown:
            raise TableError(
                f"{pipeline}/{noun} has no column {_listed(unknown)}",
                rule=f"its columns are {_listed(schema.names)}",
                fix="name one of these, or ingest data that has the column",
            )
        if partitions is not None and not partitions:
            return schema.empty_table().select(columns or schema.names)
        rows = _scan(table, schema, partitions, list(columns) if columns is not None else None, where)
        return _in_order(rows, list(columns) if columns is not None else schema.names)

    def stream(
        self, pipeline: str, noun: str, *, partitions: Sequence[str], columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """The rows of these partitions, a piece at a time, so that they need not fit into memory.

        Raises:
            TableError: no such table.
        """
        table = self._require(pipeline, noun)
        found = table.to_pyarrow_dataset(file_pruning_predicate=_among(partitions))
        scanner = found.scanner(
            columns=None if columns is None else list(columns),
            batch_size=_STREAMED_ROWS,
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
        )
        for batch in scanner.to_batches():
            yield pa.Table.from_batches([batch])

    def head(self, pipeline: str, noun: str, partition: str, rows: int) -> pa.Table:
        """The first rows of a partition.

        Raises:
            TableError: no such table.
        """
        pieces = self.stream(pipeline, noun, partitions=[partition])
        first = next((piece for piece in pieces if piece.num_rows), self.schema(pipeline, noun).empty_table())
        return first.slice(0, rows)

    def counts(self, pipeline: str, noun: str, *, version: int | None = None) -> dict[str, int]:
        """Rows of each partition, from the log alone; partitions without rows are absent."""
        actions = pa.table(self._require(pipeline, noun, version).get_add_actions(flatten=True))
        if not actions.num_rows:
            return {}
        counts: dict[str, int] = {}
        keys = actions[f"partition.{PARTITION}"].to_pylist()
        for key, rows in zip(keys, actions["num_records"].to_pylist(), strict=True):
            counts[key] = counts.get(key, 0) + rows
        return dict(sorted(counts.items()))

    def schema(self, pipeline: str, noun: str) -> pa.Schema:
        """Names and types of the table's columns."""
        return _arrow_schema(self._require(pipeline, noun))

    def version(self, pipeline: str, noun: str) -> int:
        """Number of the table's latest commit."""
        return int(self._require(pipeline, noun).version())

    def history(self, pipeline: str, noun: str, most: int | None = None) -> list[dict[str, Any]]:
        """The table's commits, the latest first: version, timestamp (milliseconds), operation, and their notes."""
        found: list[dict[str, Any]] = self._require(pipeline, noun).history(most)
        return found

    def exists(self, pipeline: str, noun: str) -> bool:
        """Whether the table has been made."""
        return self._open(pipeline, noun) is not None

    def uri(self, pipeline: str, noun: str) -> str:
        """Where the table lies."""
        return f"{self.root}/{pipeline}/{noun}"

    def opened(self, pipeline: str, noun: str, version: int | None = None) -> Any:
        """The `DeltaTable` itself, for readers with needs of their own (`resources/scanning.py`).

        Raises:
            TableError: no such table or version.
        """
        return self._require(pipeline, noun, version)

    def _open(self, pipeline: str, noun: str, version: int | None = None) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        uri = self.uri(pipeline, noun)
        if "://" not in uri and not Path(uri, "_delta_log").is_dir():
            return None
        try:
            return DeltaTable(uri, version=version, storage_options=self._options)
        except TableNotFoundError:
            return None

    def _require(self, pipeline: str, noun: str, version: int | None = None) -> Any:
        from deltalake.exceptions import DeltaError

        try:
            table = self._open(pipeline, noun, version)
        except DeltaError as error:
            if version is None:
                raise
            raise TableError(
                f"{pipeline}/{noun} has no version {version}",
                rule=f"its latest version is {self.version(pipeline, noun)}",
                fix="name a version that is still kept",
            ) from error
        if table is None:
            stage = _MAKERS.get(noun, noun)
            raise TableError(
                f"table {noun!r} of pipeline {pipeline!r} does not exist (looked at {self.uri(pipeline, noun)})",
                rule=f"it is made when the pipeline's {stage} step first runs",
                fix=f"run `pynomaly run {pipeline}`, or materialize {pipeline}/{noun} in the UI",
            )
        return table


def storable(data: pa.Table, *, where: str = "") -> pa.Table:
    """The same rows in types Delta Lake has: times in microseconds of UTC, plain strings, signed integers."""
    fields = [field.with_type(_storable_type(field.type)).with_metadata(None) for field in data.schema]
    target = pa.schema(fields)
    if target == data.schema:
        return data.replace_schema_metadata(None)
    try:
        return data.replace_schema_metadata(None).cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableError(f"rows for {where} can't be stored: {error}", rule="values must fit their column") from error


def _storable_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _storable_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz=None if kind.tz is None else "UTC")
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(pa.field("element", _storable_type(kind.value_type)))
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_float16(kind):
        return pa.float32()
    return kind


def _fitted(data: pa.Table, schema: pa.Schema, *, where: str) -> pa.Table:
    """The same rows in the types the table already has; a type may widen, never change."""
    fields = []
    for field in data.schema:
        known = schema.field(field.name).type if field.name in schema.names else None
        if known is None:
            known = pa.float64() if pa.types.is_null(field.type) else field.type
        elif known != field.type and not _widens(field.type, known):
            raise TableError(
                f"column {field.name!r} of {where} came as {field.type}",
                rule=f"the table has it as {known}, and a column keeps its type",
                fix=f"deliver it as {known}, or give the column a new name",
            )
        fields.append(pa.field(field.name, known))
    return data.cast(pa.schema(fields))


def _widens(given: pa.DataType, known: pa.DataType) -> bool:
    if pa.types.is_null(given):
        return True
    if pa.types.is_integer(given) and pa.types.is_integer(known):
        return bool(given.bit_width <= known.bit_width)
    if pa.types.is_floating(given) and pa.types.is_floating(known):
        return bool(given.bit_width <= known.bit_width)
    return bool(pa.types.is_list(given) and pa.types.is_list(known) and given.value_type == known.value_type)


def _arrow_schema(table: Any) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _scan(
    table: Any,
    schema: pa.Schema,
    partitions: Sequence[str] | None,
    columns: list[str] | None,
    where: pc.Expression | None,
) -> pa.Table:
    # Not `filters`: they first turn the statistics of every file of the table into Arrow.
    pruned = None if partitions is None or PARTITION not in schema.names else _among(partitions)
    wanted = None if columns is None else list(dict.fromkeys([*columns, *_order_columns(schema)]))
    return table.to_pyarrow_dataset(file_pruning_predicate=pruned).to_table(columns=wanted, filter=where)


def _order_columns(schema: pa.Schema) -> list[str]:
    return [PARTITION] if PARTITION in schema.names else []


def _in_order(rows: pa.Table, columns: list[str]) -> pa.Table:
    """Sorted by partition; rows of one partition stay as they were stored."""
    import numpy as np

    if PARTITION in rows.column_names and rows.num_rows:
        codes = rows[PARTITION].combine_chunks().dictionary_encode()
        codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
        names = np.asarray(codes.dictionary.to_pylist(), dtype=object)
        rank = np.empty(len(names), dtype=np.int64)
        rank[np.argsort(names, kind="stable")] = np.arange(len(names))
        order = rank[codes.indices.to_numpy(zero_copy_only=False)]
        if (np.diff(order) < 0).any():
            rows = rows.take(pa.array(np.argsort(order, kind="stable")))
    return rows.select(columns)


def _retrying(action: Callable[[], T], *, what: str) -> T:
    """Do it again while concurrent writers get in first: waits double from 50 ms to 2 s, with jitter."""
    from deltalake.exceptions import CommitFailedError

    wait = _FIRST_WAIT_SECONDS
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return action()
        except CommitFailedError as error:
            if attempt == _ATTEMPTS:
                raise TableError(
                    f"{what} met concurrent writers {_ATTEMPTS} times: {error}",
                    rule="one writer at a time may change a partition",
                    fix="run it again when the other run has ended",
                ) from error
        # Jitter keeps no secret.
        time.sleep(wait * random.uniform(0.5, 1.5))  # nosec B311
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
    raise AssertionError("unreachable")


def _among(partitions: Sequence[str]) -> str:
    """The rows of these partitions, in SQL."""
    quoted = ("'" + key.replace("'", "''") + "'" for key in partitions)
    return f"{PARTITION} IN ({', '.join(quoted)})"


def _listed(names: Iterable[str], most: int = 8) -> str:
    names = [repr(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
