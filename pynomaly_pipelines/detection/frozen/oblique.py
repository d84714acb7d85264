"""Rows -> an isolation forest of oblique splits at their best threshold, grown here and walked in float32.

A split projects rows on two random columns and cuts where the pooled standard deviation falls most (the fair-cut
forest of Cortes 2021); the trees are as deep and the depths count as in Liu, Ting & Zhou (2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen

LEVELS = 8
SAMPLE = 256


@dataclass(frozen=True, eq=False)
class ObliqueForest(Frozen):
    """Complete trees, level by level: node i's children are 2i + 1 and 2i + 2.

    features: int32[trees, inner, 2]; coefficients: float32[trees, inner, 2]; thresholds: float32[trees, inner];
    depths: float64[trees, 2 · inner + 1], the mean isolation depth of the training rows below a node. raw = minus the
    mean depth of a row's leaves.
    """

    features: AnyArray
    coefficients: AnyArray
    thresholds: AnyArray
    depths: Floats
    width: int

    family: ClassVar[str] = "oblique"
    saturates: ClassVar[bool] = True

    @classmethod
    def fit(cls, x: Floats, trees: int, seed: int) -> Self:
        """Trees grown on `SAMPLE` rows each of float64[n, d], whose columns should be of like scale."""
        from pynomaly_pipelines.detection.frozen import growing

        # Grown on what will be walked: float32 rows, so that a training row falls where it fell.
        grown = growing.oblique(x.astype(np.float32), trees, SAMPLE, LEVELS, seed)
        return cls(*grown, width=x.shape[1])

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.walk_oblique(self._single(x), self.features, self.coefficients, self.thresholds, self.depths)

    def contributions(self, x: Floats) -> Floats:
        """By how much the splits on a column shorten the path; the two of a split share by what they project."""
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.walk_oblique_drops(
            self._single(x), self.features, self.coefficients, self.thresholds, self.depths
        )

    def _single(self, x: Floats) -> AnyArray:
        return matrix(x, self.width).astype(np.float32)
