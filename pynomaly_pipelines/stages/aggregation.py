"""Events in `raw` become rows of `aggregated`, by the SQL that the pipeline declares, one partition at a time.

A partition's rows depend on that partition's events alone, so late events that revise it in `raw` revise it here.
Events that could not be read stay in `raw` with their reasons; too many of them refuse the partition.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import DataError, PynomalyError, SpecError
from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.tables import PARTITION, Commit, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.contract.columns import OWN_COLUMNS, RAW, SOURCE, named_columns
from pynomaly_pipelines.stages.sources import conversion
from pynomaly_pipelines.stages.sources.arrow_rows import arrow_rows
from pynomaly_pipelines.stages.sources.rows import REJECTED, ROW, TEXT, joined_reasons

AGGREGATED = "aggregated"
_INSTALL = "pip install 'pynomaly-pipelines[sql]'"
# 2026-11, DuckDB 2.0: its own date_trunc gives both hours of a night in which the clock goes back the same name, and
# adds their rows up.
_HOURS = """
create macro {name}(part, t) as case lower(part)
    when 'hour' then t - to_microseconds(extract('minute' from t) * 60000000 + extract('microsecond' from t))
    when 'minute' then t - to_microseconds(extract('microsecond' from t))
    else system.main.date_trunc(part, t) end
