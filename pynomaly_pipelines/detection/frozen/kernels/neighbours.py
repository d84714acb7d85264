"""Rows against reference rows -> the nearest ones, their distances and densities.

`nearest` first measures every reference in float32, in tiles that vectorise and stay in the core's cache, with fused
products. A bound on the error of that says which references can be among the k nearest; only these, a few more than k,
are measured in float64. The answer is exact, and the bits of the rough measure leave no trace in it.
"""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled, fused

TILE = 256
"""References a tile: 20 columns of them in float32 are 20 KB, half of a core's first cache."""
TOGETHER = 8
"""Rows measured against a tile while it is in that cache."""


@fused
def _rough(x: AnyArray, tile: AnyArray, power: int, total: AnyArray) -> None:
    """total[:] = rough distances (squared for power 2) of a row, float32[d], to a tile of references, float32[d, TILE].

    Four columns at a time: `total` is read and written a quarter as often.
    """
    columns = x.size
    fours = columns - columns % 4
    total[:] = 0.0
    for j in range(0, fours, 4):
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        p, q, r, s = tile[j], tile[j + 1], tile[j + 2], tile[j + 3]
        if power == 2:
            for m in range(TILE):
                e, f, g, h = a - p[m], b - q[m], c - r[m], d - s[m]
                total[m] = total[m] + e * e + f * f + g * g + h * h
        elif power == 1:
            for m in range(TILE):
                total[m] += abs(a - p[m]) + abs(b - q[m]) + abs(c - r[m]) + abs(d - s[m])
        else:
            for m in range(TILE):
                total[m] = max(total[m], abs(a - p[m]), abs(b - q[m]), abs(c - r[m]), abs(d - s[m]))
    for j in range(fours, columns):
        a, p = x[j], tile[j]
        for m in range(TILE):
            gap = abs(a - p[m])
            total[m] = max(total[m], gap) if power == 0 else total[m] + (gap * gap if power == 2 else gap)


@compiled
def _smallest(rough: AnyArray, out: AnyArray) -> None:
    """out[m] = the smallest of rough[m], rough[m + TILE], rough[m + 2 TILE] …"""
    out[:] = np.inf
    for start in range(0, rough.size, TILE):
        part = rough[start : start + TILE]
        for m in range(TILE):
            out[m] = part[m] if part[m] < out[m] else out[m]


@compiled
def _reaching(pool: AnyArray, k: int) -> float:
    """A value that at least k, and not many more, of float32[m] ≥ 0 do not exceed.

    Halves an interval of bit patterns: those of floats ≥ 0 are ordered like the floats, and whole numbers are counted
    in vectors.
    """
    bits = pool.view(np.int32)
    low, high = bits[0], bits[0]
    for m in range(bits.size):
        low, high = min(low, bits[m]), max(high, bits[m])
    low -= np.int32(1)
    while high - low > 1:
        middle = np.int32(low + ((high - low) >> 1))
        count = 0
        for m in range(bits.size):
            count += bits[m] <= middle
        if count < k:
            low = middle
        else:
            high = middle
            if count <= k + (k >> 3) + 2:
                break
    return float(np.array([high], dtype=np.int32).view(np.float32)[0])


@compiled
def _limit(reached: float, z: AnyArray, reach: float, power: int) -> np.float32:
    """The rough distance beyond which no reference is among the k nearest, if k have rough distances ≤ `reached`.

    A rough distance is off by at most 2**-24 of the lengths of both rows, and by (columns + 2) · 2**-24 of itself;
    twice as much is allowed for. reach: length of the longest reference.
    """
    length = reach
    for j in range(z.size):
        length += abs(z[j])
    off, factor = length * 2.0**-23, 1.0 + (z.size + 8) * 2.0**-23
    distance = math.sqrt(reached) if power == 2 else reached
    bound = ((distance + off) * factor + off) * factor
    bound = (bound * bound if power == 2 else bound) * (1.0 + 2.0**-20)
    return np.float32(bound if bound < 1e38 else np.inf)


