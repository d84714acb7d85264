"""Counts of earlier partitions and of a new one -> how much it differs, and how likely that is by chance.

Three measures:

- a *distribution* over cells: the population stability index, ``sum((p - q) ln(p / q))`` (Siddiqi 2006), of the new
  partition against what is expected of it, and of each earlier partition against what is expected of it by the others.
  Their cube roots are about normal for any mixture of squares (Wilson & Hilferty 1931), so that the new one can be
  held against a prediction interval. For ordered cells also the mean rank, which finds a small move of everything
  sooner (Wilcoxon 1945). A p-value is twice the smaller of the two.
- a *share*, as the arc sine of its root, whose sampling variance does not depend on the share (Anscombe 1948).
- a *count*, as its logarithm.

Variation between earlier partitions holds the variation that comes from the number of their rows. In a smaller
partition that part is larger: its scale is widened as if all variation were of that kind, which errs on the safe side.
A floor under every scale is the variation that independent rows alone would have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pynomaly_pipelines.detection.arrays import Bools, Floats, Ints
from pynomaly_pipelines.detection.drift.design import Design, Prediction, one_level, predict

POWERS = (1 / 3, 1 / 6, 0.0, -1 / 6, -1 / 3)
"""Powers of the index that may be taken to make it about normal."""
ALONE = 1e-9
"""A partition whose own figure alone decides what is expected of it says nothing about differences."""


@dataclass(frozen=True)
class Difference:
    """How a new partition differs. effect: index, difference of shares, or ratio; p: chance of it without a change."""

    effect: float
    p: float


def distribution(counts: Ints, seen: Ints, design: Design, *, ordered: bool) -> Difference:
    """counts int64[K, B] of earlier partitions, seen int64[B]; none of them without rows."""
    sizes, size = counts.sum(axis=1), int(seen.sum())
    usual = _harmonic(sizes)
    small = min(1.0, size / usual)
    shares, share = counts / sizes[:, None], seen / size
    expected = _distribution(design.weights @ shares)
    index, cells = stability_index(share, expected, usual), counts.shape[1]
    p = _far(shares, index * small, expected, design, usual)
    if ordered:
        p = min(1.0, 2.0 * min(p, _moved(shares, share, expected, design, size, small)))
    bias = (_used(expected + share) - 1) * (1.0 / size + 1.0 / sizes.sum())
    return Difference(max(0.0, float(index - bias)) if cells > 1 else 0.0, p)


def share(hits: Ints, totals: Ints, hit: int, total: int, design: Design) -> Difference:
    """hits, totals int64[K] of earlier partitions, `hit` of `total` in the new one."""
    y, seen = _arc(hits, totals), float(_arc(np.array([hit]), np.array([total]))[0])
    found = predict(y, design)
    small = min(1.0, total / _harmonic(totals))
    floor = np.sqrt((1.0 / max(total, 1) + 1.0 / max(int(totals.sum()), 1)) / 4.0)
    p = _widened(found, small).two_sided(seen, float(floor))
    return Difference(hit / max(total, 1) - expected_share(hits, totals, design), p)


def count(counts: Ints, seen: int, design: Design) -> Difference:
    """counts int64[K] of earlier partitions; the effect is the ratio of `seen` to what was expected."""
    found = predict(np.log(counts + 0.5), design)
    usual = float(np.exp(found.centre))
    p = found.two_sided(float(np.log(seen + 0.5)), float(np.sqrt(1.0 / max(usual, 1.0))))
    return Difference((seen + 0.5) / usual, p)


def expected_share(hits: Ints, totals: Ints, design: Design) -> float:
    """What share was to be expected of the new partition."""
    return float(np.clip(design.weights @ (hits / np.maximum(totals, 1)), 0.0, 1.0))


def expected_shares(counts: Ints, design: Design) -> Floats:
    """float64[B]: what share of the new partition each cell was to have."""
    return _distribution(design.weights @ (counts / counts.sum(axis=1)[:, None]))


def stability_index(share: Floats, expected: Floats, size: float) -> Floats | float:
    """Population stability index along the last axis; half a row of `size` in each cell keeps it finite."""
    cells = share.shape[-1]
    half = 0.5 / size
    p, q = ((x + half) / (1.0 + cells * half) for x in (share, expected))
    found = ((p - q) * np.log(p / q)).sum(axis=-1)
    return float(found) if np.ndim(found) == 0 else found


def holm(p: Floats) -> Floats:
    """Adjusted p-values float64[m]: at most alpha where the chance of any false alarm is to be alpha (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    out = np.empty(len(p))
    out[order] = np.minimum(stepped, 1.0)
    return out


def _far(shares: Floats, index: Floats | float, expected: Floats, design: Design, usual: float) -> float:
    """Chance of an index as large as the new partition's."""
    others, told = _by_the_others(shares, design)
    if told.sum() < 3:
        return 1.0
    earlier = np.asarray(stability_index(shares[told], others[told], usual))
    alone = max(_used(expected) - 1, 1) / usual
    power = _power(earlier)
    bent, seen = _bent(earlier, power, alone), _bent(np.array([index]), power, alone)
    found = predict(bent, one_level(len(bent)))
    return found.tail(float(seen[0]), np.sqrt(2.0 * alone * usual) / (alone * usual))


def _power(index: Floats) -> float:
    """The highest of `POWERS` that leaves no skew to the right."""
    for power in POWERS:
        bent = _bent(index, power, float(index.mean()))
        away = bent - bent.mean()
        if (away**3).sum() <= 0.0:
            return power
    return POWERS[-1]


def _bent(index: Floats, power: float, unit: float) -> Floats:
    """Box & Cox (1964): rising in the index, with slope 1 at `unit` in units of it."""
    ratio = np.maximum(index / unit, 1e-6)
    return np.log(ratio) if power == 0.0 else (ratio**power - 1.0) / power


def _moved(shares: Floats, share: Floats, expected: Floats, design: Design, size: int, small: float) -> float:
    """Chance of a mean rank as far off as the new partition's."""
    ranks = np.cumsum(expected) - expected / 2.0
    found = predict(shares @ ranks, design)
    spread = float(expected @ ranks**2 - (expected @ ranks) ** 2)
    floor = np.sqrt((spread + 1.0 / (12.0 * size)) / size)
    return _widened(found, small).two_sided(float(share @ ranks), float(floor))


def _by_the_others(shares: Floats, design: Design) -> tuple[Floats, Bools]:
    """float64[K, B]: what is expected of each partition by the others (Allen 1974), and for which that can be said."""
    hat = design.hat
    own = np.diag(hat)
    told = own < 1.0 - ALONE
    fitted = hat @ shares
    others = shares - (shares - fitted) / np.where(told, 1.0 - own, 1.0)[:, None]
    return _distribution(others), told


def _distribution(x: Floats) -> Floats:
    """Shares that are none below 0 and sum to 1."""
    x = np.clip(x, 0.0, None)
    return np.asarray(x / x.sum(axis=-1, keepdims=True))


def _widened(found: Prediction, small: float) -> Prediction:
    return Prediction(found.centre, found.scale / np.sqrt(small), found.freedom)


def _used(expected: Floats) -> int:
    return int((expected > 0).sum())


def _arc(hits: Ints, totals: Ints) -> Floats:
    return np.asarray(np.arcsin(np.sqrt((hits + 0.375) / (totals + 0.75))))


def _harmonic(sizes: Ints) -> float:
    return float(len(sizes) / (1.0 / np.maximum(sizes, 1)).sum())
