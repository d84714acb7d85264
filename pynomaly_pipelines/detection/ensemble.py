"""A training matrix -> "auto": neighbours, Mahalanobis distances and forests, joined by how rare each score is.

1. A first round scores the training rows; the tenth that is most anomalous does not shape what follows, so that
   anomalies among the training rows do not teach the model that they are ordinary.
2. Eight raw scores: mean Manhattan distance to the 10 nearest and to the nearest 5 % of a sample of training rows,
   each in robustly scaled and in standardised columns; Mahalanobis distance from the inner half of all rows, strongly
   regularised, and from the inner half of the least anomalous eight tenths, hardly; two forests of oblique splits,
   with and without the tenth left out.
3. Each becomes its level, -log10 of the share of training rows that reach it. Each of the three kinds has the mean
   of its levels; the raw score is the sum of the three (Fisher 1932).

Averages over settings stand where a choice between them would have been a bet: no setting is picked per data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, matrix
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.frozen.base import MOST_TYPICAL, Frozen, State, nested, restore
from pynomaly_pipelines.detection.frozen.gaussian import Mahalanobis
from pynomaly_pipelines.detection.frozen.neighbours import Neighbours
from pynomaly_pipelines.detection.frozen.oblique import ObliqueForest

TREES = 200
REFERENCES = 2_000
NEAR = 10
WIDE = 0.05
LEVEL_SHAPE = 1.0
"""Beyond the training rows a member's level rises with the logarithm of the excess: no member outvotes the others."""
MOST_RANKED = 10_000
"""Training rows whose scores make a member's levels."""


