"""Rows of some partitions become expectations that they meet: each with its evidence, tried on every partition.

What identifies a row is proposed with severity `error`, everything else with `warn`: a value not seen before may be
news. A proposal that would have set aside rows that were accepted so far is never an `error`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import Expectation, PipelineSpec
from pynomaly_pipelines.stages.contract.columns import OWN_COLUMNS
from pynomaly_pipelines.stages.profiling import shapes
from pynomaly_pipelines.stages.profiling.trials import Trial, tried
from pynomaly_pipelines.stages.profiling.yamltext import flow, outward
from pynomaly_pipelines.stages.sources.reading import REJECTED

MOST_ROWS = 500_000
"""Rows a profile looks at; of a larger partition the first."""
LEAST_ROWS = 50
_LATEST = 31
_TAILS = 0.001
_MOST_VALUES = 20
_ROWS_A_VALUE = 20
_LEAST_PARTITIONS = 5


@dataclass(frozen=True)
class Proposal:
    """One expectation, what speaks for it, and what it would have done."""

    expectation: Expectation
    evidence: str
    trial: Trial | None = None

    def lines(self) -> list[str]:
        """As items of the YAML's `expectations`, the evidence in comments."""
        arguments = dict(self.expectation.arguments)
        if self.expectation.severity == "warn":
            arguments["severity"] = "warn"
        told = [f"# {self.evidence}"]
        if self.trial is not None:
            told.append(f"# backtest: {self.trial}")
        return [*told, f"- {self.expectation.name}: {flow(arguments)}"]


def suggest(spec: PipelineSpec, lake: Lake, partitions: Sequence[str] | None = None) -> list[Proposal]:
    """Expectations that fit these partitions (by default the latest) and that the pipeline does not have yet.

    Raises:
        TableError: nothing has been ingested.
        NotEnoughData: the partitions hold too few rows to learn from.
    """
    counts = lake.counts(spec.name, spec.incoming[-1])
    keys = [key for key in counts if key in set(partitions)] if partitions else _latest(counts)
    frame = _frame(spec, lake, keys)
    if len(frame) < LEAST_ROWS:
        raise NotEnoughData(
            f"{len(frame)} rows of {spec.name} to learn from, in {len(keys)} partitions",
            rule=f"a profile needs {LEAST_ROWS}",
            fix="ingest more, or name more partitions",
        )
    known = {(e.name, e.columns) for e in spec.expectations}
    proposals = [p for p in _proposals(spec, frame, counts) if (p.expectation.name, p.expectation.columns) not in known]
    trials = tried(spec, lake, [proposal.expectation for proposal in proposals], list(counts))
    return [_settled(proposal, trial) for proposal, trial in zip(proposals, trials, strict=True)]


def _latest(counts: dict[str, int]) -> list[str]:
    """The latest partitions, as many as fit into a profile; one at least."""
    chosen: list[str] = []
    rows = 0
    for key in sorted(counts, reverse=True)[:_LATEST]:
        rows += counts[key]
        if chosen and rows > MOST_ROWS:
            break
        chosen.append(key)
    return sorted(chosen)


def _frame(spec: PipelineSpec, lake: Lake, keys: Sequence[str]) -> pd.DataFrame:
    rows = lake.read(spec.name, spec.incoming[-1], partitions=keys)
    rows = rows.filter(pc.is_null(rows[REJECTED])).slice(0, MOST_ROWS)
    own = [name for name in OWN_COLUMNS if name != PARTITION]
    frame: pd.DataFrame = rows.drop_columns(own).to_pandas()
    return frame


def _settled(proposal: Proposal, trial: Trial) -> Proposal:
    """What would have set rows aside only warns."""
    severity = "warn" if trial.partitions else proposal.expectation.severity
    return Proposal(proposal.expectation.model_copy(update={"severity": severity}), proposal.evidence, trial)


# ------------------------------------------------------------------------------------------------- proposals


def _proposals(spec: PipelineSpec, frame: pd.DataFrame, counts: dict[str, int]) -> Iterator[Proposal]:
    label = () if spec.labels is None or spec.labels.column is None else (spec.labels.column,)
    names = [n for n in frame.columns if n not in (PARTITION, *label, *spec.ignore)]
    identity = {*spec.key, *spec.series, *((spec.time,) if spec.time else ())}
    for name in names:
        yield from _presence(frame, name, identity)
        if name in identity and name == spec.time:
            yield from _order(frame, name)
        elif shapes.is_number(frame[name]) and name not in spec.key and not shapes.is_id(frame, name):
            yield from _range(frame, name)
        elif shapes.is_text(frame[name]):
            yield from _values(frame, name)
        if name not in spec.key and shapes.is_id(frame, name):
            yield from _unique(frame, name)
    yield from _row_count(counts)


