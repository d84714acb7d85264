"""Compiled inner loops over one series' points, in order of time.

Every loop looks back over a bounded number of points and a bounded span of time, and starts its sums afresh at each
point: a running sum would make a point's last bits depend on where the frame begins. (The running median is exact
whichever way it was reached.) Figures are wanted from point `first` on only; those before it are left empty. Callers
pass contiguous arrays of equal length, which `frame.py` makes.
"""

from __future__ import annotations

import math

import numpy as np

from pynomaly_pipelines.detection.arrays import Bools, Floats, Ints
from pynomaly_pipelines.detection.compiled import compiled

SOFT = 30.0
"""Deviations beyond which a surprise grows with the logarithm of the deviation only."""


@compiled
def surprise_of(z: Floats) -> Floats:
    """z² up to `SOFT`, then SOFT² (1 + 2 ln(|z| / SOFT)): rises for ever, never overflows; 0 for NaN."""
    out = np.zeros(z.size)
    for i in range(z.size):
        size = abs(z[i])
        if size <= SOFT:
            out[i] = size * size
        elif size > SOFT:  # not for NaN
            out[i] = SOFT * SOFT * (1.0 + 2.0 * math.log(min(size, 1e300) / SOFT))
    return out


@compiled
def has_past(time: Ints, points: int, span: int) -> Bools:
    """bool[n]: at least `points` points lie before a point within `span` ns."""
    out = np.zeros(time.size, dtype=np.bool_)
    for i in range(points, time.size):
        out[i] = time[i] - time[i - points] <= span
    return out


@compiled
def carried(time: Ints, value: Floats, points: int, reach: int) -> Floats:
    """Missing values replaced by the last one up to `points` points and `reach` ns before, else left missing."""
    out = value.copy()
    last = -1
    for i in range(value.size):
        if not np.isnan(value[i]):
            last = i
        elif last >= 0 and i - last <= points and time[i] - time[last] <= reach:
            out[i] = value[last]
    return out


@compiled
def jumps(time: Ints, residual: Floats, points: int, reach: int) -> Floats:
    """Change since the last present residual up to `points` points and `reach` ns before; NaN where there is none."""
    out = np.full(time.size, np.nan)
    last = -1
    for i in range(time.size):
        if np.isnan(residual[i]):
            continue
        if last >= 0 and i - last <= points and time[i] - time[last] <= reach:
            out[i] = residual[i] - residual[last]
        last = i
    return out


@compiled
def waits(time: Ints, value: Floats, first: int, points: int, span: int) -> Ints:
    """Time since the last present value before each point, int64[n] ns.

    Sought among `points` points within `span` ns; where none of them has a value, the time since the first of them,
    and `span` where there are none.
    """
    out = np.zeros(time.size, dtype=np.int64)
    for i in range(first, time.size):
        out[i] = span
        for j in range(i - 1, max(i - points, 0) - 1, -1):
            if time[i] - time[j] > span:
                break
            out[i] = time[i] - time[j]
            if not np.isnan(value[j]):
                break
    return out


@compiled
def runs(time: Ints, value: Floats, first: int, points: int, span: int) -> Ints:
    """How many points in a row, itself included, have had exactly this value (up to `points`, within `span` ns)."""
    out = np.zeros(time.size, dtype=np.int64)
    for i in range(first, time.size):
        if np.isnan(value[i]):
            continue
        count = 1
        for j in range(i - 1, max(i - points, -1), -1):
            if time[i] - time[j] > span or value[j] != value[i]:
                break
            count += 1
        out[i] = count
    return out


@compiled
def spreads(time: Ints, jump: Floats, most: float, first: int, points: int, span: int) -> Floats:
    """Mean of the absolute jumps, each cut at `most`, of the last `points` points within `span` ns.

    NaN where fewer than half of them are there.
    """
    out = np.full(time.size, np.nan)
    for i in range(first, time.size):
        total, count = 0.0, 0
        for j in range(i, max(i - points, -1), -1):
            if time[i] - time[j] > span:
                break
            if not np.isnan(jump[j]):
                total += min(abs(jump[j]), most)
                count += 1
        if 2 * count >= points:
            out[i] = total / count
    return out


