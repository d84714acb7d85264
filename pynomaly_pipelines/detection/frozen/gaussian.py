"""MCD -> a location and a precision matrix; squared Mahalanobis distances, one row at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen


@dataclass(frozen=True, eq=False)
class Mahalanobis(Frozen):
    """location: float64[d]; precision: float64[d, d], symmetric and positive semi-definite."""

    location: Floats
    precision: Floats

    family: ClassVar[str] = "mahalanobis"

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.mcd.MCD`` as its robust location and precision."""
        estimate = model.detector_
        return cls(
            np.ascontiguousarray(estimate.location_, dtype=np.float64),
            np.ascontiguousarray(estimate.get_precision(), dtype=np.float64),
        )

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.quadratic(matrix(x, self.location.size), self.location, self.precision)

    def contributions(self, x: Floats) -> Floats:
        """The fall of the distance if a column were what the others predict (not additive: columns share causes)."""
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.quadratic_drops(matrix(x, self.location.size), self.location, self.precision)