"""


@dataclass(frozen=True)
class EventCounts:
    """What became of the events of one partition."""

    events: int
    left_out: int
    """Of them those that could not be read."""
    rows: int
    """Rows of the result."""


@dataclass(frozen=True)
class AggregationFailure:
    """A partition that could not be aggregated; what was in the table before is still there."""

    partition: str
    error: DataError


@dataclass(frozen=True)
class AggregationReport:
    """What an aggregation did."""

    partitions: Mapping[str, EventCounts]
    failures: tuple[AggregationFailure, ...]
    commit: Commit


def aggregate(spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake) -> AggregationReport:
    """Run the pipeline's SQL over the events of each partition, and replace the partitions in `aggregated`.

    Raises:
        TableError: nothing has been ingested.
        SpecError: DuckDB is not installed, or the SQL is not one SELECT.
        DataError: none of the partitions could be aggregated.
    """
    counts: dict[str, EventCounts] = {}
    failures, tables = [], []
    for partition in partitions:
        try:
            table, counts[partition.key] = _of_partition(spec, partition.key, lake)
        except DataError as error:
            failures.append(AggregationFailure(partition.key, error))
        else:
            tables.append(table)
    if not tables:
        raise failures[0].error
    whole = pa.concat_tables(tables, promote_options="permissive")
    commit = lake.replace(spec.name, AGGREGATED, list(counts), whole)
    return AggregationReport(counts, tuple(failures), commit)


def check_sql(spec: PipelineSpec, types: Mapping[str, pa.DataType] | None) -> Iterator[SpecError]:
    """What is wrong with the SQL, held against the events' columns as far as they are known; nothing is read.

    Args:
        types: the columns of the events; None while they are unknown.
    """
    assert spec.aggregate is not None
    try:
        with _database(spec) as connection:
            _refuse_other_than_select(spec, connection)
            if types is None:
                return
            empty = pa.schema(list(types.items())).empty_table()
            names = _result_names(spec, connection, empty)
    except PynomalyError as error:
        yield SpecError(error.problem, rule=error.rule, fix=error.fix, where="aggregate.sql")
        return
    for name in (name for name in named_columns(spec) if name not in names):
        yield SpecError(
            f"the result of `aggregate.sql` has no column {name!r}",
            rule=f"the pipeline names it; the result's columns are {', '.join(map(repr, names))}",
            fix=f"select it with `as {name}`, or name another column",
            where="aggregate.sql",
        )


# ------------------------------------------------------------------------------------------------ a partition


def _of_partition(spec: PipelineSpec, key: str, lake: Lake) -> tuple[pa.Table, EventCounts]:
    schema = pa.schema([field for field in lake.schema(spec.name, RAW) if field.name not in OWN_COLUMNS])
    tally = {"events": 0, "left_out": 0}

    def readable() -> Iterator[pa.RecordBatch]:
        for rows in lake.stream(spec.name, RAW, partitions=[key]):
            good = rows.filter(pc.is_null(rows[REJECTED]))
            tally["events"] += rows.num_rows
            tally["left_out"] += rows.num_rows - good.num_rows
            yield from good.select(schema.names).cast(schema).to_batches()

    with _database(spec) as connection:
        _refuse_other_than_select(spec, connection)
        result = _result(spec, connection, pa.RecordBatchReader.from_batches(schema, readable()), key)
    _refuse_too_few(spec, key, tally["events"], tally["left_out"])
    rows = _as_rows(spec, result, key)
    return rows, EventCounts(tally["events"], tally["left_out"], rows.num_rows)


def _refuse_too_few(spec: PipelineSpec, key: str, events: int, left_out: int) -> None:
    most = spec.validation.max_quarantined
    if events and left_out / events > most:
        raise DataError(
            f"{left_out} of {events} events of partition {key} could not be read",
            rule=f"validation.max_quarantined is {most:.1%}: figures made of the rest would mislead",
            fix=f"look at `_rejected` in {spec.name}/raw; correct the source, or raise the limit",
        )


def _as_rows(spec: PipelineSpec, result: pa.Table, key: str) -> pa.Table:
    """The result, typed as any table, with the columns that `raw` has; rows of another time are rejected."""
    types = {spec.time: conversion.TIME} if spec.time is not None else {}
    table = arrow_rows(result, types, spec.timezone, first=1).table
    own = {
        PARTITION: pa.array([key] * table.num_rows, pa.string()),
        # Events of one partition make its rows: none of them came with another partition's file.
        SOURCE: pa.array([f"{RAW}/{key}"] * table.num_rows, pa.string()),
        ROW: table[ROW],
        REJECTED: _misplaced(spec, table, key),
        TEXT: pa.nulls(table.num_rows, pa.string()),
    }
    table = table.drop_columns([ROW, REJECTED])
    return pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **own})


def _misplaced(spec: PipelineSpec, table: pa.Table, key: str) -> pa.ChunkedArray | pa.Array:
    if spec.time not in table.column_names or spec.partition == "whole":
        return table[REJECTED]
    moments = pd.Series(table[spec.time].to_numpy()).dt.tz_localize("UTC")
    keys = Calendar(spec).keys_of(moments)
    wrong = [i for i in range(len(keys)) if keys.notna()[i] and keys[i] != key]
    reasons = [(i, f"time {moments[i]} lies outside partition {key}".replace("+00:00", "Z")) for i in wrong]
    return pc.coalesce(table[REJECTED].combine_chunks(), joined_reasons(table.num_rows, reasons))


# --------------------------------------------------------------------------------------------------- database


@contextmanager
def _database(spec: PipelineSpec) -> Iterator[Any]:
    """An empty DuckDB in memory that may spill to a folder of its own and reach nothing else."""
    try:
        import duckdb
    except ImportError as error:
        raise SpecError(
            "`aggregate` needs DuckDB, which is not installed", rule="it runs the SQL", fix=_INSTALL
        ) from error

    assert spec.aggregate is not None
    with tempfile.TemporaryDirectory(prefix="pynomaly_sql_") as folder:
        limits: dict[str, Any] = {
            "memory_limit": f"{spec.aggregate.memory_mb}MiB",
            "threads": "1",
            "temp_directory": folder,
        }
        with duckdb.connect(":memory:", config=limits) as connection:
            connection.execute(f"set TimeZone = '{spec.timezone}'")
            for name in ("date_trunc", "datetrunc"):
                connection.execute(_HOURS.format(name=name))
            yield connection


def _refuse_other_than_select(spec: PipelineSpec, connection: Any) -> None:
    import duckdb

    assert spec.aggregate is not None
    try:
        found = connection.extract_statements(spec.aggregate.sql)
    except duckdb.Error as error:
        raise _unusable(error) from error
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in found) or "nothing"
        raise SpecError(
            f"`aggregate.sql` is {kinds}", rule="it is one SELECT, which changes nothing", fix="leave the rest out"
        )


def _result_names(spec: PipelineSpec, connection: Any, events: pa.Table) -> Collection[str]:
    reader = pa.RecordBatchReader.from_batches(events.schema, events.to_batches())
    return list(_result(spec, connection, reader, "").column_names)


def _result(spec: PipelineSpec, connection: Any, events: pa.RecordBatchReader, key: str) -> pa.Table:
    """Rows of the query, in an order of their own: the same each time."""
    import duckdb

    assert spec.aggregate is not None
    sql = spec.aggregate.sql.strip().rstrip(";")
    most = spec.aggregate.memory_mb << 20
    try:
        connection.register("arriving", events)
        connection.execute("create table events as select * from arriving")
        connection.unregister("arriving")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        # A line of its own: the SQL may end in a comment. It is the author's own, and the database is closed off.
        ordered = f"select * from (\n{sql}\n) order by all"  # nosec B608
        reader = connection.sql(ordered).to_arrow_reader(16_384)
        batches, size = [], 0
        for batch in reader:
            size += batch.nbytes
            if size > most:
                raise _too_large(spec, key)
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)
    except duckdb.OutOfMemoryException as error:
        raise _too_large(spec, key) from error
    except duckdb.Error as error:
        raise _unusable(error, key) from error


def _unusable(error: Exception, key: str = "") -> DataError:
    said = str(error).split("\n\n", 1)[0].replace("\n", " ")
    where = f" over partition {key}" if key else ""
    return DataError(
        f"`aggregate.sql` can't be run{where}: {said}",
        rule="it is one SELECT in DuckDB's SQL over the table `events`, without files or network",
        fix="correct the SQL; `pynomaly check` tries it against the columns there are",
    )


def _too_large(spec: PipelineSpec, key: str) -> DataError:
    assert spec.aggregate is not None
    return DataError(
        f"`aggregate.sql` needs more than {spec.aggregate.memory_mb} MiB for partition {key}",
        rule="`aggregate.memory_mb` bounds what a query may take",
        fix="raise it, choose a finer `partition`, or select fewer rows",
    )
