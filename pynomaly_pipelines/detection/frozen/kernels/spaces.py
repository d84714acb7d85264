"""Rows -> columns of like scale."""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def tempered(x: Floats, centre: Floats, scale: Floats) -> Floats:
    """float64[n, d]: asinh of ``(x - centre) / scale``; one value at a time, as numpy's own depends on the layout."""
    out = np.empty(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = math.asinh((x[i, j] - centre[j]) / scale[j])
    return out
