"""LODA -> sparse random projections and a table of log frequencies for each (Pevný 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, Ints, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen


@dataclass(frozen=True, eq=False)
class Projections(Frozen):
    """directions: float64[k, d]; limits, heights: float64, histograms end to end; starts: int64[k + 1].

    A projection of b bins has b heights, ``-weight · log frequency``, and the b - 1 limits PyOD looks values up in,
    padded to b.
    """

    directions: Floats
    limits: Floats
    heights: Floats
    starts: Ints

    family: ClassVar[str] = "projections"
    saturates: ClassVar[bool] = True

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.loda.LODA``."""
        frequencies = [np.asarray(h, dtype=np.float64) for h in model.histograms_]
        limits = [_nudged(edges)[: h.size] for edges, h in zip(model.limits_, frequencies, strict=True)]
        weights = np.asarray(model.weights) / model.n_random_cuts
        heights = [-w * np.log(h) for w, h in zip(weights, frequencies, strict=True)]
        starts = np.concatenate([[0], np.cumsum([h.size for h in frequencies])]).astype(np.int64)
        directions = np.ascontiguousarray(model.projections_, dtype=np.float64)
        return cls(directions, np.concatenate(limits), np.concatenate(heights), starts)

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.row_sums(self._heights(x))

    def _heights(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.directions.shape[1])
        return kernels.projected(x, self.directions, self.limits, self.heights, self.starts)

    def contributions(self, x: Floats) -> Floats:
        """Mean height of the projections that read a column less that of the others (Pevný 2016, section 2.3)."""
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.reading_gains(self._heights(x), self.directions)


def _nudged(edges: Any) -> Floats:
    """Edges a trillionth of their range up.

    The training row with the smallest projection lies on the first edge, where PyOD counts it as below. A dot product
    summed in another order may differ by one bit, and would put it above.
    """
    limits = np.asarray(edges, dtype=np.float64)
    return limits + 1e-12 * float(limits[-1] - limits[0])
