"""Rows against reference rows -> the nearest ones, their distances and densities."""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def _add_gaps(total: Floats, x: Floats, references: Floats, start: int, size: int, power: int) -> None:
    """total[:size] = the distances (squared for power 2) of one row, float64[d], to references start … start + size.

    Four columns at a time: `total` is read and written a quarter as often. The order of additions is fixed.
    """
    columns = x.size
    for m in range(size):
        total[m] = 0.0
    j = 0
    while j + 4 <= columns:
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        p, q = references[j, start : start + size], references[j + 1, start : start + size]
        r, s = references[j + 2, start : start + size], references[j + 3, start : start + size]
        if power == 2:
            for m in range(size):
                e, f, g, h = a - p[m], b - q[m], c - r[m], d - s[m]
                total[m] += (e * e + f * f) + (g * g + h * h)
        elif power == 1:
            for m in range(size):
                total[m] += (abs(a - p[m]) + abs(b - q[m])) + (abs(c - r[m]) + abs(d - s[m]))
        else:
            for m in range(size):
                total[m] = max(total[m], abs(a - p[m]), abs(b - q[m]), abs(c - r[m]), abs(d - s[m]))
        j += 4
    while j < columns:
        a, p = x[j], references[j, start : start + size]
        if power == 2:
            for m in range(size):
                total[m] += (a - p[m]) * (a - p[m])
        elif power == 1:
            for m in range(size):
                total[m] += abs(a - p[m])
        else:
            for m in range(size):
                total[m] = max(total[m], abs(a - p[m]))
        j += 1


@compiled
def nearest(x: Floats, references: Floats, power: int, k: int) -> tuple[Floats, AnyArray]:
    """Distances float64[n, k], ascending, and indices int64[n, k] of the k nearest references.

    references: float64[d, m], columns first, so that the inner loop runs over references and vectorises.
    power: 1 Manhattan, 2 Euclidean, 0 Chebyshev.
    """
    rows = x.shape[0]
    count = references.shape[1]
    distances = np.full((rows, k), np.inf)
    indices = np.zeros((rows, k), dtype=np.int64)
    total = np.empty(512)
    for i in range(rows):
        worst = np.inf
        for start in range(0, count, 512):
            size = min(512, count - start)
            _add_gaps(total, x[i], references, start, size, power)
            for m in range(size):
                gap = total[m]
                if gap < worst:
                    place = k - 1
                    while place > 0 and distances[i, place - 1] > gap:
                        distances[i, place] = distances[i, place - 1]
                        indices[i, place] = indices[i, place - 1]
                        place -= 1
                    distances[i, place] = gap
                    indices[i, place] = start + m
                    worst = distances[i, k - 1]
        if power == 2:
            for q in range(k):
                distances[i, q] = math.sqrt(distances[i, q])
    return distances, indices


@compiled
def prefix_means(distances: Floats, k: int) -> Floats:
    """float64[n]: the mean of the first k of each row's ascending distances."""
    out = np.empty(distances.shape[0])
    for i in range(distances.shape[0]):
        total = 0.0
        for q in range(k):
            total += distances[i, q]
        out[i] = total / k
    return out


@compiled
def neighbour_gaps(x: Floats, references: Floats, indices: AnyArray, power: int) -> Floats:
    """float64[n, d]: mean over neighbours int64[n, k] of ``|x - reference|``, squared for power 2."""
    rows, columns = x.shape
    k = indices.shape[1]
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            total = 0.0
            for q in range(k):
                gap = abs(x[i, j] - references[j, indices[i, q]])
                total += gap * gap if power == 2 else gap
            out[i, j] = total / k
    return out


@compiled
def local_outlier_factors(distances: Floats, indices: AnyArray, reaches: Floats, densities: Floats) -> Floats:
    """float64[n]: mean density of the k neighbours over the row's own (scikit-learn's 1e-10 included)."""
    rows, k = distances.shape
    out = np.empty(rows)
    for i in range(rows):
        reach, density = 0.0, 0.0
        for q in range(k):
            neighbour = indices[i, q]
            reach += max(distances[i, q], reaches[neighbour])
            density += densities[neighbour]
        out[i] = density / k * (reach / k + 1e-10)
    return out
