"""Raw scores of held-out training rows -> a score in [0, 1] that means the same for every detector.

Let ``p(r)`` be the share of ordinary rows whose raw score reaches ``r``, and ``L = -log10 p``. The score is

    score = L / (1 + L)          so that  p = 10 ** (-score / (1 - score))

| score | 0 | 0.23 | 0.5 | 0.667 | 0.75 | 0.8 | 0.857 | 0.9 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| ordinary rows above it | all | 1 in 2 | 1 in 10 | 1 in 100 | 1 in 1000 | 1 in 10⁴ | 1 in 10⁶ | 1 in 10⁹ |

Within the held-out scores, p is their empirical tail. Beyond, it is a generalised Pareto tail (Pickands 1975) with a
shape of at least `SHAPE_FLOOR`, so that the score never reaches 1 and ten and a hundred deviations stay apart.
Gross outliers among the training rows are left out first: see `_ordinary`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Bools, Floats
from pynomaly_pipelines.operations.errors import NotEnoughData

SHAPE_FLOOR = 0.1
SHAPE_CEILING = 0.5
LIGHTEST = 1e-3
"""Shape of the lightest tail that gross outliers are told by: all but exponential."""
RARE = 0.1
"""A training row is gross when fewer than this many rows of its size were to be expected among all."""
MOST_GROSS = 0.005
MOST_KNOTS = 1024


@dataclass(frozen=True)
class Calibration:
    """knots: raw scores, float64[k], ascending; levels: -log10 p at each; scale, shape: of the tail beyond."""

    knots: Floats
    levels: Floats
    scale: float
    shape: float
    rows: int
    gross: int

    @classmethod
    def learn(cls, held_out: Floats, shape: float = SHAPE_FLOOR) -> Calibration:
        """From raw scores, float64[n], of training rows that the detector had not seen.

        shape: of the tail beyond the largest ordinary score; the larger, the slower the level rises.
        """
        raw = np.sort(np.asarray(held_out, dtype=np.float64))
        if raw.size == 0 or not np.isfinite(raw).all():
            raise NotEnoughData(
                f"{raw.size} held-out raw scores, {int((~np.isfinite(raw)).sum())} of them not finite",
                rule="A calibration needs finite raw scores.",
                fix="train on more rows, or with another detector",
            )
        ordinary = raw[_ordinary(raw)]
        knots, levels = _body(ordinary)
        return cls(knots, levels, _scale(ordinary), shape, raw.size, raw.size - ordinary.size)

    def levels_of(self, raw: Floats) -> Floats:
        """-log10 of the tail probability, float64[n] ≥ 0."""
        from pynomaly_pipelines.detection.frozen import kernels

        raw = np.ascontiguousarray(raw, dtype=np.float64)
        return kernels.tail_levels(raw, self.knots, self.levels, self.scale, self.shape)

    def score(self, raw: Floats) -> Floats:
        """Raw scores -> scores in [0, 1), strictly increasing beyond the training maximum."""
        return score_of_level(self.levels_of(raw))

    def state(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        values = asdict(self)
        return values, {name: values.pop(name) for name in ("knots", "levels")}

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Calibration:
        return cls(**values, knots=arrays["knots"], levels=arrays["levels"])


def score_of_level(levels: Floats) -> Floats:
    """L -> L / (1 + L)."""
    return levels / (1.0 + levels)


def score_at_tail(p: float) -> float:
    """The score that a share `p` of ordinary rows exceeds."""
    if not 0.0 < p <= 1.0:
        raise ValueError(f"A tail probability lies in (0, 1], got {p}.")
    level = -np.log10(p)
    return float(level / (1.0 + level))


def _ordinary(raw: Floats) -> Bools:
    """Which of the ascending scores are no gross outliers, bool[n].

    A tail is fitted to the scores between the upper fifth and the upper fiftieth, which a handful of gross outliers
    cannot move; a row is gross when fewer than `RARE` rows were to be expected beyond it.
    """
    keep = np.ones(raw.size, dtype=bool)
    if raw.size < 50:
        return keep
    at = np.quantile(raw, [0.5, 0.8, 0.98])
    scale, shape = _robust_tail(*(float(q) for q in at))
    if scale <= 0.0:
        return keep
    excess = np.maximum(raw - at[1], 0.0)
    expected = raw.size * 0.2 * np.exp(-np.log1p(shape * excess / scale) / shape)
    keep = expected >= RARE
    return keep if (~keep).mean() <= MOST_GROSS else np.ones(raw.size, dtype=bool)


def _robust_tail(middle: float, start: float, end: float) -> tuple[float, float]:
    """Scale and shape of the generalised Pareto tail beyond the 0.8 quantile through the 0.98 quantile.

    The shape is that of the steps from the median: for an exponential tail the 0.8 and 0.98 quantiles lie ln 2.5
    and ln 25 above the median, and the larger the second step, the heavier the tail.
    """
    first, second = start - middle, end - start
    if second <= 0.0:
        return 0.0, LIGHTEST
    if first <= 0.0:
        return second / np.log(10.0), SHAPE_CEILING
    shapes = np.linspace(LIGHTEST, SHAPE_CEILING, 100)
    # (10^ξ - 1) / (1 - 2.5^-ξ): the ratio of the two steps for shape ξ
    ratios = (10.0**shapes - 1.0) / (1.0 - 2.5**-shapes)
    shape = float(np.interp(second / first, ratios, shapes))
    return float(second * shape / (10.0**shape - 1.0)), shape


def _body(raw: Floats) -> tuple[Floats, Floats]:
    """Knots and levels of the empirical tail: row i of n, ascending, has p = (n - i - 0.5) / n.

    Of equal scores the first counts, which has the largest p: a detector that gives its highest score to 7 % of the
    rows says no more than 7 %. Equal is what differs by less than a millionth of the middle half.
    """
    n = raw.size
    spread = float(np.subtract(*np.quantile(raw, [0.75, 0.25]))) or float(np.ptp(raw))
    fresh = np.append(True, np.diff(raw) > 1e-6 * spread) if spread > 0 else np.arange(n) == 0
    places = np.flatnonzero(fresh)
    if places.size > MOST_KNOTS:
        # dense in the upper tail: half of the knots by rank, half by logarithm of the rank from the top
        top = places.size - 1 - np.unique(np.geomspace(1, places.size, MOST_KNOTS // 2).astype(np.int64) - 1)
        even = np.linspace(0, places.size - 1, MOST_KNOTS // 2).astype(np.int64)
        places = places[np.unique(np.concatenate([even, top]))]
    return raw[places], -np.log10((n - places - 0.5) / n)


def _scale(raw: Floats) -> float:
    """Mean excess of the upper tenth: the scale of the tail beyond the largest ordinary score."""
    upper = raw[-max(min(raw.size // 10, 500), 1) :]
    return float((upper - upper[0]).mean()) or float(np.ptp(raw)) or abs(float(raw[-1])) or 1.0