def _proposal(name: str, evidence: str, severity: str = "warn", **arguments: object) -> Proposal:
    values = {"name": name, "arguments": arguments, "severity": severity}
    return Proposal(Expectation.model_validate(values), evidence)


def _presence(frame: pd.DataFrame, name: str, identity: set[str]) -> Iterator[Proposal]:
    """No value missing so far; or as many as now and then."""
    expectation = "expect_column_values_to_not_be_null"
    missing = frame[name].isna()
    if not missing.any():
        severity = "error" if name in identity else "warn"
        yield _proposal(expectation, f"{name}: none of {len(frame):,} values is missing", severity, column=name)
        return
    worst = float(missing.groupby(frame[PARTITION]).mean().max())
    if worst >= 0.5:
        return
    mostly = float(np.floor(100 * (1 - min(2 * worst, worst + 0.1))) / 100)
    evidence = f"{name}: {missing.mean():.2%} of {len(frame):,} values are missing, {worst:.2%} in the worst partition"
    yield _proposal(expectation, evidence, column=name, mostly=mostly)


def _range(frame: pd.DataFrame, name: str) -> Iterator[Proposal]:
    """All but a thousandth at either end, and as much again on either side; what was never negative stays so."""
    values = frame[name].dropna().astype(float)
    values = values[np.isfinite(values)]
    if values.nunique() < 3:
        return
    # Two values at either end may be gross errors, however few there are.
    tail = max(_TAILS, 2 / len(values))
    low = float(values.quantile(tail, interpolation="higher"))
    high = float(values.quantile(1 - tail, interpolation="lower"))
    room = high - low if high > low else float(values.max() - values.min())
    floor = 0.0 if values.min() >= 0 and low <= room else outward(low - room, down=True)
    ceiling = outward(high + room, down=False)
    yield _proposal(
        "expect_column_values_to_be_between",
        f"{name}: {1 - 2 * tail:.1%} of {len(values):,} values lie in [{low:.6g}, {high:.6g}], "
        f"all in [{values.min():.6g}, {values.max():.6g}]",
        column=name,
        min_value=_whole(floor),
        max_value=_whole(ceiling),
    )


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _values(frame: pd.DataFrame, name: str) -> Iterator[Proposal]:
    """A set where there are few values, a pattern where all have one shape."""
    values = frame[name].dropna()
    distinct = values.nunique()
    if 0 < distinct <= _MOST_VALUES and len(values) >= _ROWS_A_VALUE * distinct:
        rarest = int(values.value_counts().min())
        yield _proposal(
            "expect_column_values_to_be_in_set",
            f"{name}: {distinct} different values in {len(values):,}, the rarest {rarest:,} times",
            column=name,
            value_set=sorted(map(str, values.unique())),
        )
        return
    pattern = shapes.pattern_of(values) if distinct > _MOST_VALUES else None
    if pattern is not None:
        evidence = f"{name}: all {distinct:,} different values look like {values.iloc[0]!r}"
        yield _proposal("expect_column_values_to_match_regex", evidence, column=name, regex=pattern)


def _unique(frame: pd.DataFrame, name: str) -> Iterator[Proposal]:
    if not frame.dropna(subset=[name]).duplicated([PARTITION, name]).any():
        evidence = f"{name}: no value comes twice in a partition, of {frame[name].notna().sum():,}"
        yield _proposal("expect_column_values_to_be_unique", evidence, column=name)


def _order(frame: pd.DataFrame, name: str) -> Iterator[Proposal]:
    """Rows that have always come in the order of their time."""
    steps = frame[name].groupby(frame[PARTITION]).diff().dropna()
    if len(steps) and (steps >= steps.iloc[0] - steps.iloc[0]).all():
        evidence = f"{name}: each of {len(frame):,} rows is as late as the one before it, or later"
        yield _proposal("expect_column_values_to_be_increasing", evidence, column=name)


def _row_count(counts: dict[str, int]) -> Iterator[Proposal]:
    """Half of the smallest usual partition to twice the largest."""
    rows = np.array(list(counts.values()))
    if len(rows) < _LEAST_PARTITIONS:
        return
    low, high = np.quantile(rows, [0.05, 0.95])
    yield _proposal(
        "expect_table_row_count_to_be_between",
        f"rows: 90 % of {len(rows):,} partitions have {low:,.0f} to {high:,.0f}, all {rows.min():,} to {rows.max():,}",
        min_value=_whole(outward(low / 2, down=True)),
        max_value=_whole(outward(high * 2, down=False)),
    )
