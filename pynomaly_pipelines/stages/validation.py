"""Rows of `raw` become rows of `validated`, to be trusted, or of `quarantine`, with every reason.

Rows are judged one by one: rejected at ingestion, without a time, breaking an expectation of severity `error`, or with
the key of an earlier row of the partition. Then each partition is judged as a whole; a refused partition has no
validated rows at all. What is decided about a partition depends on its own rows, not on which others are in the range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.partitions import Partition
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import Expectation, PipelineSpec
from pynomaly_pipelines.stages.columns import OWN_COLUMNS, RAW, SOURCE, named_columns
from pynomaly_pipelines.stages.expectations import KNOWN, check_expectations
from pynomaly_pipelines.stages.reading import REJECTED, ROW, TEXT, shown
from pynomaly_pipelines.stages.reports import ExpectationResult, PartitionCounts, Refusal, ValidationReport

VALIDATED, QUARANTINE = "validated", "quarantine"
REASONS = "_reasons"

_EXAMPLES = 5


def validate(spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake) -> ValidationReport:
    """Judge the rows of these partitions; replace the partitions in `validated` and in `quarantine`.

    Raises:
        TableError: nothing has been ingested.
        SpecError: an expectation is unknown, wrongly written, or can't be applied to its column.
    """
    for error in check_expectations(spec):
        raise error
    keys = [partition.key for partition in partitions]
    raw = lake.read(spec.name, RAW, partitions=keys)
    verdict = _Verdict(raw)
    missing = _missing_columns(spec, raw.schema)
    results = _judge_rows(spec, raw, verdict)
    refusals = [
        *(_column_missing(key, name, raw.schema) for name in missing for key in keys),
        *_judge_partitions(spec, keys, verdict),
    ]
    table_results, table_refusals = _judge_tables(spec, keys, raw, verdict)
    refusals += table_refusals
    verdict.refuse(refusals)
    return _written(spec, keys, raw, verdict, refusals, [*results, *table_results], lake)


class _Verdict:
    """The reasons against each row of a table, by the row's position."""

    def __init__(self, raw: pa.Table) -> None:
        codes = raw[PARTITION].combine_chunks().dictionary_encode()
        self.reasons: dict[int, list[str]] = {}
        self.kinds: Counter[str] = Counter()
        self.keys: list[str] = codes.dictionary.to_pylist()
        self.partition_of: np.ndarray = codes.indices.to_numpy(zero_copy_only=False)
        self._refused = np.zeros(len(raw), dtype=bool)

    def add(self, positions: np.ndarray, reason: str | Sequence[str], kind: str | None = None) -> None:
        """One reason for all, or one for each."""
        texts = [reason] * len(positions) if isinstance(reason, str) else reason
        for position, text in zip(positions.tolist(), texts, strict=True):
            self.reasons.setdefault(position, []).append(text)
        if len(positions):
            self.kinds[kind or str(reason)] += len(positions)

    @property
    def valid(self) -> np.ndarray:
        """Mask of the rows that nothing speaks against."""
        mask = ~self._refused
        mask[list(self.reasons)] = False
        return mask

    def of(self, key: str) -> np.ndarray:
        """Positions of a partition's rows."""
        return np.flatnonzero(self.partition_of == self.keys.index(key)) if key in self.keys else np.array([], int)

    def count(self, mask: np.ndarray) -> dict[str, int]:
        """Rows of the mask by partition."""
        counts = np.bincount(self.partition_of[mask], minlength=len(self.keys))
        return dict(zip(self.keys, counts.tolist(), strict=True))

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """All rows of refused partitions are quarantined, for that reason also."""
        why: dict[str, list[str]] = {}
        for refusal in refusals:
            why.setdefault(refusal.partition, []).append(f"{refusal.rule}, {refusal.value}")
        for key, rules in why.items():
            positions = self.of(key)
            self.add(positions, f"partition refused: {'; '.join(rules)}", "partition refused")
            self._refused[positions] = True


# ------------------------------------------------------------------------------------------------------ rows


def _judge_rows(spec: PipelineSpec, raw: pa.Table, verdict: _Verdict) -> list[ExpectationResult]:
    rejected = np.flatnonzero(pc.is_valid(raw[REJECTED]).to_numpy())
    verdict.add(rejected, raw[REJECTED].take(pa.array(rejected)).to_pylist(), "rejected at ingestion")
    # Without a time a row has no place, without an id a point no series.
    for name in (name for name in (spec.time, *spec.series) if name in raw.column_names):
        unplaced = np.flatnonzero(pc.is_null(raw[name]).to_numpy() & verdict.valid)
        verdict.add(unplaced, f"{name} is missing")
    candidates = np.flatnonzero(pc.is_null(raw[REJECTED]).to_numpy())
    results = [
        _row_result(expectation, positions, candidates, raw, verdict)
        for expectation, positions in _unexpected(spec, raw, candidates, verdict)
    ]
    for names in dict.fromkeys((key_columns(spec), point_columns(spec))):
        _judge_keys(names, raw, verdict)
    return results


