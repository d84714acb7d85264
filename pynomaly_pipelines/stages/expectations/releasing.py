"""Quarantined partitions are judged again by the expectations of now: rows that pass become valid, the rest stays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.partitions import Partition
from pynomaly_pipelines.resources.scanning import Snapshot
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import RESERVED_PREFIX, PipelineSpec
from pynomaly_pipelines.stages.contract.columns import SOURCE
from pynomaly_pipelines.stages.expectations.acceptance import Decision, row_ids
from pynomaly_pipelines.stages.expectations.catalogue import KNOWN
from pynomaly_pipelines.stages.expectations.reports import ValidationReport
from pynomaly_pipelines.stages.expectations.verdict import PARTITION_REFUSED
from pynomaly_pipelines.stages.sources.reading import REJECTED, ROW
from pynomaly_pipelines.stages.stored.pages import page
from pynomaly_pipelines.stages.stored.question import Question
from pynomaly_pipelines.stages.validation import QUARANTINE, REASONS, REJECTED_KIND, validate

_OF_A_VALUE = re.compile(r"\b(\w+)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S+) (is not an? \w+)")
_OF_A_FILE = "the file has "
Origin = tuple[str, str, int]
"""Partition, file and line of a row."""


@dataclass(frozen=True)
class HeldRow:
    """One quarantined row for a reader."""

    partition: str
    id: str
    source: str
    row: int
    values: str
    """Its values, `column=value`, cut."""
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """What is in quarantine."""

    partitions: Mapping[str, int]
    """Partition -> rows, in order."""
    reasons: Mapping[str, int]
    """Reason -> rows, most frequent first; a row with two reasons counts for both."""
    rows: tuple[HeldRow, ...]
    """The first few."""


@dataclass(frozen=True)
class Change:
    """What judging a partition again did to it."""

    held: int
    """Rows in quarantine before."""
    released: int
    """Of those, rows that are valid now."""
    added: int
    """Rows that were valid before and are in quarantine now."""

    @property
    def stay(self) -> int:
        """Rows that still break a rule."""
        return self.held - self.released


def held(
    spec: PipelineSpec, lake: Lake, partitions: Sequence[str] | None = None, reason: str | None = None, most: int = 10
) -> Held:
    """What is in quarantine, by partition and by reason, with the first few rows.

    Args:
        reason: only rows with a reason that has this in it, such as an expectation's name or a column.
    """
    snapshot = Snapshot(lake, spec.name, QUARANTINE)
    wanted = [key for key in snapshot.counts if partitions is None or key in set(partitions)]
    kinds: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for key, piece in snapshot.pieces(wanted, columns=[PARTITION, REASONS]):
        rows = with_reason(piece, reason)
        found[key] += rows.num_rows
        for count in pc.value_counts(pc.list_flatten(rows[REASONS])).to_pylist():
            kinds[kind_of(count["values"])] += count["counts"]
    there = {key: rows for key, rows in sorted(found.items()) if rows}
    first = page(
        spec,
        snapshot,
        Question(partitions=tuple(there)),
        most=max(1, most),
        keep=lambda piece: with_reason(piece, reason),
    )
    shown = first.rows.slice(0, most) if there else first.rows.slice(0, 0)
    return Held(there, dict(kinds.most_common()), tuple(_shown(shown)))


def kind_of(reason: str) -> str:
    """What a reason is counted under: without the values that differ from row to row."""
    if reason.startswith("duplicate key ("):
        return reason.split(":", 1)[0]
    if reason.startswith(PARTITION_REFUSED):
        return reason
    name = reason.split("(", 1)[0]
    if name in KNOWN or reason.endswith(" is missing"):
        return reason
    told = _OF_A_VALUE.sub(r"\1 \3", reason)
    return f"{REJECTED_KIND}: {told}" if told != reason or reason.startswith(_OF_A_FILE) else REJECTED_KIND


def with_reason(rows: pa.Table, reason: str | None) -> pa.Table:
    """The rows that have a reason with this in it; all where None is given."""
    if reason is None or not rows.num_rows:
        return rows
    flat = rows[REASONS].combine_chunks()
    parents = pc.list_parent_indices(flat)
    hit = pc.match_substring(pc.list_flatten(flat), reason)
    return rows.take(pc.unique(parents.filter(hit)))


def _shown(rows: pa.Table) -> list[HeldRow]:
    names = [name for name in rows.column_names if not name.startswith(RESERVED_PREFIX)]
    ids = row_ids(rows).tolist()
    shown = []
    for number, row in enumerate(rows.to_pylist()):
        values = ", ".join(f"{name}={row[name]}" for name in names if row[name] is not None)
        told = values or str(row.get("_text") or "")
        shown.append(HeldRow(row[PARTITION], ids[number], row[SOURCE], row[ROW], _cut(told), tuple(row[REASONS])))
    return shown


def _cut(text: str, most: int = 160) -> str:
    flat = re.sub(r"\s+", " ", text)
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def decide(
    spec: PipelineSpec, lake: Lake, ids: Sequence[str], *, reason: str, by: str, partitions: Sequence[str] | None = None
) -> Decision:
    """The quarantined rows of these ids, to be let through for that reason.

    Raises:
        DataError: an id is in no quarantined partition, or its row can't be let through: it is held for more than
            expectations about rows.
    """
    counts = lake.counts(spec.name, QUARANTINE)
    wanted = [key for key in counts if partitions is None or key in set(partitions)]
    found: dict[str, str] = {}
    for key in wanted:
        rows = lake.read(spec.name, QUARANTINE, partitions=[key])
        for row_id, reasons in zip(row_ids(rows).tolist(), rows[REASONS].to_pylist(), strict=True):
            if row_id in ids:
                _refuse_unacceptable(spec, row_id, key, reasons)
                found[row_id] = key
    unknown = [row_id for row_id in ids if row_id not in found]
    if unknown:
        raise DataError(
            f"no quarantined row of {spec.name} has the id {unknown[0]!r}",
            rule=f"looked at {len(wanted)} quarantined partitions",
            fix=f"`pynomaly quarantine {spec.name}` shows rows with their ids",
        )
    return Decision(found, reason, by)


def _refuse_unacceptable(spec: PipelineSpec, row_id: str, key: str, reasons: Sequence[str]) -> None:
    others = [why for why in reasons if why.split("(", 1)[0] not in KNOWN and not why.startswith(PARTITION_REFUSED)]
    if others:
        raise DataError(
            f"row {row_id} of partition {key!r} of {spec.name} can't be let through: {others[0]}",
            rule="a person may pass over an expectation, not a value without its type, a time or a key",
            fix="correct the row at its source and let it arrive again",
        )


def release(
    spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, note: Mapping[str, str]
) -> tuple[ValidationReport, dict[str, Change]]:
    """Judge these partitions again; say by partition what came of it. Doing it twice changes nothing the second time.

    Args:
        note: who and why, kept in the history of both tables.
    """
    keys = [partition.key for partition in partitions]
    before = origins(spec, lake, keys)
    report = validate(spec, partitions, lake, note=note)
    return report, changes(before, origins(spec, lake, keys))


def unread_partitions(spec: PipelineSpec, lake: Lake, keys: Sequence[str]) -> list[str]:
    """Of these partitions, those with rows that were rejected when they were read.

    No judgement mends such rows: what they were written as has to be read again, by the terms of now.
    """
    rows = lake.read(spec.name, spec.incoming[0], partitions=keys, columns=[PARTITION, REJECTED])
    return sorted(pc.unique(rows.filter(pc.is_valid(rows[REJECTED]))[PARTITION]).to_pylist())


def changes(before: Mapping[str, set[Origin]], after: Mapping[str, set[Origin]]) -> dict[str, Change]:
    """What happened to each partition between two looks at its quarantine."""
    return {
        key: Change(len(held), len(held - after[key]), len(after[key] - held)) for key, held in sorted(before.items())
    }


def origins(spec: PipelineSpec, lake: Lake, keys: Sequence[str]) -> dict[str, set[Origin]]:
    """The quarantined rows of these partitions, by where they came from."""
    found: dict[str, set[Origin]] = {key: set() for key in keys}
    if lake.exists(spec.name, QUARANTINE):
        rows = lake.read(spec.name, QUARANTINE, partitions=keys, columns=[PARTITION, SOURCE, ROW])
        for key, source, row in zip(*(rows[name].to_pylist() for name in (PARTITION, SOURCE, ROW)), strict=True):
            found[key].add((key, source, row))
    return found
