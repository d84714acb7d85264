"""Raw scores and parts -> levels, what every scorer needs last."""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def row_sums(x: Floats) -> Floats:
    """float64[n, d] -> float64[n], added from the left: numpy's own sum changes its order with the layout."""
    out = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            total += x[i, j]
        out[i] = total
    return out


@compiled
def tail_levels(raw: Floats, knots: Floats, levels: Floats, scale: float, shape: float) -> Floats:
    """float64[n]: minus log10 of the tail probability; `Calibration` says what the arguments are."""
    out = np.empty(raw.size)
    last = knots.size - 1
    for i in range(raw.size):
        value = raw[i]
        if value >= knots[last]:
            out[i] = levels[last] + math.log1p(shape * (value - knots[last]) / scale) / (shape * math.log(10.0))
        elif value <= knots[0]:
            out[i] = levels[0] / (1.0 + (knots[0] - value) / scale)
        else:
            low, high = 0, last
            while high - low > 1:
                middle = (low + high) >> 1
                if knots[middle] <= value:
                    low = middle
                else:
                    high = middle
            part = (value - knots[low]) / (knots[high] - knots[low])
            out[i] = levels[low] + part * (levels[high] - levels[low])
    return out


@compiled
def range_excess(x: Floats, low: Floats, high: Floats, scales: Floats) -> Floats:
    """float64[n, d]: ``log10(1 + excess / scale)`` beyond the training range, 0 inside."""
    out = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            excess = max(low[j] - x[i, j], x[i, j] - high[j])
            if excess > 0.0:
                out[i, j] = math.log1p(excess / scales[j]) / math.log(10.0)
    return out


@compiled
def divided(levels: Floats, parts: Floats, typical: Floats) -> Floats:
    """float64[n, d]: each row's level in proportion to what its parts exceed the typical ones by."""
    rows, columns = parts.shape
    out = np.zeros((rows, columns))
    for i in range(rows):
        total = 0.0
        for j in range(columns):
            out[i, j] = max(parts[i, j] - typical[j], 0.0)
            total += out[i, j]
        for j in range(columns):
            out[i, j] = levels[i] * out[i, j] / total if total > 0.0 else 0.0
    return out


@compiled
def largest(parts: Floats, top: int) -> tuple[AnyArray, Floats]:
    """Columns int64[n, top] of each row's largest parts, falling, ties in order, and their shares of the row's sum."""
    rows, columns = parts.shape
    best = np.empty((rows, top), dtype=np.int64)
    shares = np.empty((rows, top))
    for i in range(rows):
        own, values = best[i], shares[i]
        values[:] = -1.0
        total = 0.0
        for j in range(columns):
            part = parts[i, j]
            total += part
            place = top
            while place > 0 and part > values[place - 1]:
                place -= 1
            for after in range(top - 1, place, -1):
                own[after], values[after] = own[after - 1], values[after - 1]
            if place < top:
                own[place], values[place] = j, part
        for place in range(top):
            values[place] = values[place] / total if total > 0.0 else 0.0
    return best, shares
