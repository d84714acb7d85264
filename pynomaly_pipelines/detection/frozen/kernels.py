"""Matrices -> scores, one row at a time, in loops that numba compiles. Import this module only when scoring.

Each function does, for each row, the same operations in the same order whatever the number of rows: no BLAS, no
reductions across rows. Callers have checked shapes and types; nothing here checks them again.
"""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def histogram(x: Floats, edges: Floats, scores: Floats, starts: AnyArray, floors: Floats, tolerance: float) -> Floats:
    """float64[n, d] of ``-log2(density + alpha)`` per column, from concatenated equal-width histograms."""
    rows, columns = x.shape
    out = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            # A histogram of b bins has b scores from starts[j] and b + 1 edges from starts[j] + j.
            first = starts[j]
            bins = starts[j + 1] - first
            edge = first + j
            low, high = edges[edge], edges[edge + bins]
            value = x[i, j]
            width_low, width_high = edges[edge + 1] - low, high - edges[edge + bins - 1]
            if value < low:
                inside = low - value <= width_low * tolerance
                out[i, j] = scores[first] if inside else floors[j]
            elif value > high:
                inside = value - high <= width_high * tolerance
                out[i, j] = scores[first + bins - 1] if inside else floors[j]
            else:
                guess = int((value - low) / (high - low) * bins)
                guess = min(max(guess, 0), bins - 1)
                while guess > 0 and value <= edges[edge + guess]:
                    guess -= 1
                while guess < bins - 1 and value > edges[edge + guess + 1]:
                    guess += 1
                out[i, j] = scores[first + guess]
    return out


@compiled
def histogram_sum(
    x: Floats, edges: Floats, scores: Floats, starts: AnyArray, floors: Floats, tolerance: float
) -> Floats:
    """float64[n]: the row sums of `histogram`, without the matrix between."""
    rows, columns = x.shape
    out = np.empty(rows)
    for i in range(rows):
        total = 0.0
        for j in range(columns):
            first = starts[j]
            bins = starts[j + 1] - first
            edge = first + j
            low, high = edges[edge], edges[edge + bins]
            value = x[i, j]
            if value < low:
                inside = low - value <= (edges[edge + 1] - low) * tolerance
                total += scores[first] if inside else floors[j]
            elif value > high:
                inside = value - high <= (high - edges[edge + bins - 1]) * tolerance
                total += scores[first + bins - 1] if inside else floors[j]
            else:
                guess = int((value - low) / (high - low) * bins)
                guess = min(max(guess, 0), bins - 1)
                while guess > 0 and value <= edges[edge + guess]:
                    guess -= 1
                while guess < bins - 1 and value > edges[edge + guess + 1]:
                    guess += 1
                total += scores[first + guess]
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
def nearest(x: Floats, references: Floats, scales: Floats, power: int, k: int) -> tuple[Floats, AnyArray]:
    """Distances float64[n, k], ascending, and indices int64[n, k] of the k nearest references.

    references: float64[d, m], columns first, so that the inner loop runs over references and vectorises.
    power: 1 Manhattan, 2 Euclidean, 0 Chebyshev. Each difference is multiplied by scales[j] first.
    """
    rows, columns = x.shape
    count = references.shape[1]
    distances = np.empty((rows, k))
    indices = np.empty((rows, k), dtype=np.int64)
    block = 512
    total = np.empty(block)
    for i in range(rows):
        for q in range(k):
            distances[i, q] = np.inf
            indices[i, q] = 0
        for start in range(0, count, block):
            size = min(block, count - start)
            for m in range(size):
                total[m] = 0.0
            for j in range(columns):
                value, scale = x[i, j], scales[j]
                column = references[j, start : start + size]
                if power == 2:
                    for m in range(size):
                        gap = (value - column[m]) * scale
                        total[m] += gap * gap
                elif power == 1:
                    for m in range(size):
                        total[m] += abs(value - column[m]) * scale
                else:
                    for m in range(size):
                        total[m] = max(total[m], abs(value - column[m]) * scale)
            for m in range(size):
                gap = total[m]
                if gap < distances[i, k - 1]:
                    place = k - 1
                    while place > 0 and distances[i, place - 1] > gap:
                        distances[i, place] = distances[i, place - 1]
                        indices[i, place] = indices[i, place - 1]
                        place -= 1
                    distances[i, place] = gap
                    indices[i, place] = start + m
        if power == 2:
            for q in range(k):
                distances[i, q] = math.sqrt(distances[i, q])
    return distances, indices


