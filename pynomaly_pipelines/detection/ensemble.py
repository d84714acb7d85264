"""A training matrix -> "auto": neighbours and Mahalanobis distances, joined by how rare each score is.

1. A first round scores the training rows, so that the most anomalous of them do not shape what follows and teach the
   model that anomalies are ordinary.
2. Five members, each in columns of like scale:

   - two neighbours: mean Manhattan distance to the nearest 5 % of 1,000 reference rows, drawn from the densest seven
     tenths. In tempered columns (`Space`), where one heavy tail does not drown the rest, and in plain ones, where a
     single far cell tells among many columns.
   - three Mahalanobis distances: from the inner half of all rows, strongly regularised; from the inner half of the
     least anomalous eight tenths, hardly; from the inner half of seven tenths, in tempered columns.

3. Each raw score becomes its level, -log10 of the share of training rows that reach it. The raw score of the whole
   is the sum of two means of levels, the neighbours' counted twice (Fisher 1932, weighted).

Averages over settings stand where a choice between them would have been a bet: no setting is picked per data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, matrix
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.frozen.base import MOST_TYPICAL, Frozen, State, nested, restore
from pynomaly_pipelines.detection.frozen.gaussian import Mahalanobis
from pynomaly_pipelines.detection.frozen.neighbours import Neighbours
from pynomaly_pipelines.detection.frozen.oblique import ObliqueForest
from pynomaly_pipelines.detection.space import Space

TREES = 200
REFERENCES = 1_000
NEAR = 10
WIDE = 0.05
STEPS = 3
LEVEL_SHAPE = 1.0
"""Beyond the training rows a member's level rises with the logarithm of the excess: no member outvotes the others."""
MOST_RANKED = 10_000
"""Training rows whose scores make a member's levels."""


@dataclass(frozen=True, eq=False)
class Member:
    """A detector in a space of its own, and what its level counts in the sum."""

    space: Space
    detector: Frozen
    weight: float

    def raw(self, x: Floats) -> Floats:
        return self.detector.raw(self.space.of(x))

    def contributions(self, x: Floats) -> Floats:
        return self.detector.contributions(self.space.of(x))


