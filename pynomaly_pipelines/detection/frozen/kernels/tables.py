"""Values looked up in tables of one column or one projection: histograms, tails, LODA."""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def histogram(
    x: Floats,
    edges: Floats,
    scores: Floats,
    starts: AnyArray,
    bounds: Floats,
    floors: Floats,
    tolerance: float,
    keep: bool,
) -> tuple[Floats, Floats]:
    """Row sums float64[n] of ``-log2(density + alpha)`` and, with `keep`, the terms float64[n, d], else [0, 0].

    Equal-width histograms end to end: one of b bins has b scores from starts[j] and b + 1 edges from starts[j] + j;
    bounds: float64[3, d], its ends and its bins per unit.
    """
    rows, columns = x.shape
    sums = np.empty(rows)
    terms = np.empty((rows, columns)) if keep else np.empty((0, 0))
    for i in range(rows):
        total = 0.0
        for j in range(columns):
            value, low, high, first = x[i, j], bounds[0, j], bounds[1, j], starts[j]
            last, edge = starts[j + 1] - 1, first + j
            if value < low:
                term = scores[first] if low - value <= (edges[edge + 1] - low) * tolerance else floors[j]
            elif value > high:
                width = high - edges[last + j]
                term = scores[last] if value - high <= width * tolerance else floors[j]
            else:
                guess = min(int((value - low) * bounds[2, j]), last - first)
                # the product is off by at most one bin; PyOD's bins are open below and closed above
                if guess > 0 and value <= edges[edge + guess]:
                    guess -= 1
                elif guess < last - first and value > edges[edge + guess + 1]:
                    guess += 1
                term = scores[first + guess]
            total += term
            if keep:
                terms[i, j] = term
        sums[i] = total
    return sums, terms


@compiled
def marginals(x: Floats, knots: Floats, heights: Floats, starts: AnyArray, scales: Floats, gains: Floats) -> Floats:
    """float64[n, d]: per column a piecewise-linear function, continued beyond its ends by ``gain · log1p(excess)``."""
    rows, columns = x.shape
    out = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            low, high = starts[j], starts[j + 1] - 1
            value = x[i, j]
            if value <= knots[low]:
                out[i, j] = heights[low] + gains[0, j] * math.log1p((knots[low] - value) / scales[j])
            elif value >= knots[high]:
                out[i, j] = heights[high] + gains[1, j] * math.log1p((value - knots[high]) / scales[j])
            else:
                while high - low > 1:
                    middle = (low + high) >> 1
                    if knots[middle] <= value:
                        low = middle
                    else:
                        high = middle
                part = (value - knots[low]) / (knots[high] - knots[low])
                out[i, j] = heights[low] + part * (heights[high] - heights[low])
    return out


@compiled
def projected(x: Floats, directions: Floats, limits: Floats, heights: Floats, starts: AnyArray) -> Floats:
    """float64[n, k]: the height of the bin that each projection of a row falls into."""
    rows, columns = x.shape
    cuts = directions.shape[0]
    out = np.empty((rows, cuts))
    for i in range(rows):
        for c in range(cuts):
            value = 0.0
            for j in range(columns):
                value += directions[c, j] * x[i, j]
            # PyOD: searchsorted(limits[: bins - 1], value, side="left")
            low, high = starts[c], starts[c + 1] - 1
            while low < high:
                middle = (low + high) >> 1
                if limits[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            out[i, c] = heights[low]
    return out


@compiled
def reading_gains(heights: Floats, directions: Floats) -> Floats:
    """float64[n, d]: mean height of the projections that read a column less that of the others, at least 0."""
    rows, cuts = heights.shape
    columns = directions.shape[1]
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            inside, outside, reading = 0.0, 0.0, 0
            for c in range(cuts):
                if directions[c, j] != 0.0:
                    inside += heights[i, c]
                    reading += 1
                else:
                    outside += heights[i, c]
            if reading > 0:
                rest = outside / (cuts - reading) if reading < cuts else 0.0
                out[i, j] = max(inside / reading - rest, 0.0)
    return out
