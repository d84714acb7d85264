"""Rows against few centres: clusters, spheres, radial kernels."""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def cluster_distances(x: Floats, centres: Floats, large: AnyArray, weights: Floats) -> tuple[Floats, AnyArray]:
    """Weighted distances float64[n] and the centre int64[n] each was taken to."""
    rows, columns = x.shape
    out = np.empty(rows)
    chosen = np.empty(rows, dtype=np.int64)
    for i in range(rows):
        own, own_gap = 0, np.inf
        nearest_large, large_gap = 0, np.inf
        for c in range(centres.shape[0]):
            total = 0.0
            for j in range(columns):
                gap = x[i, j] - centres[c, j]
                total += gap * gap
            if total < own_gap:
                own, own_gap = c, total
            if large[c] and total < large_gap:
                nearest_large, large_gap = c, total
        chosen[i] = own if large[own] else nearest_large
        out[i] = math.sqrt(own_gap if large[own] else large_gap) * weights[own]
    return out, chosen


@compiled
def isolation_ratios(x: Floats, centres: Floats, radii: Floats, ratios: Floats) -> Floats:
    """float64[n]: mean over samples of the ratio of the smallest sphere a row falls into, 1 outside all."""
    rows, columns = x.shape
    samples, size = radii.shape
    out = np.empty(rows)
    for i in range(rows):
        mean = 0.0
        for s in range(samples):
            best, ratio = np.inf, 1.0
            for c in range(size):
                if radii[s, c] >= best:
                    continue
                total = 0.0
                for j in range(columns):
                    gap = x[i, j] - centres[s, c, j]
                    total += gap * gap
                if total <= radii[s, c]:
                    best, ratio = radii[s, c], ratios[s, c]
            mean += ratio
        out[i] = mean / samples
    return out


@compiled
def nearest_centre_gaps(x: Floats, centres: Floats) -> Floats:
    """float64[n, d]: mean over samples of the squared gaps to the sample's nearest centre."""
    rows, columns = x.shape
    samples, size = centres.shape[0], centres.shape[1]
    out = np.zeros((rows, columns))
    for i in range(rows):
        for s in range(samples):
            nearest, smallest = 0, np.inf
            for c in range(size):
                total = 0.0
                for j in range(columns):
                    gap = x[i, j] - centres[s, c, j]
                    total += gap * gap
                if total < smallest:
                    nearest, smallest = c, total
            for j in range(columns):
                gap = x[i, j] - centres[s, nearest, j]
                out[i, j] += gap * gap / samples
    return out


@compiled
def squared_distances(x: Floats, points: Floats) -> Floats:
    """float64[n, m] of squared Euclidean distances to points float64[d, m], columns first."""
    rows, columns = x.shape
    out = np.zeros((rows, points.shape[1]))
    for i in range(rows):
        for j in range(columns):
            value = x[i, j]
            for m in range(points.shape[1]):
                gap = value - points[j, m]
                out[i, m] += gap * gap
    return out


@compiled
def radial(x: Floats, points: Floats, weights: Floats, gamma: float, constant: float, logarithm: bool) -> Floats:
    """float64[n]: constant minus the kernel sum, or its logarithm taken about the nearest point."""
    out = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        squares = squared_distances(x[i : i + 1], points)[0]
        nearest_square = squares.min() if logarithm else 0.0
        total = 0.0
        for m in range(squares.size):
            total += weights[m] * math.exp(-gamma * (squares[m] - nearest_square))
        out[i] = constant - (math.log(total) - gamma * nearest_square) if logarithm else constant - total
    return out


@compiled
def radial_gaps(x: Floats, points: Floats, weights: Floats, gamma: float) -> Floats:
    """float64[n, d]: squared gaps to the points, weighted by ``weight · exp(-gamma (square - smallest square))``."""
    rows, columns = x.shape
    out = np.zeros((rows, columns))
    for i in range(rows):
        squares = squared_distances(x[i : i + 1], points)[0]
        smallest = squares.min()
        total = 0.0
        for m in range(squares.size):
            squares[m] = weights[m] * math.exp(-gamma * (squares[m] - smallest))
            total += squares[m]
        for j in range(columns):
            for m in range(squares.size):
                gap = x[i, j] - points[j, m]
                out[i, j] += squares[m] / total * gap * gap
    return out