def _unexpected(
    spec: PipelineSpec, raw: pa.Table, candidates: np.ndarray, verdict: _Verdict
) -> Iterator[tuple[Expectation, np.ndarray]]:
    """Each row-level expectation with the positions of the rows that break it."""
    from pynomaly_pipelines.stages.expecting import unexpected_rows

    able = [e for e in spec.expectations if set(e.columns) <= set(raw.column_names)]
    single = [e for e in able if KNOWN[e.name].level == "row"]
    grouped = [e for e in able if KNOWN[e.name].level == "group"]
    if single and len(candidates):
        for expectation, rows in zip(single, unexpected_rows(spec, single, raw, candidates), strict=True):
            yield expectation, rows
    if grouped and len(candidates):
        parts = [candidates[verdict.partition_of[candidates] == code] for code in range(len(verdict.keys))]
        found = [unexpected_rows(spec, grouped, raw, part) for part in parts if len(part)]
        for expectation, rows_of_parts in zip(grouped, zip(*found, strict=True), strict=True):
            yield expectation, np.concatenate(rows_of_parts)


def _row_result(
    expectation: Expectation, positions: np.ndarray, judged: np.ndarray, raw: pa.Table, verdict: _Verdict
) -> ExpectationResult:
    """Quarantine the rows, where the partition has more of them than `mostly` forgives."""
    blamed = _unforgiven(expectation, positions, judged, verdict)
    if expectation.severity == "error":
        verdict.add(blamed, described(expectation))
    values = raw.select(list(expectation.columns)).take(pa.array(positions[: 50 * _EXAMPLES])).to_pylist()
    examples = tuple(dict.fromkeys(", ".join(shown(value) for value in row.values()) for row in values))
    return ExpectationResult(
        name=expectation.name,
        column=", ".join(expectation.columns),
        severity=expectation.severity,
        success=not len(blamed),
        unexpected=len(positions),
        share=len(positions) / max(1, len(judged)),
        examples=examples[:_EXAMPLES],
    )


def _unforgiven(expectation: Expectation, positions: np.ndarray, judged: np.ndarray, verdict: _Verdict) -> np.ndarray:
    mostly = float(expectation.arguments.get("mostly", 1.0))
    if mostly >= 1.0 or not len(positions):
        return positions
    parts = len(verdict.keys)
    broken = np.bincount(verdict.partition_of[positions], minlength=parts)
    rows = np.bincount(verdict.partition_of[judged], minlength=parts)
    too_many: np.ndarray = broken > (1.0 - mostly) * rows + 1e-9
    kept: np.ndarray = positions[too_many[verdict.partition_of[positions]]]
    return kept


def described(expectation: Expectation) -> str:
    """An expectation in one line: `expect_column_values_to_be_between(distance, max_value=5000)`."""
    named = [f"{k}={shown(v)}" for k, v in sorted(expectation.arguments.items()) if not k.startswith("column")]
    return f"{expectation.name}({', '.join([*expectation.columns, *named])})"


def key_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """What identifies a row: the key; for series without one, the series and the time."""
    if spec.key or spec.kind == "records" or spec.time is None:
        return spec.key
    return (*spec.series, spec.time)


def point_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """What identifies a point of a series, which has one value at a time; nothing for records."""
    return (*spec.series, spec.time) if spec.kind == "series" and spec.time is not None else ()


def _judge_keys(columns: Sequence[str], raw: pa.Table, verdict: _Verdict) -> None:
    """Of the otherwise valid rows of a partition with the same key the first stays."""
    names = list(columns)
    if not names or not set(names) <= set(raw.column_names):
        return
    positions = np.flatnonzero(verdict.valid)
    rows = raw.select([*names, PARTITION]).take(pa.array(positions)).to_pandas()
    again = rows.duplicated(keep="first").to_numpy()
    if not again.any():
        return
    rows["_position"] = positions
    first = rows.groupby([*names, PARTITION], dropna=False, sort=False)["_position"].transform("first").to_numpy()
    origins = raw.select([SOURCE, ROW]).take(pa.array(first[again])).to_pylist()
    reasons = [f"duplicate key ({', '.join(names)}): row {o[ROW]} of {o[SOURCE]} came first" for o in origins]
    verdict.add(positions[again], reasons, f"duplicate key ({', '.join(names)})")


# ------------------------------------------------------------------------------------------------ partitions


