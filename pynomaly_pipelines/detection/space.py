"""Columns of any units -> columns of like scale, in which distances and splits mean something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, matrix

NORMAL_RANGE = 1.349
"""The interquartile range of a normal column, in standard deviations."""


@dataclass(frozen=True, eq=False)
class Space:
    """``z = (x - centre) / scale``, float64[d] each; tempered: asinh z, in which a heavy tail does not outweigh the
    other columns.
    """

    centre: Floats
    scale: Floats
    tempered: bool = False

    @classmethod
    def robust(cls, x: Floats, *, tempered: bool = False) -> Self:
        """Medians and interquartile ranges; where the middle half of a column is one value, its standard deviation
        times that of a normal column's range, and 1 for a constant column.
        """
        low, centre, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
        scale = np.where(high > low, high - low, NORMAL_RANGE * x.std(axis=0))
        return cls(centre, np.where(scale > 0, scale, 1.0), tempered)

    def of(self, x: Floats) -> Floats:
        """float64[n, d] -> float64[n, d]."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.centre.size)
        return kernels.tempered(x, self.centre, self.scale) if self.tempered else (x - self.centre) / self.scale

    def state(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        return {"tempered": self.tempered}, {"centre": self.centre, "scale": self.scale}

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        return cls(arrays["centre"], arrays["scale"], bool(values["tempered"]))
