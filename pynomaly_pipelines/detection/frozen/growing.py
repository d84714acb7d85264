"""Rows -> trees, in loops that numba compiles. Import this module only when fitting."""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def _search_depth(rows: int) -> float:
    """Mean depth of an unsuccessful search among `rows` rows: 2 (ln(n-1) + γ) - 2 (n-1)/n."""
    if rows < 2:
        return 0.0
    return 1.0 if rows == 2 else 2.0 * (math.log(rows - 1.0) + np.euler_gamma) - 2.0 * (rows - 1.0) / rows


@compiled
def _spread(x: AnyArray, rows: AnyArray, feature: int) -> float:
    """Standard deviation of a column over `rows`."""
    mean = 0.0
    for row in rows:
        mean += x[row, feature]
    mean /= rows.size
    square = 0.0
    for row in rows:
        square += (x[row, feature] - mean) ** 2
    return math.sqrt(square / rows.size)


@compiled
def _best_cut(ascending: AnyArray) -> int:
    """Index after which a cut leaves the smallest pooled standard deviation; -1 if all values are equal."""
    n = ascending.size
    middle = ascending.mean()
    total, square = 0.0, 0.0
    for value in ascending:
        total += value - middle
        square += (value - middle) ** 2
    best, place = np.inf, -1
    left, left_square = 0.0, 0.0
    for i in range(n - 1):
        left += ascending[i] - middle
        left_square += (ascending[i] - middle) ** 2
        if ascending[i + 1] <= ascending[i]:
            continue
        below, above = i + 1.0, n - i - 1.0
        low = max(left_square / below - (left / below) ** 2, 0.0)
        high = max((square - left_square) / above - ((total - left) / above) ** 2, 0.0)
        pooled = below * math.sqrt(low) + above * math.sqrt(high)
        if pooled < best:
            best, place = pooled, i
    return place


@compiled
def _projection(x: AnyArray, rows: AnyArray, chosen: AnyArray, factors: AnyArray) -> bool:
    """Draw two columns that vary over `rows` and a random factor for each; False where none was met in 20 draws."""
    count = 0
    chosen[:] = 0
    factors[:] = 0.0
    for _ in range(20):
        feature = np.random.randint(x.shape[1])
        if count == 1 and feature == chosen[0]:
            continue
        spread = _spread(x, rows, feature)
        if spread > 1e-12:
            chosen[count] = feature
            factors[count] = np.random.normal() / spread
            count += 1
            if count == 2:
                break
    return count > 0


@compiled
def oblique(
    x: AnyArray, trees: int, sample: int, levels: int, seed: int
) -> tuple[AnyArray, AnyArray, AnyArray, Floats]:
    """features, coefficients, thresholds and depths of `ObliqueForest` for rows float32[n, d]."""
    np.random.seed(seed)
    inner = 2**levels - 1
    features = np.zeros((trees, inner, 2), dtype=np.int32)
    coefficients = np.zeros((trees, inner, 2), dtype=np.float32)
    thresholds = np.full((trees, inner), np.inf, dtype=np.float32)
    depths = np.zeros((trees, 2 * inner + 1))
    sizes = np.zeros(2 * inner + 1, dtype=np.int64)
    starts = np.zeros(2 * inner + 1, dtype=np.int64)
    split = np.zeros(2 * inner + 1, dtype=np.bool_)
    sample = min(sample, x.shape[0])
    for t in range(trees):
        rows = np.random.permutation(x.shape[0])[:sample]
        sizes[:] = 0
        split[:] = False
        sizes[0], starts[0] = sample, 0
        level = 0
        for node in range(2 * inner + 1):
            if node >= 2 ** (level + 1) - 1:
                level += 1
            if node > 0 and not split[(node - 1) // 2]:
                depths[t, node] = depths[t, (node - 1) // 2]  # padding below a leaf repeats it
                continue
            here = rows[starts[node] : starts[node] + sizes[node]]
            depths[t, node] = level + _search_depth(here.size)
            if level == levels or here.size < 2:
                continue
            if not _projection(x, here, features[t, node], coefficients[t, node]):
                continue
            first, second = features[t, node]
            a, b = coefficients[t, node]
            values = np.empty(here.size, dtype=np.float32)
            for i in range(here.size):
                values[i] = a * x[here[i], first] + b * x[here[i], second]
            order = np.argsort(values)
            cut = _best_cut(values[order])
            if cut < 0:
                continue
            low, high = values[order[cut]], values[order[cut + 1]]
            middle = np.float32(low + (high - low) * np.float32(0.5))
            thresholds[t, node] = middle if middle < high else low
            here[:] = here[order]
            split[node] = True
            starts[2 * node + 1], sizes[2 * node + 1] = starts[node], cut + 1
            starts[2 * node + 2], sizes[2 * node + 2] = starts[node] + cut + 1, here.size - cut - 1
        for node in range(inner - 1, -1, -1):
            if split[node]:
                left, right = 2 * node + 1, 2 * node + 2
                mass = depths[t, left] * sizes[left] + depths[t, right] * sizes[right]
                depths[t, node] = mass / sizes[node]
                # a padded node repeats the leaf above it, never a mean: only real splits are averaged
    return features, coefficients, thresholds, depths