def _missing_columns(spec: PipelineSpec, schema: pa.Schema) -> list[str]:
    return [name for name in named_columns(spec) if name not in schema.names]


def _column_missing(key: str, name: str, schema: pa.Schema) -> Refusal:
    given = ", ".join(repr(column) for column in schema.names if column not in OWN_COLUMNS)
    return Refusal(
        key, f"column {name!r} is named in defs.yaml", "and is not in the data", f"deliver it, or name one of {given}"
    )


def _judge_partitions(spec: PipelineSpec, keys: Sequence[str], verdict: _Verdict) -> Iterator[Refusal]:
    """Empty partitions, too few valid rows, too many quarantined."""
    mask = verdict.valid
    rows, valid = verdict.count(np.ones(len(mask), dtype=bool)), verdict.count(mask)
    least, most = spec.validation.min_rows, spec.validation.max_quarantined
    for key in keys:
        total, good = rows.get(key, 0), valid.get(key, 0)
        if total == 0:
            if least > 0:
                yield Refusal(
                    key, f"validation.min_rows is {least}", "the partition has no rows", "ingest its files first"
                )
            continue
        share = (total - good) / total
        if share > most:
            yield Refusal(
                key,
                f"validation.max_quarantined is {most:.1%}",
                f"{total - good} of {total} rows ({share:.1%}) are quarantined",
                "look at their reasons in the quarantine; correct the source or the expectation, or raise the limit",
            )
        elif good < least:
            yield Refusal(
                key,
                f"validation.min_rows is {least}",
                f"{good} rows are valid",
                "deliver the rest of the partition, or lower the limit",
            )


def _judge_tables(
    spec: PipelineSpec, keys: Sequence[str], raw: pa.Table, verdict: _Verdict
) -> tuple[list[ExpectationResult], list[Refusal]]:
    """Table-level expectations, on the valid rows of each partition."""
    from pynomaly_pipelines.stages.expecting import observed

    chosen = [e for e in spec.expectations if KNOWN[e.name].level == "table"]
    chosen = [e for e in chosen if e.name == "expect_column_to_exist" or set(e.columns) <= set(raw.column_names)]
    if not chosen:
        return [], []
    mask = verdict.valid
    failed: list[list[tuple[str, str]]] = [[] for _ in chosen]
    judged = [key for key in keys if mask[verdict.of(key)].any()]
    for key in judged:
        positions = verdict.of(key)
        outcomes = observed(spec, chosen, raw, positions[mask[positions]])
        for failures, (success, value) in zip(failed, outcomes, strict=True):
            if not success:
                failures.append((key, value))
    refusals = [
        Refusal(key, described(e), f"observed {value}", "correct the source, or the expectation if it is wrong")
        for e, failures in zip(chosen, failed, strict=True)
        if e.severity == "error"
        for key, value in failures
    ]
    return [_table_result(e, f, len(judged)) for e, f in zip(chosen, failed, strict=True)], refusals


def _table_result(expectation: Expectation, failures: list[tuple[str, str]], judged: int) -> ExpectationResult:
    return ExpectationResult(
        name=expectation.name,
        column=", ".join(expectation.columns),
        severity=expectation.severity,
        success=not failures,
        unexpected=len(failures),
        share=len(failures) / max(1, judged),
        examples=tuple(f"{key}: {value}" for key, value in failures[:_EXAMPLES]),
    )


# --------------------------------------------------------------------------------------------------- outcome


def _written(
    spec: PipelineSpec,
    keys: Sequence[str],
    raw: pa.Table,
    verdict: _Verdict,
    refusals: Sequence[Refusal],
    results: Sequence[ExpectationResult],
    lake: Lake,
) -> ValidationReport:
    mask = verdict.valid
    good = raw.filter(pa.array(mask)).drop_columns([REJECTED, TEXT])
    bad = np.flatnonzero(~mask)
    reasons = pa.array([verdict.reasons[i] for i in bad.tolist()], pa.list_(pa.field("element", pa.string())))
    aside = raw.take(pa.array(bad))
    aside = aside.drop_columns([REJECTED, TEXT]).append_column(REASONS, reasons).append_column(TEXT, aside[TEXT])
    quarantine = lake.replace(spec.name, QUARANTINE, keys, aside)
    validated = lake.replace(spec.name, VALIDATED, keys, good)
    valid, quarantined = verdict.count(mask), verdict.count(~mask)
    return ValidationReport(
        rows=raw.num_rows,
        valid=good.num_rows,
        quarantined=aside.num_rows,
        partitions={key: PartitionCounts(valid.get(key, 0), quarantined.get(key, 0)) for key in keys},
        refused=tuple(refusals),
        results=tuple(results),
        reasons=dict(verdict.kinds.most_common()),
        validated=validated,
        quarantine=quarantine,
    )
