"""Counts of the training partitions, kept with a model -> verdicts on any later partition, without the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pynomaly_pipelines.detection.arrays import Bools, Floats, Ints
from pynomaly_pipelines.detection.drift import measures
from pynomaly_pipelines.detection.drift.cells import Cells
from pynomaly_pipelines.detection.drift.design import Design
from pynomaly_pipelines.detection.drift.measures import Difference

Kind = Literal["features", "scores", "quality"]
Measure = Literal["distribution", "share", "count"]
FORMAT = 1
FEWEST = 5
"""Values of a column without which a partition says nothing of its distribution."""
SPARE = 3
"""Partitions that there must be beyond the levels that are estimated."""


@dataclass(frozen=True)
class Subject:
    """One thing that may drift. name: a column, a series or a table; what: said of it.

    as_ratio: a share of which a factor counts and not the difference; learnt: training rows may look better than new
    ones, because the model has seen them.
    """

    kind: Kind
    name: str
    what: str
    measure: Measure
    cells: Cells | None = None
    as_ratio: bool = False
    learnt: bool = False

    @property
    def key(self) -> str:
        """The subject in one word, by which partitions are counted."""
        return f"{self.kind}/{self.name}/{self.what}"

    @property
    def width(self) -> int:
        """Counts that a partition has of it: cells; hits and total; one number."""
        if self.measure == "distribution":
            assert self.cells is not None
            return self.cells.width
        return 2 if self.measure == "share" else 1


Tally = Mapping[str, Ints]
"""Subject key -> counts int64[width] of one partition."""


@dataclass(frozen=True)
class Limits:
    """From when on a difference counts: the chance of any false alarm, and the smallest effects."""

    alpha: float
    min_effect: float
    min_share: float
    min_ratio: float

    def reached(self, subject: Subject, effect: float) -> bool:
        """Whether a difference is large enough to matter."""
        if subject.measure == "distribution":
            return effect >= self.min_effect
        if subject.measure == "count" or subject.as_ratio:
            return effect >= self.min_ratio or effect <= 1.0 / self.min_ratio
        return abs(effect) >= self.min_share


@dataclass(frozen=True)
class Verdict:
    """What was found of one subject. p_adjusted: corrected for all subjects of the partition."""

    subject: Subject
    effect: float
    p: float
    p_adjusted: float
    drifted: bool
    usual: str
    seen: str


@dataclass(frozen=True, eq=False)
class Reference:
    """keys: the K training partitions in order; figures: int64[K, width] of each subject.

    phases int64[K]: weekday, hour or 0; fitted int64[K]: 1 where the model was fitted on the partition's rows.
    pooled: partitions that are judged together; threshold: the score above which rows were counted as alerts.
    """

    subjects: tuple[Subject, ...]
    figures: tuple[Ints, ...]
    keys: tuple[str, ...]
    phases: Ints
    fitted: Ints
    threshold: float
    pooled: int = 1

    def judge(self, tally: Tally, phase: int, limits: Limits) -> list[Verdict]:
        """Verdicts on a later partition (or as many together as are pooled), the most certain first."""
        designs = _Designs(self, phase)
        found = [
            (subject, difference, words)
            for subject, figures in zip(self.subjects, self.figures, strict=True)
            for difference, words in _differences(subject, designs.blocks(figures), tally.get(subject.key), designs)
        ]
        adjusted = measures.holm(np.array([difference.p for _, difference, _ in found]))
        verdicts = [
            Verdict(s, d.effect, d.p, float(p), bool(p <= limits.alpha and limits.reached(s, d.effect)), *words)
            for (s, d, words), p in zip(found, adjusted, strict=True)
        ]
        return sorted(verdicts, key=lambda v: (not v.drifted, v.p_adjusted, v.p, v.subject.key))

    def to_json(self) -> str:
        """Counts and cells; no row of the data."""
        return json.dumps(
            {
                "format": FORMAT,
                "subjects": [_subject_state(subject) for subject in self.subjects],
                "figures": [figures.tolist() for figures in self.figures],
                "keys": self.keys,
                "phases": self.phases.tolist(),
                "fitted": self.fitted.tolist(),
                "threshold": self.threshold,
                "pooled": self.pooled,
            },
            separators=(",", ":"),
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Reference:
        """What `to_json` wrote; ValueError for anything else."""
        told = json.loads(text)
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise ValueError(f"not a drift reference of format {FORMAT}")
        subjects = tuple(_subject(values) for values in told["subjects"])
        figures = tuple(
            np.asarray(rows, dtype=np.int64).reshape(-1, subject.width)
            for rows, subject in zip(told["figures"], subjects, strict=True)
        )
        phases, fitted = (np.asarray(told[name], dtype=np.int64) for name in ("phases", "fitted"))
        return cls(subjects, figures, tuple(told["keys"]), phases, fitted, told["threshold"], told["pooled"])


def build(
    subjects: Sequence[Subject],
    tallies: Mapping[str, Tally],
    phases: Mapping[str, int],
    fitted: Sequence[str],
    threshold: float,
    pooled: int,
) -> Reference:
    """The reference of these training partitions, by key in the order of time."""
    keys = tuple(tallies)
    empty = {subject.key: np.zeros(subject.width, dtype=np.int64) for subject in subjects}
    figures = tuple(np.array([tallies[k].get(s.key, empty[s.key]) for k in keys]) for s in subjects)
    seen = frozenset(fitted)
    return Reference(
        subjects=tuple(subjects),
        figures=figures,
        keys=keys,
        phases=np.array([phases[key] for key in keys], dtype=np.int64),
        fitted=np.array([int(key in seen) for key in keys], dtype=np.int64),
        threshold=threshold,
        pooled=pooled,
    )


def pool(tallies: Sequence[Tally]) -> dict[str, Ints]:
    """Several partitions counted as one."""
    keys = dict.fromkeys(key for tally in tallies for key in tally)
    return {key: np.sum([tally[key] for tally in tallies if key in tally], axis=0) for key in keys}


class _Designs:
    """The linear models of one verdict: partitions pooled into blocks, and those left out that say nothing."""

    def __init__(self, reference: Reference, phase: int) -> None:
        self._pooled = reference.pooled
        alone = self._pooled == 1
        size = len(reference.keys) // self._pooled
        self._phases = reference.phases if alone else np.zeros(size, dtype=np.int64)
        self._phase = phase if alone else 0
        self._fitted = (self.blocks(reference.fitted[:, None])[:, 0] > 0).astype(np.int64)
        self._made: dict[tuple[bytes, bool], Design] = {}

    def blocks(self, figures: Ints) -> Ints:
        """int64[K // pooled, width]: neighbours added up, the oldest left over."""
        size = len(figures) // self._pooled
        kept = figures[len(figures) - size * self._pooled :]
        return np.asarray(kept.reshape(size, self._pooled, -1).sum(axis=1))

    def of(self, told: Bools, learnt: bool) -> Design | None:
        """The model on the partitions that say something; None where they are too few."""
        key = (told.tobytes(), learnt)
        if key not in self._made:
            self._made[key] = Design.of(self._phases[told], self._phase, self._fitted[told] if learnt else None)
        design = self._made[key]
        return design if told.sum() >= design.rank + SPARE else None


Words = tuple[str, str]


def _differences(
    subject: Subject, figures: Ints, seen: Ints | None, designs: _Designs
) -> Iterator[tuple[Difference, Words]]:
    """At most one: none where the partition, or the earlier ones, say nothing of the subject."""
    if seen is None:
        return
    judge = {"distribution": _distribution, "share": _share, "count": _count}[subject.measure]
    yield from judge(subject, figures, seen, designs)


def _distribution(subject: Subject, figures: Ints, seen: Ints, designs: _Designs) -> Iterator[tuple[Difference, Words]]:
    told = figures.sum(axis=1) >= FEWEST
    design = designs.of(told, subject.learnt)
    if design is None or seen.sum() < FEWEST:
        return
    assert subject.cells is not None
    found = measures.distribution(figures[told], seen, design, ordered=subject.cells.ordered)
    yield found, subject.cells.change(measures.expected_shares(figures[told], design), seen / seen.sum())


def _share(subject: Subject, figures: Ints, seen: Ints, designs: _Designs) -> Iterator[tuple[Difference, Words]]:
    told = figures[:, 1] > 0
    design = designs.of(told, subject.learnt)
    if design is None or seen[1] == 0:
        return
    hits, totals = figures[told, 0], figures[told, 1]
    found = measures.share(hits, totals, int(seen[0]), int(seen[1]), design)
    usual, now = measures.expected_share(hits, totals, design), seen[0] / seen[1]
    if subject.as_ratio:
        found = Difference(float((seen[0] + 0.5) / (usual * seen[1] + 0.5)), found.p)
    yield found, (f"{usual:.2%}", f"{now:.2%}")


def _count(subject: Subject, figures: Ints, seen: Ints, designs: _Designs) -> Iterator[tuple[Difference, Words]]:
    design = designs.of(np.ones(len(figures), dtype=bool), subject.learnt)
    if design is None:
        return
    found = measures.count(figures[:, 0], int(seen[0]), design)
    yield found, (f"{(seen[0] + 0.5) / found.effect:,.0f}", f"{int(seen[0]):,}")


def _subject_state(subject: Subject) -> dict[str, Any]:
    return {**asdict(subject), "cells": None if subject.cells is None else subject.cells.state()}


def _subject(values: dict[str, Any]) -> Subject:
    cells = values.pop("cells")
    return Subject(**values, cells=None if cells is None else Cells.from_state(cells))


def shares_of(figures: Floats | Ints) -> Floats:
    """float64: counts as shares of their sum along the last axis; zeros where there is none."""
    total = np.maximum(figures.sum(axis=-1, keepdims=True), 1)
    return np.asarray(figures / total)
