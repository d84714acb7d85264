"""Rows of partitions, as they come -> Parquet files of a Delta table, and the one commit that puts them in place.

`deltalake` keeps every open file in memory until it is whole, one for each partition of a write. These are written row
group by row group, one partition after the other, so that memory does not grow with the rows.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

_GROUP_ROWS = 1 << 17
_GROUP_BYTES = 8 << 20


@dataclass(frozen=True)
class PartitionFile:
    """A Parquet file in a table's folder that no commit names yet."""

    partition: str
    path: str
    size: int
    rows: int


def write_partition(
    table: Any, column: str, partition: str, batches: Iterable[pa.Table], schema: pa.Schema
) -> PartitionFile | None:
    """Write one file with these rows; None if there are none.

    Args:
        schema: of the table, the partition's column among them; what a batch lacks is null.
    """
    from deltalake.fs import DeltaStorageHandler
    from pyarrow import fs, parquet

    folder = fs.PyFileSystem(DeltaStorageHandler.from_table(table._table))
    path = f"{column}={partition.replace(':', '-')}/part-{uuid.uuid4()}.parquet"
    fields = pa.schema([field for field in schema if field.name != column])
    rows = 0
    groups = _groups(batches, fields)
    first = next(groups, None)
    if first is None:
        return None
    # Object storage has no folders to make.
    folder.create_dir(path.rsplit("/", 1)[0])
    with folder.open_output_stream(path) as out, parquet.ParquetWriter(out, fields, compression="snappy") as writer:
        group: pa.Table | None = first
        while group is not None:
            writer.write_table(group, row_group_size=group.num_rows)
            rows += group.num_rows
            group = next(groups, None)
    return PartitionFile(partition, path, int(folder.get_file_info(path).size), rows)


def replace_all(
    table: Any,
    column: str,
    partitions: Iterable[str],
    rows_of: Callable[[str], Iterable[pa.Table]],
    schema: pa.Schema,
) -> None:
    """Replace all rows, and the table's schema, in one commit.

    Raises:
        CommitFailedError: another commit came first; nothing has changed.
        ArrowInvalid: a value does not fit its new type.
    """
    from deltalake import Schema
    from deltalake.transaction import CommitProperties

    files = [write_partition(table, column, key, rows_of(key), schema) for key in partitions]
    # `overwrite` removes every file there is and takes over the schema.
    table.create_write_transaction(
        [_added(file, column) for file in files if file is not None],
        "overwrite",
        Schema.from_arrow(schema),
        [column],
        commit_properties=CommitProperties(max_commit_retries=0),
    )


def _groups(batches: Iterable[pa.Table], schema: pa.Schema) -> Any:
    """Batches, put together until they make a row group worth writing."""
    waiting: list[pa.Table] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(_as(batch, schema))
        if sum(t.num_rows for t in waiting) >= _GROUP_ROWS or sum(t.nbytes for t in waiting) >= _GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _as(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        batch[f.name].cast(f.type) if f.name in batch.column_names else pa.nulls(batch.num_rows, f.type) for f in schema
    ]
    return pa.table(columns, schema=schema)


def commit_partitions(table: Any, column: str, partitions: Iterable[str], files: Iterable[PartitionFile]) -> int:
    """Replace these partitions with these files, in one commit; returns its version.

    Raises:
        CommitFailedError: another commit came first; nothing has changed.
    """
    from deltalake.transaction import CommitProperties, RemoveAction

    now = time.time_ns() // 1_000_000
    wanted = set(partitions)
    there = pa.table(table.get_add_actions(flatten=True)).select(["path", "size_bytes", f"partition.{column}"])
    removed = [
        RemoveAction(path, True, now, size, {column: key})
        for path, size, key in zip(*(part.to_pylist() for part in there.columns), strict=True)
        if key in wanted
    ]
    added = [_added(file, column) for file in files]
    table.create_write_transaction(
        [*added, *removed],
        "append",
        table.schema(),
        [column],
        # Not rebased onto another commit: two writers of one partition would both stand.
        commit_properties=CommitProperties(max_commit_retries=0),
    )
    return int(table.version()) + 1


def _added(file: PartitionFile, column: str) -> Any:
    from deltalake.transaction import AddAction

    now = time.time_ns() // 1_000_000
    statistics = json.dumps({"numRecords": file.rows})
    return AddAction(file.path, file.size, {column: file.partition}, now, True, statistics)