@compiled
def walk(x: AnyArray, features: AnyArray, thresholds: AnyArray, leaves: Floats, levels: int) -> Floats:
    """float64[n]: the sum over trees of the depth at which a row is isolated, in complete heap-ordered trees.

    x: float32[n, d]; features: int32[trees, 2**levels - 1]; thresholds: float32, same shape; leaves:
    float64[trees, 2**levels]. Eight rows go down a tree side by side, to overlap the waits for memory.
    """
    rows = x.shape[0]
    trees, inner = features.shape
    out = np.zeros(rows)
    whole = rows - rows % 8
    for i in range(0, whole, 8):
        for t in range(trees):
            a = b = c = d = e = f = g = h = 0
            for _ in range(levels):
                a = 2 * a + 1 + (x[i, features[t, a]] > thresholds[t, a])
                b = 2 * b + 1 + (x[i + 1, features[t, b]] > thresholds[t, b])
                c = 2 * c + 1 + (x[i + 2, features[t, c]] > thresholds[t, c])
                d = 2 * d + 1 + (x[i + 3, features[t, d]] > thresholds[t, d])
                e = 2 * e + 1 + (x[i + 4, features[t, e]] > thresholds[t, e])
                f = 2 * f + 1 + (x[i + 5, features[t, f]] > thresholds[t, f])
                g = 2 * g + 1 + (x[i + 6, features[t, g]] > thresholds[t, g])
                h = 2 * h + 1 + (x[i + 7, features[t, h]] > thresholds[t, h])
            out[i] += leaves[t, a - inner]
            out[i + 1] += leaves[t, b - inner]
            out[i + 2] += leaves[t, c - inner]
            out[i + 3] += leaves[t, d - inner]
            out[i + 4] += leaves[t, e - inner]
            out[i + 5] += leaves[t, f - inner]
            out[i + 6] += leaves[t, g - inner]
            out[i + 7] += leaves[t, h - inner]
    for i in range(whole, rows):
        for t in range(trees):
            a = 0
            for _ in range(levels):
                a = 2 * a + 1 + (x[i, features[t, a]] > thresholds[t, a])
            out[i] += leaves[t, a - inner]
    return out


@compiled
def walk_sparse(
    x: AnyArray, roots: AnyArray, children: AnyArray, features: AnyArray, thresholds: AnyArray, leaves: Floats
) -> Floats:
    """As `walk`, for trees too deep to pad: children int32[nodes, 2] (-1 = leaf), all trees end to end."""
    out = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        for root in roots:
            node = root
            while children[node, 0] >= 0:
                side = 1 if x[i, features[node]] > thresholds[node] else 0
                node = children[node, side]
            out[i] += leaves[node]
    return out


@compiled
def walk_drops(
    x: AnyArray, roots: AnyArray, children: AnyArray, features: AnyArray, thresholds: AnyArray, expected: Floats
) -> Floats:
    """float64[n, d]: by how much each feature's splits shorten a row's expected path, summed over trees.

    expected: float64[nodes], the mean isolation depth of the training rows that reach a node. A split changes it;
    the change belongs to the feature that splits (Saabas 2014). The sum over features is root minus leaf: additive.
    """
    out = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for root in roots:
            node = root
            while children[node, 0] >= 0:
                feature = features[node]
                side = 1 if x[i, feature] > thresholds[node] else 0
                below = children[node, side]
                out[i, feature] += expected[node] - expected[below]
                node = below
    return out


@compiled
def isolation(depths: Floats, denominator: float, offset: float) -> Floats:
    """float64[n]: ``2 ** (-depth / denominator) + offset``; 0.5 for the depth of a forest grown on one row."""
    out = np.empty(depths.size)
    for i in range(depths.size):
        out[i] = (0.5 if denominator == 0.0 else 2.0 ** (-depths[i] / denominator)) + offset
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
    """float64[n]: sum over columns of ``log10(1 + excess / scale)`` beyond the training range."""
    out = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            excess = max(low[j] - x[i, j], x[i, j] - high[j])
            if excess > 0.0:
                total += math.log1p(excess / scales[j])
        out[i] = total / math.log(10.0)
    return out
