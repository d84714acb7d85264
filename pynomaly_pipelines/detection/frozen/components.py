"""PCA -> standardised principal axes and their weights (Shyu et al. 2003, in PyOD's form)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen

NO_VARIANCE = 1e-10
"""Share of the variance below which an axis is left out: PyOD divides by it, and every score becomes infinite."""


@dataclass(frozen=True, eq=False)
class Axes(Frozen):
    """centre, scale: float64[d]; axes: float64[k, d]; weights: float64[k].

    raw = sum over axes of ``‖z - axis‖ / weight``, z the standardised row.
    """

    centre: Floats
    scale: Floats
    axes: Floats
    weights: Floats

    family: ClassVar[str] = "axes"

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.pca.PCA``, without axes of no variance."""
        axes, weights = np.asarray(model.selected_components_), np.asarray(model.selected_w_components_)
        width = axes.shape[1]
        scaler = model.scaler_ if model.standardization else None
        used = weights > NO_VARIANCE
        return cls(
            np.zeros(width) if scaler is None else np.asarray(scaler.mean_, dtype=np.float64),
            np.ones(width) if scaler is None else np.asarray(scaler.scale_, dtype=np.float64),
            np.ascontiguousarray(axes[used], dtype=np.float64),
            np.ascontiguousarray(weights[used], dtype=np.float64),
        )

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.centre.size)
        return kernels.row_sums(kernels.axis_parts(x, self.centre, self.scale, self.axes, self.weights))

    def contributions(self, x: Floats) -> Floats:
        """Each column's part of every distance, ``(z_j - axis_j)² / (‖z - axis‖ · weight)``: additive."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.centre.size)
        return kernels.axis_parts(x, self.centre, self.scale, self.axes, self.weights)
