"""Validated partitions, as they are now -> the same rows in the order they came, one step a partition.

The order is on the data's own clock. A partition's rows come when it ends. A file whose rows belong to several
partitions is at home in those it has most rows of; what else it has for earlier partitions came late, with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import RESERVED_PREFIX, PipelineSpec
from pynomaly_pipelines.stages.contract.columns import SOURCE

Late = dict[tuple[str, str], str]
"""(file, partition) -> the partition its rows of that partition came with."""


@dataclass(frozen=True)
class Arrival:
    """What comes when a partition ends."""

    partition: Partition
    tables: dict[str, pa.Table]
    """Partition -> all its rows that are there now: the partition itself, and earlier ones with late rows."""
    new: dict[str, frozenset[str]]
    """Earlier partition -> the files whose rows of it came only now."""


def arrivals(spec: PipelineSpec, lake: Lake) -> Iterator[Arrival]:
    """One step a validated partition, in order; in memory is one partition, and those with late rows, at a time."""
    version = lake.version(spec.name, "validated")
    keys = sorted(lake.counts(spec.name, "validated", version=version))
    late = late_rows(spec, lake, keys, version)
    revised: dict[str, set[str]] = {}
    for (_, partition), came in late.items():
        revised.setdefault(came, set()).add(partition)
    seen = _Seen(spec)
    calendar = Calendar(spec)
    for key in keys:
        wanted = [*sorted(revised.get(key, ())), key]
        read = {k: lake.read(spec.name, "validated", partitions=[k], version=version) for k in wanted}
        there = {k: _there(table, k, key, late) for k, table in read.items()}
        seen.note(list(there.values()))
        new = {p: frozenset(f for (f, of), came in late.items() if of == p and came == key) for p in wanted[:-1]}
        yield Arrival(calendar.partition(key), {k: seen.known(table) for k, table in there.items()}, new)


def late_rows(spec: PipelineSpec, lake: Lake, keys: list[str], version: int) -> Late:
    """Which files have rows for a partition before their own, and with which partition they came."""
    if spec.source.dated:
        # The path names the partition: what belongs to another one was quarantined.
        return {}
    rows: dict[str, dict[str, int]] = {}
    for key in keys:
        table = lake.read(spec.name, "validated", partitions=[key], columns=[SOURCE], version=version)
        found = pc.value_counts(table[SOURCE]).to_pylist()
        rows[key] = {str(entry["values"]): int(entry["counts"]) for entry in found}
    # Of files with equally many rows the first by name is at home: an arbitrary choice, but the same each time.
    homes = {key: max(sorted(files), key=files.__getitem__) for key, files in rows.items()}
    late: Late = {}
    for key, files in rows.items():
        for file in files:
            after = [home for home, owner in homes.items() if owner == file and home > key]
            if homes[key] != file and after:
                late[file, key] = min(after)
    return late


def _there(table: pa.Table, partition: str, now: str, late: Late) -> pa.Table:
    """A partition's rows without those that come after `now`."""
    absent = [file for (file, of), came in late.items() if of == partition and came > now]
    if not absent:
        return table
    return table.filter(pc.invert(pc.is_in(table[SOURCE], value_set=pa.array(absent))))


class _Seen:
    """Columns that any row so far had a value in: one that comes later must not be known before."""

    def __init__(self, spec: PipelineSpec) -> None:
        label = spec.labels.column if spec.labels else None
        roles = [*spec.columns, spec.time, *spec.key, *spec.features, *spec.series, *spec.values, label, PARTITION]
        self._names = {name for name in roles if name}

    def note(self, tables: list[pa.Table]) -> None:
        for table in tables:
            self._names |= {name for name in table.column_names if table[name].null_count < table.num_rows}

    def known(self, table: pa.Table) -> pa.Table:
        return table.select([n for n in table.column_names if n in self._names or n.startswith(RESERVED_PREFIX)])
