"""Expectations that a pipeline does not have yet, held against all it ingested: what would they have flagged?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import Expectation, PipelineSpec
from pynomaly_pipelines.stages.expectations.catalogue import KNOWN
from pynomaly_pipelines.stages.expectations.expecting import Finding, Judge
from pynomaly_pipelines.stages.sources.reading import REJECTED


@dataclass(frozen=True)
class Trial:
    """What an expectation would have flagged."""

    rows: int
    """Rows that break it, in partitions that do not meet it; none for one about the table."""
    judged_rows: int
    partitions: int
    """Partitions that do not meet it."""
    judged_partitions: int

    def __str__(self) -> str:
        if not self.partitions:
            return f"all {self.judged_rows:,} rows in {self.judged_partitions:,} partitions meet it"
        where = f"{self.partitions:,} of {self.judged_partitions:,} partitions"
        return f"{self.rows:,} of {self.judged_rows:,} rows break it, in {where}" if self.rows else f"{where} break it"


@dataclass
class _Tally:
    """One expectation's count so far."""

    rows: int = 0
    partitions: int = 0

    def add(self, finding: Finding, partition: np.ndarray) -> None:
        """Count a finding in a partition, or in several at once.

        Args:
            partition: the partition of every row.
        """
        if not finding.success:
            self.rows += len(finding.positions)
            self.partitions += max(1, len(set(partition[finding.positions].tolist())))


def tried(
    spec: PipelineSpec, lake: Lake, expectations: Sequence[Expectation], partitions: Sequence[str]
) -> list[Trial]:
    """Hold every expectation against these partitions, a run's worth of them at a time."""
    tallies = [_Tally() for _ in expectations]
    judged = 0
    step = spec.automation.partitions_per_run
    for start in range(0, len(partitions), step):
        raw = lake.read(spec.name, spec.incoming[-1], partitions=partitions[start : start + step])
        raw = raw.filter(pc.is_null(raw[REJECTED]))
        judged += raw.num_rows
        for number, finding, partition in _findings(spec, raw, expectations):
            tallies[number].add(finding, partition)
    return [Trial(tally.rows, judged, tally.partitions, len(partitions)) for tally in tallies]


def _findings(
    spec: PipelineSpec, raw: pa.Table, expectations: Sequence[Expectation]
) -> Iterator[tuple[int, Finding, np.ndarray]]:
    """Each finding with the number of its expectation: row for row on all, the others in each partition."""
    judge, partition = Judge(spec, raw), raw[PARTITION].to_pandas().to_numpy()
    parts = [np.flatnonzero(partition == key) for key in np.unique(partition)]
    level = [KNOWN[expectation.name].level for expectation in expectations]
    forgiving = [float(expectation.arguments.get("mostly", 1)) < 1 for expectation in expectations]
    numbers = range(len(expectations))
    alone = [n for n in numbers if level[n] == "row" and not forgiving[n]]
    beside = [n for n in numbers if level[n] != "table" and n not in alone]
    table = [n for n in numbers if level[n] == "table"]
    for chosen, places, hold in (
        (alone, [np.arange(raw.num_rows)], judge.rows),
        (beside, parts, judge.rows),
        (table, parts, judge.table),
    ):
        for positions in (positions for positions in places if chosen and len(positions)):
            found = hold([expectations[n] for n in chosen], positions)
            yield from ((n, finding, partition) for n, finding in zip(chosen, found, strict=True))
