"""Values looked up in tables of one column or one projection: histograms, tails, LODA."""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def histogram(x: Floats, edges: Floats, scores: Floats, starts: AnyArray, scales: Floats, terms: Floats) -> Floats:
    """Row sums float64[n] of the scores of the bins that values fall into; writes these into terms float64[n or 0, d].

    Arrays as in `Histogram`. A bin is guessed by its width and put right by at most one place.
    """
    rows, columns = x.shape
    keep = terms.shape[0] > 0
    out = np.empty(rows)
    guesses = np.empty(columns, dtype=np.uint32)  # unsigned: a signed index costs a branch, it may be negative
    for i in range(rows):
        for j in range(columns):
            guess = (x[i, j] - scales[0, j]) * scales[1, j] + 1.0
            guess = guess if guess > 0.0 else 0.0  # of NaN too
            guess = guess if guess < scales[2, j] else scales[2, j]
            guesses[j] = starts[j] + np.uint32(np.int32(guess))
        total = 0.0
        for j in range(columns):
            value, guessed = x[i, j], guesses[j]
            place = guessed + np.uint32(value > edges[guessed + np.uint32(1)]) - np.uint32(value <= edges[guessed])
            total += scores[place]
            if keep:
                terms[i, j] = scores[place]
        out[i] = total
    return out


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
