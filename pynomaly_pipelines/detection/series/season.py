"""The pattern that repeats with the clock: which period a series follows, and its usual value at each phase.

A profile is a table of medians over phase bins of a period, read by the clock of the data (nanoseconds since 1970
modulo the period, in UTC or by the clock of a time zone), so that gaps and irregular sampling do not shift it. Which
period and how many bins is decided by the error on whole cycles left out (three folds), so a pattern is used only if
it foretells the series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import Bools, Floats, Ints

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY
# 1970-01-01 was a Thursday: shifted so that a weekly phase begins on Monday, which makes tables readable.
MONDAY = 4 * DAY

UTC = "UTC"
FOLDS = 3
LEAST_GAIN = 0.03
"""Share of the mean absolute error a richer pattern must save on cycles it has not seen."""
BINS = {HOUR: (12, 60), DAY: (24, 96, 288), WEEK: (7, 168, 672)}
LEAST_CYCLES = 3


@dataclass(frozen=True)
class Season:
    """A series' usual value by phase: `table[bin]` over a period of `period` ns (0: no pattern, one bin).

    `zone` is the IANA time zone of the clock that the pattern follows.
    """

    period: int
    table: Floats
    zone: str = UTC

    def at(self, time: Ints) -> Floats:
        """The usual value at each time (ns UTC), float64[n]."""
        if self.period == 0:
            return np.full(len(time), self.table[0])
        return self.table[phase_bins(wall_clock(time, self.zone), self.period, len(self.table))]


def wall_clock(time: Ints, zone: str) -> Ints:
    """What a clock on the wall shows, int64[n] ns since 1970 by that clock: an hour repeats when clocks go back."""
    if zone == UTC:
        return time
    return pd.DatetimeIndex(time, tz=UTC).tz_convert(zone).tz_localize(None).as_unit("ns").asi8


def phase_bins(time: Ints, period: int, bins: int) -> Ints:
    """The bin of each time, int64[n]."""
    if period == 0:
        return np.zeros(len(time), dtype=np.int64)
    phase = (time - MONDAY) % period
    # In float64 a week of nanoseconds (6e14) is exact; the product with few bins would overflow nothing either way.
    return np.minimum((phase.astype(np.float64) * (bins / period)).astype(np.int64), bins - 1)


def fit_season(time: Ints, value: Floats, step: int, zone: str = UTC) -> Season:
    """The simplest pattern that foretells `value` [n, finite] about as well as the best one; times in ns UTC."""
    time = wall_clock(time, zone)
    best = Season(0, np.array([np.median(value)]), zone)
    error = float(np.mean(np.abs(value - best.table[0])))
    for period, bins in _candidates(time, step):
        held_out = _held_out_error(time, value, period, bins)
        if held_out < error * (1.0 - LEAST_GAIN):
            best, error = Season(period, _table(time, value, period, bins), zone), held_out
    return best


def _candidates(time: Ints, step: int) -> list[tuple[int, int]]:
    """(period, bins) to try, from simple to rich: at least three cycles seen and no more bins than steps."""
    span = int(time[-1] - time[0]) if len(time) else 0
    periods = [period for period in BINS if span >= LEAST_CYCLES * period and 2 * step <= period]
    return [(period, bins) for period in periods for bins in _bins(period, step)]


def _bins(period: int, step: int) -> list[int]:
    """Numbers of bins to try; one a step where points are rarer than the fewest bins."""
    return [bins for bins in BINS[period] if bins * step <= period] or [period // step]


def _held_out_error(time: Ints, value: Floats, period: int, bins: int) -> float:
    """Mean absolute error of a profile on cycles it was not fitted on."""
    fold = ((time - MONDAY) // period) % FOLDS
    where = phase_bins(time, period, bins)
    total = 0.0
    for k in range(FOLDS):
        out = fold == k
        if out.all() or not out.any():
            return np.inf
        table = _table(time[~out], value[~out], period, bins)
        total += float(np.abs(value[out] - table[where[out]]).sum())
    return total / len(value)


def _table(time: Ints, value: Floats, period: int, bins: int) -> Floats:
    """Median per bin, float64[bins]; a bin without points takes the line between its neighbours round the circle."""
    where = phase_bins(time, period, bins)
    order = np.lexsort((value, where))
    ordered, counts = value[order], np.bincount(where, minlength=bins)
    first = np.cumsum(counts) - counts
    filled: Bools = counts > 0
    low = ordered[np.minimum(first + (np.maximum(counts, 1) - 1) // 2, len(value) - 1)]
    high = ordered[np.minimum(first + np.maximum(counts, 1) // 2, len(value) - 1)]
    table = (low + high) / 2
    if filled.all():
        return np.asarray(table)
    return np.asarray(np.interp(np.arange(bins), np.flatnonzero(filled), table[filled], period=bins))
