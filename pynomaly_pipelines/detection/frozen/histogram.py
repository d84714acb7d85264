"""HBOS -> concatenated histograms and one table of scores (Goldstein & Dengel 2012)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen


@dataclass(frozen=True, eq=False)
class Histogram(Frozen):
    """One histogram a column, end to end, each with a bin for all that lies below it and one for all above.

    edges, scores: float64[bins + d]; starts: uint32[d], where a column's begin in both. Bin b holds
    edges[b] < value ≤ edges[b + 1] and scores[b] = -log2(density + alpha); the outer two the column's highest, as in
    PyOD. scales: float64[3, d], to guess a bin by: the lowest edge, bins a unit, the number of the last bin.
    """

    edges: Floats
    scores: Floats
    starts: AnyArray
    scales: Floats

    family: ClassVar[str] = "histogram"
    saturates: ClassVar[bool] = True

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.hbos.HBOS`` as arrays."""
        edges = [np.asarray(e, dtype=np.float64) for e in _columns(model.bin_edges_)]
        scores = [-np.log2(np.asarray(h) + model.alpha) for h in _columns(model.hist_)]
        bins = np.array([s.size for s in scores])
        low, high = np.array([e[0] for e in edges]), np.array([e[-1] for e in edges])
        return cls(
            np.concatenate([_widened(e, float(model.tol)) for e in edges]),
            np.concatenate([np.concatenate([[s.max()], s, [s.max()] * 2]) for s in scores]),
            np.concatenate([[0], np.cumsum(bins + 3)[:-1]]).astype(np.uint32),
            np.stack([low, bins / (high - low), bins + 1.0]),
        )

    def raw(self, x: Floats) -> Floats:
        return self._look_up(matrix(x, self.starts.size), np.empty((0, 0)))

    def contributions(self, x: Floats) -> Floats:
        """Each column's score above the lowest it can have: additive up to that constant."""
        return self.explained(x)[1]

    def explained(self, x: Floats) -> tuple[Floats, Floats]:
        x = matrix(x, self.starts.size)
        terms = np.empty_like(x)
        raw = self._look_up(x, terms)
        terms -= np.minimum.reduceat(self.scores, self.starts)
        return raw, terms

    def _look_up(self, x: Floats, terms: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.histogram(x, self.edges, self.scores, self.starts, self.scales, terms)


def _widened(edges: Floats, tolerance: float) -> Floats:
    """PyOD's edges float64[b + 1] of one column -> those of its bins and the outer two, float64[b + 3].

    PyOD counts a value up to `tolerance` bins outside into the outermost bin, and measures by subtraction: the ends
    are the last floats that this counts in, and the first it does not.
    """
    low, high = edges[0], edges[-1]
    below, above = (edges[1] - low) * tolerance, (high - edges[-2]) * tolerance
    first = np.nextafter(low - below, np.inf)
    while low - first <= below:
        first = np.nextafter(first, -np.inf)
    last = np.nextafter(high + above, np.inf)
    while last - high > above:
        last = np.nextafter(last, -np.inf)
    return np.concatenate([[np.nan, first], edges[1:-1], [last, np.inf]])  # nothing is ≤ NaN, not even -∞


def _columns(per_feature: Any) -> list[Any]:
    """PyOD keeps arrays [bins, d] for a fixed number of bins and a list of d arrays for automatic ones."""
    return list(per_feature.T) if isinstance(per_feature, np.ndarray) else list(per_feature)