@dataclass(frozen=True, eq=False)
class Space:
    """Columns brought to like scale: ``(x - centre) / scale``, float64[d] each."""

    centre: Floats
    scale: Floats

    @classmethod
    def robust(cls, x: Floats) -> Self:
        """Medians and interquartile ranges; 1 where the middle half of a column is one value."""
        low, centre, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
        return cls(centre, np.where(high > low, high - low, 1.0))

    @classmethod
    def standard(cls, x: Floats) -> Self:
        """Means and standard deviations; 1 for a constant column."""
        deviation = x.std(axis=0)
        return cls(x.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def of(self, x: Floats) -> Floats:
        return (x - self.centre) / self.scale


@dataclass(frozen=True, eq=False)
class Ensemble(Frozen):
    """spaces: robust, standard; members: two neighbours (one a space), two Mahalanobis, two forests (robust space);
    calibrations: of the eight raw scores; typical: float64[6, d], what a feature adds to each member's raw score of a
    middling row.
    """

    spaces: tuple[Space, ...]
    members: tuple[Frozen, ...]
    calibrations: tuple[Calibration, ...]
    typical: Floats

    family: ClassVar[str] = "ensemble"

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """From a training matrix, float64[n, d]."""
        rarity = _rarity(x, seed)
        kept = x[rarity <= np.quantile(rarity, 0.9)]
        spaces = (Space.robust(kept), Space.standard(kept))
        z, all_z = spaces[0].of(kept), spaces[0].of(x)
        members = (
            *(_neighbours(space.of(kept), seed) for space in spaces),
            trimmed_mahalanobis(all_z, 0.5, 0.1),
            trimmed_mahalanobis(spaces[0].of(x[rarity <= np.quantile(rarity, 0.8)]), 0.5, 1e-3),
            ObliqueForest.fit(all_z, TREES, seed),
            ObliqueForest.fit(z, TREES, seed + 1),
        )
        draft = cls(spaces, members, (), np.zeros((0, x.shape[1])))
        order = np.random.default_rng(seed).permutation(x.shape[0])
        ranked, middling = x[order[:MOST_RANKED]], x[order[:MOST_TYPICAL]]
        calibrations = tuple(Calibration.learn(raw, LEVEL_SHAPE) for raw in draft.raws(ranked).T)
        typical = np.stack([np.median(parts, axis=0) for parts in draft._member_parts(middling)])
        return cls(spaces, members, calibrations, typical)

    def raws(self, x: Floats) -> Floats:
        """float64[n, 8]: the members' own scores, neighbours first."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.spaces[0].centre.size)
        columns = []
        for space, neighbours in zip(self.spaces, self._neighbours(), strict=True):
            distances = neighbours.search(space.of(x))[0]
            columns += [kernels.prefix_means(distances, k) for k in (min(NEAR, neighbours.k), neighbours.k)]
        z = self.spaces[0].of(x)
        return np.column_stack([*columns, *(member.raw(z) for member in self.members[2:])])

    def _neighbours(self) -> list[Neighbours]:
        return [member for member in self.members[:2] if isinstance(member, Neighbours)]

    def clues(self, x: Floats) -> Floats:
        """float64[n, 6]: each member's part of the raw score."""
        raws = self.raws(x)
        levels = [c.levels_of(raw) for c, raw in zip(self.calibrations, raws.T, strict=True)]
        near = [(levels[i] + levels[i + 1]) * 0.25 for i in (0, 2)]
        return np.column_stack([*near, *(level * 0.5 for level in levels[4:])])

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.row_sums(self.clues(x))

    def contributions(self, x: Floats) -> Floats:
        """Each member's level, divided among the columns as the member does: additive."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.spaces[0].centre.size)
        levels = self.clues(x)
        total = np.zeros_like(x)
        for level, parts, typical in zip(levels.T, self._member_parts(x), self.typical, strict=True):
            total += kernels.divided(np.ascontiguousarray(level), parts, typical)
        return total

    def _member_parts(self, x: Floats) -> list[Floats]:
        parts = []
        for space, neighbours in zip(self.spaces, self._neighbours(), strict=True):
            z = space.of(x)
            indices = np.ascontiguousarray(neighbours.search(z)[1][:, :NEAR])
            parts.append(neighbours.gaps(z, indices))
        z = self.spaces[0].of(x)
        return [*parts, *(member.contributions(z) for member in self.members[2:])]

    def state(self) -> State:
        values: dict[str, Any] = {"family": self.family, "members": [], "calibrations": []}
        arrays: dict[str, AnyArray] = {"typical": self.typical}
        for index, space in enumerate(self.spaces):
            arrays |= {f"spaces/{index}/centre": space.centre, f"spaces/{index}/scale": space.scale}
        states = {"members": [m.state() for m in self.members], "calibrations": [c.state() for c in self.calibrations]}
        for name, parts in states.items():
            for index, (part_values, part_arrays) in enumerate(parts):
                values[name].append(part_values)
                arrays |= {f"{name}/{index}/{key}": value for key, value in part_arrays.items()}
        return values, arrays

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        members = tuple(restore(v, nested(f"members/{i}/", arrays)) for i, v in enumerate(values["members"]))
        calibrations = tuple(
            Calibration.from_state(v, nested(f"calibrations/{i}/", arrays))
            for i, v in enumerate(values["calibrations"])
        )
        spaces = tuple(Space(**nested(f"spaces/{i}/", arrays)) for i in range(2))
        return cls(spaces, members, calibrations, arrays["typical"])


def _rarity(x: Floats, seed: int) -> Floats:
    """float64[n]: how anomalous a first round of three detectors finds the training rows, as a sum of log ranks."""
    z = Space.robust(x).of(x)
    rounds = (_neighbours(z, seed), trimmed_mahalanobis(z, 0.75, 1e-6), ObliqueForest.fit(z, TREES, seed))
    rarity = np.zeros(x.shape[0])
    for member in rounds:
        ranks = np.argsort(np.argsort(member.raw(z), kind="stable"))
        rarity -= np.log1p(-(ranks + 0.5) / (ranks.size + 1))
    return rarity


def _neighbours(z: Floats, seed: int) -> Neighbours:
    sample = np.random.default_rng(seed).permutation(z.shape[0])[:REFERENCES]
    k = min(max(NEAR, round(WIDE * sample.size)), sample.size)
    return Neighbours(np.ascontiguousarray(z[sample].T), k, 1, "mean")


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
