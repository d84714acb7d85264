"""HBOS -> concatenated histograms and one table of scores (Goldstein & Dengel 2012)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, Ints, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen


@dataclass(frozen=True, eq=False)
class Histogram(Frozen):
    """edges: float64[bins + d], scores: float64[bins] = -log2(density + alpha), starts: int64[d + 1],
    bounds: float64[3, d], each histogram's ends and its bins per unit; floors: float64[d].

    `floors` is what a column adds for values outside its histogram, as in PyOD.
    """

    edges: Floats
    scores: Floats
    starts: Ints
    bounds: Floats
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
        low, high = np.array([e[0] for e in edges]), np.array([e[-1] for e in edges])
        bounds = np.stack([low, high, np.diff(starts) / (high - low)])
        return cls(np.concatenate(edges), np.concatenate(scores), starts, bounds, floors, float(model.tol))

    def raw(self, x: Floats) -> Floats:
        return self._look_up(x, keep=False)[0]

    def contributions(self, x: Floats) -> Floats:
        """Each column's score above the lowest it can have: additive up to that constant."""
        return self._look_up(x, keep=True)[1] - np.minimum.reduceat(self.scores, self.starts[:-1])

    def _look_up(self, x: Floats, *, keep: bool) -> tuple[Floats, Floats]:
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.floors.size)
        return kernels.histogram(
            x, self.edges, self.scores, self.starts, self.bounds, self.floors, self.tolerance, keep
        )


def _columns(per_feature: Any) -> list[Any]:
    """PyOD keeps arrays [bins, d] for a fixed number of bins and a list of d arrays for automatic ones."""
    return list(per_feature.T) if isinstance(per_feature, np.ndarray) else list(per_feature)
