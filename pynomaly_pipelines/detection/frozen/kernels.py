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
def walk(x: AnyArray, features: AnyArray, thresholds: AnyArray, leaves: Floats, levels: int) -> Floats:
    """float64[n]: the sum over trees of the depth at which a row is isolated, in complete heap-ordered trees.

    x: float32[n, d]; features: int32[trees, 2**levels - 1]; thresholds: float32, same shape; leaves:
    float64[trees, 2**levels]. Eight rows go down a tree side by side, or one row down eight trees, to overlap the
    waits for memory.
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
    eight = trees - trees % 8
    for i in range(whole, rows):
        for t in range(0, eight, 8):
            a = b = c = d = e = f = g = h = 0
            for _ in range(levels):
                a = 2 * a + 1 + (x[i, features[t, a]] > thresholds[t, a])
                b = 2 * b + 1 + (x[i, features[t + 1, b]] > thresholds[t + 1, b])
                c = 2 * c + 1 + (x[i, features[t + 2, c]] > thresholds[t + 2, c])
                d = 2 * d + 1 + (x[i, features[t + 3, d]] > thresholds[t + 3, d])
                e = 2 * e + 1 + (x[i, features[t + 4, e]] > thresholds[t + 4, e])
                f = 2 * f + 1 + (x[i, features[t + 5, f]] > thresholds[t + 5, f])
                g = 2 * g + 1 + (x[i, features[t + 6, g]] > thresholds[t + 6, g])
                h = 2 * h + 1 + (x[i, features[t + 7, h]] > thresholds[t + 7, h])
            # added one by one, in the order of the trees, as above: the same bits
            out[i] += leaves[t, a - inner]
            out[i] += leaves[t + 1, b - inner]
            out[i] += leaves[t + 2, c - inner]
            out[i] += leaves[t + 3, d - inner]
            out[i] += leaves[t + 4, e - inner]
            out[i] += leaves[t + 5, f - inner]
            out[i] += leaves[t + 6, g - inner]
            out[i] += leaves[t + 7, h - inner]
        for t in range(eight, trees):
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


@compiled
def walk_oblique(
    x: AnyArray, features: AnyArray, coefficients: AnyArray, thresholds: AnyArray, depths: Floats
) -> Floats:
    """float64[n]: minus the mean depth of a row's leaves; arrays as in `ObliqueForest`, x: float32[n, d].

    Four trees at a time, to overlap the waits for memory; depths are added in the order of the trees.
    """
    trees, inner = thresholds.shape
    out = np.empty(x.shape[0])
    four = trees - trees % 4
    for i in range(x.shape[0]):
        row = x[i]
        total = 0.0
        for t in range(0, four, 4):
            a = b = c = d = 0
            while a < inner:
                e, f = features[t, a], features[t + 1, b]
                g, h = features[t + 2, c], features[t + 3, d]
                p, q = coefficients[t, a], coefficients[t + 1, b]
                r, s = coefficients[t + 2, c], coefficients[t + 3, d]
                a = 2 * a + 1 + (p[0] * row[e[0]] + p[1] * row[e[1]] > thresholds[t, a])
                b = 2 * b + 1 + (q[0] * row[f[0]] + q[1] * row[f[1]] > thresholds[t + 1, b])
                c = 2 * c + 1 + (r[0] * row[g[0]] + r[1] * row[g[1]] > thresholds[t + 2, c])
                d = 2 * d + 1 + (s[0] * row[h[0]] + s[1] * row[h[1]] > thresholds[t + 3, d])
            total += depths[t, a]
            total += depths[t + 1, b]
            total += depths[t + 2, c]
            total += depths[t + 3, d]
        for t in range(four, trees):
            a = 0
            while a < inner:
                e, p = features[t, a], coefficients[t, a]
                a = 2 * a + 1 + (p[0] * row[e[0]] + p[1] * row[e[1]] > thresholds[t, a])
            total += depths[t, a]
        out[i] = -total / trees
    return out


@compiled
def walk_oblique_drops(
    x: AnyArray, features: AnyArray, coefficients: AnyArray, thresholds: AnyArray, depths: Floats
) -> Floats:
    """float64[n, d]: what each column's splits take off the expected depth, at least 0, summed over trees."""
    trees, inner = thresholds.shape
    out = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for t in range(trees):
            node = 0
            while node < inner and thresholds[t, node] < np.inf:
                first, second = features[t, node]
                a, b = coefficients[t, node, 0] * x[i, first], coefficients[t, node, 1] * x[i, second]
                below = 2 * node + 1 + (a + b > thresholds[t, node])
                drop = depths[t, node] - depths[t, below]
                weight = abs(a) + abs(b)
                part = abs(a) / weight if weight > 0.0 else 0.5
                out[i, first] += drop * part
                out[i, second] += drop * (1.0 - part)
                node = below
        for j in range(x.shape[1]):
            out[i, j] = max(out[i, j], 0.0)
    return out


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
def walk_heap_drops(x: AnyArray, features: AnyArray, thresholds: AnyArray, expected: Floats, levels: int) -> Floats:
    """As `walk_drops`, in the padded trees of `walk`; expected: float64[trees, 2**(levels + 1) - 1].

    Padding repeats a leaf's depth, so that its steps add nothing. Four trees at a time.
    """
    trees = features.shape[0]
    out = np.zeros(x.shape)
    four = trees - trees % 4
    for i in range(x.shape[0]):
        for t in range(0, four, 4):
            a = b = c = d = 0
            for _ in range(levels):
                p, q, r, s = features[t, a], features[t + 1, b], features[t + 2, c], features[t + 3, d]
                e = 2 * a + 1 + (x[i, p] > thresholds[t, a])
                f = 2 * b + 1 + (x[i, q] > thresholds[t + 1, b])
                g = 2 * c + 1 + (x[i, r] > thresholds[t + 2, c])
                h = 2 * d + 1 + (x[i, s] > thresholds[t + 3, d])
                out[i, p] += expected[t, a] - expected[t, e]
                out[i, q] += expected[t + 1, b] - expected[t + 1, f]
                out[i, r] += expected[t + 2, c] - expected[t + 2, g]
                out[i, s] += expected[t + 3, d] - expected[t + 3, h]
                a, b, c, d = e, f, g, h
        for t in range(four, trees):
            a = 0
            for _ in range(levels):
                p = features[t, a]
                e = 2 * a + 1 + (x[i, p] > thresholds[t, a])
                out[i, p] += expected[t, a] - expected[t, e]
                a = e
    return out