@dataclass(frozen=True, eq=False)
class Ensemble(Frozen):
    """calibrations: of each member's raw scores; typical: float64[members, d], what a feature adds to each member's
    raw score of a middling row.
    """

    members: tuple[Member, ...]
    calibrations: tuple[Calibration, ...]
    typical: Floats

    family: ClassVar[str] = "ensemble"

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """From a training matrix, float64[n, d]."""
        rarity = rarity_of(x, seed)
        core = dense(x, rarity, 0.7, seed)
        near = (neighbours(core, seed, tempered=True), neighbours(core, seed))
        far = (
            mahalanobis(x, 0.1),
            mahalanobis(inner(x, rarity, 0.8), 1e-3),
            mahalanobis(inner(x, rarity, 0.7), 1e-3, tempered=True),
        )
        members = (
            *(Member(space, detector, 2 / len(near)) for space, detector in near),
            *(Member(space, detector, 1 / len(far)) for space, detector in far),
        )
        order = np.random.default_rng(seed).permutation(x.shape[0])
        ranked, middling = x[order[:MOST_RANKED]], x[order[:MOST_TYPICAL]]
        calibrations = tuple(Calibration.learn(member.raw(ranked), LEVEL_SHAPE) for member in members)
        typical = np.stack([np.median(member.contributions(middling), axis=0) for member in members])
        return cls(members, calibrations, typical)

    def clues(self, x: Floats) -> Floats:
        """float64[n, members]: each member's part of the raw score."""
        x = matrix(x, self.typical.shape[1])
        pairs = zip(self.members, self.calibrations, strict=True)
        return np.column_stack([member.weight * levels.levels_of(member.raw(x)) for member, levels in pairs])

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.row_sums(self.clues(x))

    def contributions(self, x: Floats) -> Floats:
        """Each member's level, divided among the columns as the member does: additive."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.typical.shape[1])
        total = np.zeros_like(x)
        for member, level, typical in zip(self.members, self.clues(x).T, self.typical, strict=True):
            total += kernels.divided(np.ascontiguousarray(level), member.contributions(x), typical)
        return total

    def state(self) -> State:
        values: dict[str, Any] = {"family": self.family, "weights": [member.weight for member in self.members]}
        arrays: dict[str, AnyArray] = {"typical": self.typical}
        parts: dict[str, Sequence[Any]] = {
            "spaces": [member.space for member in self.members],
            "members": [member.detector for member in self.members],
            "calibrations": self.calibrations,
        }
        for name, those in parts.items():
            states = [part.state() for part in those]
            values[name] = [part_values for part_values, _ in states]
            for index, (_, part_arrays) in enumerate(states):
                arrays |= {f"{name}/{index}/{key}": value for key, value in part_arrays.items()}
        return values, arrays

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        members = tuple(
            Member(
                Space.from_state(values["spaces"][i], nested(f"spaces/{i}/", arrays)),
                restore(values["members"][i], nested(f"members/{i}/", arrays)),
                weight,
            )
            for i, weight in enumerate(values["weights"])
        )
        calibrations = tuple(
            Calibration.from_state(v, nested(f"calibrations/{i}/", arrays))
            for i, v in enumerate(values["calibrations"])
        )
        return cls(members, calibrations, arrays["typical"])


def rarity_of(x: Floats, seed: int) -> Floats:
    """float64[n]: how anomalous a first round of three detectors finds the training rows, as a sum of log ranks."""
    z = Space.robust(x).of(x)
    rounds = (_references(z, seed), trimmed_mahalanobis(z, 0.75, 1e-6), ObliqueForest.fit(z, TREES, seed))
    rarity = np.zeros(x.shape[0])
    for detector in rounds:
        ranks = np.argsort(np.argsort(detector.raw(z), kind="stable"))
        rarity -= np.log1p(-(ranks + 0.5) / (ranks.size + 1))
    return rarity


def inner(x: Floats, rarity: Floats, share: float) -> Floats:
    """The share of the rows that is least anomalous."""
    return x[rarity <= np.quantile(rarity, share)]


def dense(x: Floats, rarity: Floats, share: float, seed: int) -> Floats:
    """The share of the rows that lies nearest to references drawn from it, begun with the least anomalous: the
    concentration steps of FAST-MCD (Rousseeuw & Van Driessen 1999) for neighbours.
    """
    for step in range(STEPS):
        space, detector = neighbours(inner(x, rarity, share), seed + 1 + step, tempered=True)
        rarity = detector.raw(space.of(x))
    return inner(x, rarity, share)


def neighbours(x: Floats, seed: int, *, tempered: bool = False) -> tuple[Space, Neighbours]:
    """With references drawn from these rows."""
    space = Space.robust(x, tempered=tempered)
    return space, _references(space.of(x), seed)


def _references(z: Floats, seed: int) -> Neighbours:
    """Mean Manhattan distance to the nearest 5 % of a sample of these rows, to ten at least."""
    sample = np.random.default_rng(seed).permutation(z.shape[0])[:REFERENCES]
    k = min(max(NEAR, round(WIDE * sample.size)), sample.size)
    return Neighbours(np.ascontiguousarray(z[sample].T), k, 1, "mean")


def mahalanobis(x: Floats, ridge: float, *, tempered: bool = False) -> tuple[Space, Mahalanobis]:
    """From the inner half of these rows."""
    space = Space.robust(x, tempered=tempered)
    return space, trimmed_mahalanobis(space.of(x), 0.5, ridge)


def trimmed_mahalanobis(z: Floats, share: float, ridge: float) -> Mahalanobis:
    """Mean and covariance of the `share` of rows nearest to them, refined four times (a FAST-MCD without restarts).

    The covariance gets `ridge` times its mean variance on the diagonal, so that it can be inverted.
    """
    kept = np.ones(z.shape[0], dtype=bool)
    width = z.shape[1]
    for _ in range(5):
        location = z[kept].mean(axis=0)
        centred = z[kept] - location
        covariance = centred.T @ centred / max(int(kept.sum()) - 1, 1)
        weight = ridge * max(float(np.trace(covariance)) / width, 1e-12)
        precision = np.linalg.inv(covariance + weight * np.eye(width))
        fitted = Mahalanobis(location, np.ascontiguousarray((precision + precision.T) / 2))
        distances = np.einsum("ij,ij->i", (z - location) @ fitted.precision, z - location)
        kept = distances <= np.quantile(distances, share)
    return fitted