@compiled
def _within(rough: AnyArray, smallest: AnyArray, limit: np.float32, found: AnyArray) -> int:
    """Write the places of the rough distances ≤ limit into `found` and return how many there are."""
    count = 0
    for m in range(TILE):
        if not smallest[m] > limit:
            for place in range(m, rough.size, TILE):
                found[count] = place
                count += not rough[place] > limit
    return count


@compiled
def _distance(x: Floats, y: Floats, power: int) -> float:
    """The distance (squared for power 2) of two rows, float64[d], added up in a fixed order."""
    total = 0.0
    fours = x.size - x.size % 4
    for j in range(0, fours, 4):
        e, f, g, h = x[j] - y[j], x[j + 1] - y[j + 1], x[j + 2] - y[j + 2], x[j + 3] - y[j + 3]
        if power == 2:
            total += (e * e + f * f) + (g * g + h * h)
        elif power == 1:
            total += (abs(e) + abs(f)) + (abs(g) + abs(h))
        else:
            total = max(total, abs(e), abs(f), abs(g), abs(h))
    for j in range(fours, x.size):
        gap = abs(x[j] - y[j])
        total = max(total, gap) if power == 0 else total + (gap * gap if power == 2 else gap)
    return total


@compiled
def nearest(
    x: Floats, references: Floats, tiles: AnyArray, centre: Floats, unit: float, reach: float, power: int, k: int
) -> tuple[Floats, AnyArray]:
    """Distances float64[n, k], ascending, and indices int64[n, k] of the k nearest references; of equals the first.

    references: float64[m, d]; tiles: float32[ceil(m / TILE), d, TILE], the references less `centre`, over `unit`,
    columns first, ∞ beyond the last; reach: the largest sum of absolute values of one of them.
    power: 1 Manhattan, 2 Euclidean, 0 Chebyshev.
    """
    rows, columns = x.shape
    count = references.shape[0]
    distances = np.full((rows, k), np.inf)
    indices = np.zeros((rows, k), dtype=np.int64)
    together = min(TOGETHER, rows)
    z = np.empty((together, columns), dtype=np.float32)
    rough = np.empty((together, tiles.shape[0] * TILE), dtype=np.float32)
    smallest = np.empty(TILE, dtype=np.float32)
    found = np.empty(rough.shape[1], dtype=np.int64)
    for first in range(0, rows, TOGETHER):
        here = min(TOGETHER, rows - first)
        for i in range(here):
            for j in range(columns):
                z[i, j] = (x[first + i, j] - centre[j]) / unit
        for t in range(tiles.shape[0]):
            for i in range(here):
                _rough(z[i], tiles[t], power, rough[i, t * TILE : (t + 1) * TILE])
        for i in range(here):
            own, places = distances[first + i], indices[first + i]
            _smallest(rough[i], smallest)
            # of few wanted, each is all but surely the smallest of its own m / TILE
            reached = _reaching(smallest if 2 * k <= TILE else rough[i], k)
            limit = _limit(reached, z[i], reach, power)
            for candidate in found[: _within(rough[i], smallest, limit, found)]:
                if candidate >= count:  # padding
                    continue
                gap = _distance(x[first + i], references[candidate], power)
                if gap < own[k - 1] or (gap == own[k - 1] and candidate < places[k - 1]):
                    place = k - 1
                    while place > 0 and (
                        own[place - 1] > gap or (own[place - 1] == gap and places[place - 1] > candidate)
                    ):
                        own[place], places[place] = own[place - 1], places[place - 1]
                        place -= 1
                    own[place], places[place] = gap, candidate
            if power == 2:
                for place in range(k):
                    own[place] = math.sqrt(own[place])
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
    """float64[n, d]: mean over neighbours int64[n, k] of ``|x - reference|``, squared for power 2.

    references: float64[m, d].
    """
    rows, columns = x.shape
    k = indices.shape[1]
    out = np.zeros((rows, columns))
    for i in range(rows):
        for q in range(k):
            near = references[indices[i, q]]
            for j in range(columns):
                gap = abs(x[i, j] - near[j])
                out[i, j] += gap * gap if power == 2 else gap
        for j in range(columns):
            out[i, j] /= k
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
