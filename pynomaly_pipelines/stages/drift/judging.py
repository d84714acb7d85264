"""A scored partition -> how it differs from those the champion was trained on: verdicts, a table, pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from pynomaly_pipelines.detection.drift.reference import Limits, Reference, Verdict, pool
from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Commit, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.drift import history as drift_history
from pynomaly_pipelines.stages.drift import plots as drift_plots
from pynomaly_pipelines.stages.drift.reference import (
    Observed,
    observe_points,
    observe_records,
    phase_of,
    quarantined_rows,
    reference_of,
    tally,
)
from pynomaly_pipelines.stages.features import SERIES, TIMESTAMP, VALUE, detector_frame

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pynomaly_pipelines.detection import Scorer
    from pynomaly_pipelines.detection.series import SeriesScorer


@dataclass(frozen=True)
class Finding:
    """What was found of one partition."""

    partition: str
    verdicts: tuple[Verdict, ...]
    """The most certain first; empty where the partition was not judged."""
    pooled: int
    """Partitions that were judged together, this one the last."""
    why_not: str = ""
    """Why it was not judged."""

    @property
    def drifted(self) -> tuple[Verdict, ...]:
        """What drifts."""
        return tuple(verdict for verdict in self.verdicts if verdict.drifted)


@dataclass(frozen=True)
class DriftReport:
    """What one look at a range of partitions found."""

    findings: tuple[Finding, ...]
    version: Version
    trained_on: int
    """Partitions of the reference."""
    commit: Commit
    pictures: dict[str, bytes]

    @property
    def latest(self) -> Finding:
        """The last partition of the range."""
        return self.findings[-1]


def watch(spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, registry: Registry) -> DriftReport:
    """Judge scored partitions against the champion's training partitions; replace their rows in `drift`.

    Raises:
        NoChampion: nothing was promoted yet.
    """
    version = registry.champion(spec.name)
    watched = _Watch(spec, lake, version, reference_of(spec, lake, registry, version), registry)
    findings = tuple(watched.judge(partition) for partition in sorted(partitions))
    rows = drift_history.to_table(version.number, {f.partition: (f.verdicts, f.pooled) for f in findings})
    commit = lake.replace(spec.name, drift_history.NOUN, [finding.partition for finding in findings], rows)
    pictures = drift_plots.pictures(watched.reference, findings[-1].verdicts, watched.latest)
    pictures |= drift_plots.over_time(drift_history.read(spec, lake, version.number), spec.drift.min_effect)
    return DriftReport(findings, version, len(watched.reference.keys), commit, pictures)


def limits(spec: PipelineSpec) -> Limits:
    """The pipeline's own."""
    return Limits(spec.drift.alpha, spec.drift.min_effect, spec.drift.min_share, spec.drift.min_ratio)


def forget(spec: PipelineSpec, lake: Lake, since: str, reason: str) -> str:
    """Leave what came before a drift out of training, if enough rows came since; returns what was done, in words."""
    if not spec.drift.forget:
        return "what came before the drift stays in training (`drift.forget: false`)"
    rows = sum(count for key, count in lake.counts(spec.name, "validated").items() if key >= since)
    if rows < spec.training.min_rows:
        return f"only {rows} rows came since {since}: what came before stays in training"
    made = exclusions.forget_before(spec, lake, Calendar(spec).partition(since), reason)
    return f"left out of training: {made}; `pynomaly exclude {spec.name} --remove {made.id}` takes it back"


class _Watch:
    """Judges partitions one by one; a partition's counts are kept as long as the next ones are judged with them."""

    def __init__(
        self, spec: PipelineSpec, lake: Lake, version: Version, reference: Reference, registry: Registry
    ) -> None:
        self.reference = reference
        self.latest: dict[str, np.ndarray] = {}
        self._spec, self._lake, self._version = spec, lake, version
        self._rows = lake.counts(spec.name, "validated")
        self._aside = quarantined_rows(spec, lake)
        self._scorer: Scorer | None = registry.load(version) if spec.kind == "series" else None
        self._counted: dict[str, dict[str, np.ndarray]] = {}

    def judge(self, partition: Partition) -> Finding:
        """One partition, with those before it that are judged together with it."""
        reference, key = self.reference, partition.key
        why_not = self._why_not(key)
        if why_not:
            return Finding(key, (), reference.pooled, why_not)
        self.latest = pool([self._tally(name) for name in self._together(key)])
        verdicts = reference.judge(self.latest, phase_of(self._spec, key), limits(self._spec))
        return Finding(key, tuple(verdicts), reference.pooled)

    def _why_not(self, key: str) -> str:
        trained, least = self.reference.keys, self._spec.drift.min_partitions
        if len(trained) < least:
            return (
                f"version {self._version.number} was trained on {len(trained)} partitions; {least} say how much "
                "partitions differ anyway (`drift.min_partitions`)"
            )
        if key <= trained[-1]:
            return f"it is not later than {trained[-1]}, the last partition version {self._version.number} knows"
        return ""

    def _together(self, key: str) -> list[str]:
        before = [name for name in sorted(self._rows) if name < key]
        return [*before[len(before) - (self.reference.pooled - 1) :], key]

    def _tally(self, key: str) -> dict[str, np.ndarray]:
        if key not in self._counted:
            self._counted[key] = tally(self.reference.subjects, self._observed(key), self.reference.threshold)
            for old in list(self._counted)[: -self.reference.pooled]:
                del self._counted[old]
        return self._counted[key]

    def _observed(self, key: str) -> Observed:
        spec = self._spec
        table = _sample(self._lake.read(spec.name, "validated", partitions=[key]), spec.drift.max_rows, key)
        rows, aside, scores = self._rows.get(key, 0), self._aside.get(key, 0), self._scores(key)
        if spec.kind == "records":
            told = None if scores is None else scores["score"].to_numpy()
            return observe_records(detector_frame(spec, table), told, rows, aside)
        points = detector_frame(spec, table)[[TIMESTAMP, SERIES, VALUE]]
        return observe_points(points, scores, cast("SeriesScorer", self._scorer), rows, aside)

    def _scores(self, key: str) -> pd.DataFrame | None:
        """The partition's scores, if it was this champion that gave them."""
        names = ["score", "model_version", *([SERIES] if self._spec.kind == "series" else [])]
        if not self._lake.exists(self._spec.name, "scores"):
            return None
        found: pd.DataFrame = self._lake.read(self._spec.name, "scores", partitions=[key], columns=names).to_pandas()
        return found if len(found) and (found["model_version"] == self._version.number).all() else None


def _sample(table: pa.Table, most: int, key: str) -> pa.Table:
    """At most so many rows, the same each time."""
    if table.num_rows <= most:
        return table
    digest = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
    return table.take(np.sort(np.random.default_rng(digest).permutation(table.num_rows)[:most]))
