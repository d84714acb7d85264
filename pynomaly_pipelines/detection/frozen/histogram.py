"""HBOS -> concatenated histograms and one table of scores (Goldstein & Dengel 2012)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, Ints, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen


@dataclass(frozen=True, eq=False)
class Histogram(Frozen):
    """edges: float64[bins + d], scores: float64[bins] = -log2(density + alpha), starts: int64[d + 1], floors: float64[d].

    `floors` is what a column adds for values outside its histogram, as in PyOD.
    """

    edges: Floats
    scores: Floats
    starts: Ints
    floors: Floats
    tolerance: float

    family: ClassVar[str] = "histogram"
    saturates: ClassVar[bool] = True

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.hbos.HBOS`` as arrays."""
        edges = [np.asarray(e, dtype=np.float64) for e in _columns(model.bin_edges_)]
        scores = [-np.log2(np.asarray(h) + model.alpha) for h in _columns(model.hist_)]
        starts = np.concatenate([[0], np.cumsum([s.size for s in scores])]).astype(np.int64)
        floors = np.array([s.max() for s in scores])
        return cls(np.concatenate(edges), np.concatenate(scores), starts, floors, float(model.tol))

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.floors.size)
        return kernels.histogram_sum(x, self.edges, self.scores, self.starts, self.floors, self.tolerance)

    def contributions(self, x: Floats) -> Floats:
        """Each column's score above the lowest it can have: additive up to that constant."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.floors.size)
        parts = kernels.histogram(x, self.edges, self.scores, self.starts, self.floors, self.tolerance)
        lowest = np.minimum.reduceat(self.scores, self.starts[:-1])
        return parts - lowest


def _columns(per_feature: Any) -> list[Any]:
    """PyOD keeps arrays [bins, d] for a fixed number of bins and a list of d arrays for automatic ones."""
    return list(per_feature.T) if isinstance(per_feature, np.ndarray) else list(per_feature)
