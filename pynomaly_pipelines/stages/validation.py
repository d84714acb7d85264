"""Rows of `raw` become rows of `validated`, to be trusted, or of `quarantine`, with every reason.

Rows are judged one by one: rejected at ingestion, without a time, breaking an expectation of severity `error`, or with
the key of an earlier row of the partition. Then each partition is judged as a whole; a refused partition has no
validated rows at all. What is decided about a partition depends on its own rows, not on which others are in the range.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.partitions import Partition
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import Expectation, PipelineSpec
from pynomaly_pipelines.stages.contract.columns import OWN_COLUMNS, SOURCE, named_columns
from pynomaly_pipelines.stages.expectations.acceptance import accepted_ids, row_ids
from pynomaly_pipelines.stages.expectations.arguments import check_expectations
from pynomaly_pipelines.stages.expectations.catalogue import EXISTENCE, KNOWN, NOTES
from pynomaly_pipelines.stages.expectations.expecting import Finding, Judge
from pynomaly_pipelines.stages.expectations.reports import (
    EXAMPLES,
    ExpectationResult,
    Outcome,
    PartitionCounts,
    Refusal,
    ValidationReport,
)
from pynomaly_pipelines.stages.expectations.verdict import Verdict
from pynomaly_pipelines.stages.sources.reading import REJECTED, ROW, TEXT, shown

VALIDATED, QUARANTINE = "validated", "quarantine"
REASONS = "_reasons"
REJECTED_KIND = "rejected at ingestion"


def validate(
    spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, note: Mapping[str, str] | None = None
) -> ValidationReport:
    """Judge the rows of these partitions; replace the partitions in `validated` and in `quarantine`.

    Args:
        note: what the history of both tables says of this validation.

    Raises:
        TableError: nothing has been ingested.
        SpecError: an expectation is unknown, wrongly written, or can't be applied to its column.
    """
    for error in check_expectations(spec):
        raise error
    keys = [partition.key for partition in partitions]
    raw = lake.read(spec.name, spec.incoming[-1], partitions=keys)
    verdict, judge = Verdict(raw), Judge(spec, raw)
    missing = _missing_columns(spec, raw.schema)
    results = _judge_rows(spec, raw, verdict, judge, accepted_ids(spec, lake, keys))
    refusals = [
        *(_column_missing(key, name, raw.schema) for name in missing for key in keys),
        *_judge_partitions(spec, keys, verdict),
    ]
    table_results, table_refusals = _judge_tables(spec, keys, raw, verdict, judge)
    refusals += table_refusals
    verdict.refuse(refusals)
    return _written(spec, keys, raw, verdict, refusals, [*results, *table_results], lake, note)


# ------------------------------------------------------------------------------------------------------ rows


def _judge_rows(
    spec: PipelineSpec, raw: pa.Table, verdict: Verdict, judge: Judge, accepted: Collection[str]
) -> list[ExpectationResult]:
    rejected = np.flatnonzero(pc.is_valid(raw[REJECTED]).to_numpy())
    verdict.add(rejected, raw[REJECTED].take(pa.array(rejected)).to_pylist(), REJECTED_KIND)
    # Without a time a row has no place, without an id a point no series.
    for name in (name for name in (spec.time, *spec.series) if name in raw.column_names):
        unplaced = np.flatnonzero(pc.is_null(raw[name]).to_numpy() & verdict.valid)
        verdict.add(unplaced, f"{name} is missing")
    candidates = np.flatnonzero(pc.is_null(raw[REJECTED]).to_numpy())
    judged = np.bincount(verdict.partition_of[candidates], minlength=len(verdict.keys))
    results = []
    for expectation, findings in _findings(spec, raw, candidates, verdict, judge):
        if expectation.severity == "error":
            for finding in (finding for finding in findings if not finding.success):
                verdict.add(finding.positions, described(expectation))
        broken = np.concatenate([finding.positions for finding in findings])
        missed = {int(c) for f in findings if not f.success for c in np.unique(verdict.partition_of[f.positions])}
        results.append(_row_result(expectation, broken, missed, judged, raw, verdict))
    _let_through(spec, raw, verdict, accepted)
    for names in dict.fromkeys((key_columns(spec), point_columns(spec))):
        _judge_keys(names, raw, verdict)
    return results


def _findings(
    spec: PipelineSpec, raw: pa.Table, candidates: np.ndarray, verdict: Verdict, judge: Judge
) -> Iterator[tuple[Expectation, list[Finding]]]:
    """Each expectation about rows with what was found: once for the range, or in each partition where that matters.

    A row that is judged beside others, or forgiven by `mostly`, is so within its partition. One partition is one pass.
    """
    able = [e for e in spec.expectations if KNOWN[e.name].level != "table" and set(e.columns) <= set(raw.column_names)]
    if not able or not len(candidates):
        return
    parts = [candidates[verdict.partition_of[candidates] == code] for code in range(len(verdict.keys))]
    parts = [part for part in parts if len(part)]
    alone = [e for e in able if len(parts) > 1 and KNOWN[e.name].level == "row" and _mostly(e) >= 1]
    beside = [e for e in able if not any(e is one for one in alone)]
    found: dict[int, list[Finding]] = {id(e): [] for e in able}
    for expectations, positions in ((alone, candidates), *((beside, part) for part in parts)):
        for expectation, finding in zip(expectations, judge.rows(expectations, positions), strict=True):
            found[id(expectation)].append(finding)
    for expectation in able:
        yield expectation, found[id(expectation)]


def _let_through(spec: PipelineSpec, raw: pa.Table, verdict: Verdict, accepted: Collection[str]) -> None:
    """Rows that only break expectations, and that a person accepted, are valid."""
    if not accepted:
        return
    positions = np.flatnonzero(verdict.only_of({described(expectation) for expectation in spec.expectations}))
    chosen = np.isin(row_ids(raw.take(pa.array(positions))), list(accepted))
    verdict.forgive(positions[chosen])


def _mostly(expectation: Expectation) -> float:
    return float(expectation.arguments.get("mostly", 1.0))


def _row_result(
    expectation: Expectation,
    broken: np.ndarray,
    missed: set[int],
    judged: np.ndarray,
    raw: pa.Table,
    verdict: Verdict,
) -> ExpectationResult:
    """What to say of an expectation: rows that break it by partition, with some of their values."""
    codes = verdict.partition_of[broken]
    counts = np.bincount(codes, minlength=len(verdict.keys))
    outcomes = {}
    for code, key in enumerate(verdict.keys):
        examples = _examples(raw, expectation.columns, broken[codes == code]) if counts[code] else ()
        outcomes[key] = Outcome(code not in missed, int(counts[code]), int(judged[code]), examples)
    return ExpectationResult(
        name=expectation.name,
        column=", ".join(expectation.columns),
        severity=expectation.severity,
        rule=described(expectation),
        about_table=False,
        outcomes=outcomes,
    )


def _examples(raw: pa.Table, columns: Sequence[str], positions: np.ndarray) -> tuple[str, ...]:
    rows = raw.select(list(columns)).take(pa.array(positions[: 50 * EXAMPLES])).to_pylist()
    return tuple(dict.fromkeys(", ".join(shown(value) for value in row.values()) for row in rows))[:EXAMPLES]


def described(expectation: Expectation) -> str:
    """An expectation in one line: `expect_column_values_to_be_between(distance, max_value=5000)`."""
    given = sorted((k, v) for k, v in expectation.arguments.items() if not k.startswith("column") and k not in NOTES)
    named = [f"{k}={shown(v)}" for k, v in given]
    return f"{expectation.name}({', '.join([*expectation.columns, *named])})"


def key_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """What identifies a row: the key; for series without one, the series and the time."""
    if spec.key or spec.kind == "records" or spec.time is None:
        return spec.key
    return (*spec.series, spec.time)


def point_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """What identifies a point of a series, which has one value at a time; nothing for records."""
    return (*spec.series, spec.time) if spec.kind == "series" and spec.time is not None else ()


def _judge_keys(columns: Sequence[str], raw: pa.Table, verdict: Verdict) -> None:
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


def _judge_partitions(spec: PipelineSpec, keys: Sequence[str], verdict: Verdict) -> Iterator[Refusal]:
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
                f"{_foremost(spec, key, verdict)}; correct the source or the expectation, or raise the limit",
            )
        elif good < least:
            yield Refusal(
                key,
                f"validation.min_rows is {least}",
                f"{good} rows are valid",
                f"{_foremost(spec, key, verdict)}; correct the source or the expectation"
                if good < total
                else "deliver the rest of the partition, or lower the limit",
            )


def _foremost(spec: PipelineSpec, key: str, verdict: Verdict, most: int = 120) -> str:
    """Why most of the quarantined rows are, and where the other reasons stand."""
    count, why = verdict.foremost_in(key)
    cut = why if len(why) <= most else f"{why[: most - 1]}…"
    return f"{count} of them: {cut} (`pynomaly quarantine {spec.name} --partition {key}` shows all)"


def _judge_tables(
    spec: PipelineSpec, keys: Sequence[str], raw: pa.Table, verdict: Verdict, judge: Judge
) -> tuple[list[ExpectationResult], list[Refusal]]:
    """Table-level expectations, on the valid rows of each partition."""
    chosen = [e for e in spec.expectations if KNOWN[e.name].level == "table"]
    chosen = [e for e in chosen if e.name == EXISTENCE or set(e.columns) <= set(raw.column_names)]
    if not chosen:
        return [], []
    mask = verdict.valid
    outcomes: list[dict[str, Outcome]] = [{} for _ in chosen]
    for key in (key for key in keys if mask[verdict.of(key)].any()):
        positions = verdict.of(key)
        for into, finding in zip(outcomes, judge.table(chosen, positions[mask[positions]]), strict=True):
            into[key] = Outcome(finding.success, int(not finding.success), 1, (finding.observed,))
    refusals = [
        Refusal(key, described(e), f"observed {o.examples[0]}", "correct the source, or the expectation if it is wrong")
        for e, found in zip(chosen, outcomes, strict=True)
        if e.severity == "error"
        for key, o in found.items()
        if not o.success
    ]
    return [_table_result(e, found) for e, found in zip(chosen, outcomes, strict=True)], refusals


def _table_result(expectation: Expectation, outcomes: dict[str, Outcome]) -> ExpectationResult:
    return ExpectationResult(
        name=expectation.name,
        column=", ".join(expectation.columns),
        severity=expectation.severity,
        rule=described(expectation),
        about_table=True,
        outcomes=outcomes,
    )


# --------------------------------------------------------------------------------------------------- outcome


def _written(
    spec: PipelineSpec,
    keys: Sequence[str],
    raw: pa.Table,
    verdict: Verdict,
    refusals: Sequence[Refusal],
    results: Sequence[ExpectationResult],
    lake: Lake,
    note: Mapping[str, str] | None,
) -> ValidationReport:
    mask = verdict.valid
    good = raw.filter(pa.array(mask)).drop_columns([REJECTED, TEXT])
    aside = raw.filter(pa.array(~mask))
    aside = (
        aside.drop_columns([REJECTED, TEXT]).append_column(REASONS, verdict.reasons()).append_column(TEXT, aside[TEXT])
    )
    quarantine = lake.replace(spec.name, QUARANTINE, keys, aside, note=note)
    validated = lake.replace(spec.name, VALIDATED, keys, good, note=note)
    valid, quarantined = verdict.count(mask), verdict.count(~mask)
    return ValidationReport(
        rows=raw.num_rows,
        valid=good.num_rows,
        quarantined=aside.num_rows,
        partitions={
            key: PartitionCounts(valid.get(key, 0), quarantined.get(key, 0), verdict.kinds_in(key)) for key in keys
        },
        refused=tuple(refusals),
        results=tuple(results),
        reasons=verdict.kinds,
        validated=validated,
        quarantine=quarantine,
    )
