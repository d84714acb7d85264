"""INNE -> hyperspheres around sampled rows, and what falling into each means (Bandaragoda et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen


@dataclass(frozen=True, eq=False)
class Spheres(Frozen):
    """centres: float64[t, m, d], t samples of m rows; radii: float64[t, m], squared; ratios: float64[t, m]."""

    centres: Floats
    radii: Floats
    ratios: Floats

    family: ClassVar[str] = "spheres"
    saturates: ClassVar[bool] = True

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.inne.INNE``."""
        fields = (model._centroids, model._centroids_radius, model._ratio)
        return cls(*(np.ascontiguousarray(field, dtype=np.float64) for field in fields))

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.isolation_ratios(matrix(x, self.centres.shape[2]), self.centres, self.radii, self.ratios)

    def contributions(self, x: Floats) -> Floats:
        """Mean squared gap to the nearest centre of each sample."""
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.nearest_centre_gaps(matrix(x, self.centres.shape[2]), self.centres)
