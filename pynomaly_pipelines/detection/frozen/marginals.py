"""ECOD and COPOD -> one piecewise-linear function a column, so that a row no longer depends on its batch.

PyOD recomputes the empirical distribution over training rows *and* the rows to score. Here it is that of the
training rows. At training values the result is PyOD's own; between them it is interpolated; beyond them it goes on
as ``log1p(excess / interquartile range)``, so that ten and a hundred deviations differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, Ints, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen

EXACT = 4096
"""Distinct training values a column may have before its table is thinned."""
TAIL = 512
"""Values kept one by one at either end of a thinned table."""


@dataclass(frozen=True, eq=False)
class Marginals(Frozen):
    """knots, heights: float64, column after column; starts: int64[d + 1], where each column's begin.

    scales: float64[d], interquartile ranges; gains: float64[2, d], slopes of the logarithm below and above.
    """

    knots: Floats
    heights: Floats
    starts: Ints
    scales: Floats
    gains: Floats

    family: ClassVar[str] = "marginals"

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models`` ECOD or COPOD as tables."""
        x = np.asarray(model.X_train, dtype=np.float64)
        copod = type(model).__name__ == "COPOD"
        tables = [_table(column, _skew_sign(column), copod) for column in x.T]
        starts = np.concatenate([[0], np.cumsum([t[0].size for t in tables])]).astype(np.int64)
        return cls(
            np.concatenate([t[0] for t in tables]),
            np.concatenate([t[1] for t in tables]),
            starts,
            np.array([_scale(column) for column in x.T]),
            np.array([_gains(_skew_sign(column), copod) for column in x.T]).T.copy(),
        )

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.row_sums(self.contributions(x))

    def contributions(self, x: Floats) -> Floats:
        """Each column's own tail score: additive."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.scales.size)
        return kernels.marginals(x, self.knots, self.heights, self.starts, self.scales, self.gains)


def _skew_sign(column: Floats) -> float:
    from scipy.stats import skew

    with np.errstate(all="ignore"):
        # A constant column has no skew; PyOD's NaN would make every score NaN.
        return float(np.nan_to_num(np.sign(skew(column)))) if np.ptp(column) > 0 else 0.0


def _table(column: Floats, skew: float, copod: bool) -> tuple[Floats, Floats]:
    """Distinct values of a column and PyOD's ``O`` at each, thinned where there are many."""
    values, counts = np.unique(column, return_counts=True)
    below = np.cumsum(counts) / column.size
    above = np.cumsum(counts[::-1])[::-1] / column.size
    left, right = -np.log(below), -np.log(above)
    skewed = {1.0: right, -1.0: left}.get(skew, left + right)
    heights = np.maximum(skewed, (left + right) / 2) if copod else np.maximum(np.maximum(left, right), skewed)
    keep = _thinned(values.size)
    return values[keep], heights[keep]


def _thinned(size: int) -> Ints:
    if size <= EXACT:
        return np.arange(size)
    middle = np.linspace(TAIL, size - TAIL - 1, EXACT - 2 * TAIL).round().astype(np.int64)
    return np.unique(np.concatenate([np.arange(TAIL), middle, np.arange(size - TAIL, size)]))


def _scale(column: Floats) -> float:
    quarter, three = np.quantile(column, [0.25, 0.75])
    for scale in (three - quarter, column.std(), abs(float(column[0]))):
        if scale > 0:
            return float(scale)
    return 1.0


def _gains(skew: float, copod: bool) -> tuple[float, float]:
    """Of the log tail probability beyond either end, the part that PyOD's formula lets through."""
    if not copod:
        return 1.0, 1.0
    return (0.5 if skew > 0 else 1.0), (0.5 if skew < 0 else 1.0)