@compiled
def recent_usual(time: Ints, value: Floats, first: int, points: int, span: int, least: int) -> tuple[Floats, Floats]:
    """Median and robust deviation of up to `points` points before each, within `span` ns; NaN with fewer than `least`.

    The window is held as a sorted array: O(points) a point.
    """
    middle, deviation = np.full(time.size, np.nan), np.full(time.size, np.nan)
    held = np.empty(points + 1)
    size, oldest = 0, 0
    for i in range(time.size):
        while oldest < i and (i - oldest > points or time[i] - time[oldest] > span):
            if not np.isnan(value[oldest]):
                size = _removed(held, size, value[oldest])
            oldest += 1
        if i >= first and size >= least:
            middle[i] = 0.5 * (held[(size - 1) // 2] + held[size // 2])
            deviation[i] = _deviation(held, size, middle[i])
        if not np.isnan(value[i]):
            size = _inserted(held, size, value[i])
    return middle, deviation


@compiled
def _removed(held: Floats, size: int, value: float) -> int:
    place = np.searchsorted(held[:size], value)
    for j in range(place, size - 1):
        held[j] = held[j + 1]
    return size - 1


@compiled
def _inserted(held: Floats, size: int, value: float) -> int:
    place = np.searchsorted(held[:size], value)
    for j in range(size, place, -1):
        held[j] = held[j - 1]
    held[place] = value
    return size + 1


@compiled
def _deviation(held: Floats, size: int, middle: float) -> float:
    """Robust standard deviation of sorted held[:size] about its median.

    The larger of the scaled median and 0.9 quantile of the absolute deviations, which are eaten from the two ends
    inwards; for a window that rests nine tenths of the time, the scaled maximum.
    """
    low, high = 0, size - 1
    most, tenth = 0.0, 0.0
    last = 0.0
    for removed in range(size - size // 2):
        left, right = middle - held[low], held[high] - middle
        if left > right:
            last = left
            low += 1
        else:
            last = right
            high -= 1
        if removed == 0:
            most = last
        if removed == size // 10:
            tenth = last
    spread = max(1.4826 * last, tenth / 1.645)
    return spread if spread > 0.0 else most / 2.576


@compiled
def outlines(
    time: Ints, value: Floats, origin: Floats, scale: float, first: int, points: int, span: int, parts: int
) -> Floats:
    """The last `points` values, asinh((value - origin) / scale), as means of `parts` pieces, float64[n, parts].

    origin: float64[n], that of the window's last point counts. Rows of NaN where a value or the origin is missing,
    or the window is longer than `span` ns.
    """
    out = np.full((time.size, parts), np.nan)
    for i in range(max(points - 1, first), time.size):
        start = i - points + 1
        if time[i] - time[start] > span or np.isnan(origin[i]):
            continue
        for k in range(parts):
            low, high = start + k * points // parts, start + (k + 1) * points // parts
            total = 0.0
            for j in range(low, high):
                total += math.asinh((value[j] - origin[i]) / scale)
            out[i, k] = total / (high - low)
        if np.isnan(out[i].sum()):
            out[i] = np.nan
    return out


@compiled
def novelty(time: Ints, outline: Floats, reference: Floats, reference_time: Ints, apart: int, nearest: int) -> Floats:
    """Mean distance of each outline to its `nearest` references, float64[n]; NaN where the outline is.

    reference: float64[parts, r]. References within `apart` ns of the point are skipped: they overlap it, and the
    points of the training period would otherwise find themselves.
    """
    n, parts = outline.shape
    count = reference.shape[1]
    out = np.full(n, np.nan)
    squares, best = np.empty(count), np.empty(nearest)
    for i in range(n):
        if np.isnan(outline[i, 0]):
            continue
        squares[:] = 0.0
        for k in range(parts):
            here = outline[i, k]
            for j in range(count):
                squares[j] += (here - reference[k, j]) ** 2
        found = 0
        for j in range(count):
            if abs(time[i] - reference_time[j]) > apart:
                found = _kept(best, found, squares[j])
        if found > 0:
            total = 0.0
            for k in range(found):
                total += math.sqrt(best[k])
            out[i] = total / found
    return out


@compiled
def _kept(best: Floats, found: int, value: float) -> int:
    """`value` put into its place among the smallest best[:found], and how many there are now."""
    if found == best.size:
        if value >= best[found - 1]:
            return found
    else:
        found += 1
    place = found - 1
    while place > 0 and best[place - 1] > value:
        best[place] = best[place - 1]
        place -= 1
    best[place] = value
    return found


@compiled
def remembered(time: Ints, surprise: Floats, first: int, points: int, span: int, decay: float) -> Floats:
    """Each point's surprise plus the decayed ones of up to `points` points before it, within `span` ns."""
    n, parts = surprise.shape
    out = np.zeros((n, parts))
    for i in range(first, n):
        weight = 1.0
        for j in range(i, max(i - points, -1), -1):
            if time[i] - time[j] > span:
                break
            for k in range(parts):
                out[i, k] += weight * surprise[j, k]
            weight *= decay
    return out
