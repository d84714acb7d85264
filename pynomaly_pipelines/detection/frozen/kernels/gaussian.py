"""Mahalanobis distances, mixtures and principal axes."""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def quadratic(x: Floats, location: Floats, precision: Floats) -> Floats:
    """float64[n]: squared Mahalanobis distances ``(x - location)ᵀ precision (x - location)``."""
    rows, columns = x.shape
    out = np.empty(rows)
    centred = np.empty(columns)
    product = np.empty(columns)
    for i in range(rows):
        for j in range(columns):
            centred[j] = x[i, j] - location[j]
            product[j] = 0.0
        for j in range(columns):
            factor = centred[j]
            for k in range(columns):
                product[k] += factor * precision[j, k]
        total = 0.0
        for j in range(columns):
            total += centred[j] * product[j]
        out[i] = total
    return out


@compiled
def quadratic_drops(x: Floats, location: Floats, precision: Floats) -> Floats:
    """float64[n, d]: by how much the squared distance would fall were the column what the others predict.

    With ``y = precision (x - location)`` the fall is ``y_j² / precision_jj``.
    """
    rows, columns = x.shape
    out = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = 0.0
        for j in range(columns):
            factor = x[i, j] - location[j]
            for k in range(columns):
                out[i, k] += factor * precision[j, k]
        for j in range(columns):
            diagonal = precision[j, j]
            out[i, j] = out[i, j] * out[i, j] / diagonal if diagonal > 0.0 else 0.0
    return out


@compiled
def minus_log_sum(x: Floats) -> Floats:
    """float64[n, k] -> float64[n]: ``-log Σ exp``, about the largest term so that nothing overflows."""
    out = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(1, x.shape[1]):
            largest = max(largest, x[i, j])
        total = 0.0
        for j in range(x.shape[1]):
            total += math.exp(x[i, j] - largest)
        out[i] = -(largest + math.log(total))
    return out


@compiled
def axis_parts(x: Floats, centre: Floats, scale: Floats, axes: Floats, weights: Floats) -> Floats:
    """float64[n, d]: each column's part of ``Σ ‖z - axis‖ / weight``."""
    rows, columns = x.shape
    out = np.zeros((rows, columns))
    for i in range(rows):
        for a in range(axes.shape[0]):
            total = 0.0
            for j in range(columns):
                gap = (x[i, j] - centre[j]) / scale[j] - axes[a, j]
                total += gap * gap
            length = math.sqrt(total)
            if length > 0.0:
                for j in range(columns):
                    gap = (x[i, j] - centre[j]) / scale[j] - axes[a, j]
                    out[i, j] += gap * gap / (length * weights[a])
    return out
