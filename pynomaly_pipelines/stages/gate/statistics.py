"""Scores of two models on the same rows -> how far they differ, with 95 % intervals of the difference.

Both models meet the same luck of the draw, so the difference is measured pair by pair: it is known far better than
either figure alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

RESAMPLES = 500
Z = 1.959963984540054
"""Of a two-sided interval of 95 %."""


@dataclass(frozen=True)
class Difference:
    """A figure of the challenger, the same of the champion, and the 95 % interval of challenger minus champion."""

    challenger: float
    champion: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} … {self.high:+.3f})"


@dataclass(frozen=True)
class Labelled:
    """What labels say of two models: differences of average precision, and of precision and recall as flagged."""

    anomalies: int
    average_precision: Difference
    precision: Difference | None
    """None where one of the two flags nothing."""
    recall: Difference


def compare_labelled(
    labels: np.ndarray,
    scores: tuple[np.ndarray, np.ndarray],
    flags: tuple[np.ndarray, np.ndarray],
    units: np.ndarray,
    seed: int,
) -> Labelled:
    """Paired bootstrap over units, those with an anomaly and those without apart (Efron & Tibshirani 1993).

    Args:
        labels: 1 for an anomaly, 0 for none, float64[n].
        scores: challenger's and champion's, finite.
        flags: which rows each flags, bool[n].
        units: what is drawn as one, int64[n] from 0; rows by themselves, or the points of one series and day.
    """
    rng = np.random.default_rng(seed)
    ranked = [_Ranked(labels, one) for one in scores]
    draws = [_weights(labels, units, rng) for _ in range(RESAMPLES)]
    precision = np.array([[one.average_precision(w) for one in ranked] for w in draws])
    flagged = np.array([[_flagged(labels, one, w) for one in flags] for w in draws])
    whole = np.ones(len(labels))
    told = np.array([_flagged(labels, one, whole) for one in flags])
    known = not np.isnan(told[:, 0]).any()
    return Labelled(
        int(labels.sum()),
        _difference([one.average_precision(whole) for one in ranked], precision),
        _difference(told[:, 0], flagged[:, :, 0]) if known else None,
        _difference(told[:, 1], flagged[:, :, 1]),
    )


class _Ranked:
    """Labels in the order of a score, for average precision under many weightings of the rows."""

    def __init__(self, labels: np.ndarray, scores: np.ndarray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self._labels = labels[self._order]

    def average_precision(self, weights: np.ndarray) -> float:
        """Sum over distinct scores of precision times the gain in recall; ties count as one step."""
        w = weights[self._order]
        hits = np.cumsum(w * self._labels)[self._ends]
        above = np.cumsum(w)[self._ends]
        gains = np.diff(hits, prepend=0.0)
        return float(np.sum(gains * hits / np.maximum(above, 1.0)) / hits[-1])


def _weights(labels: np.ndarray, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How often each row is drawn in one resample of the units."""
    with_anomaly = np.bincount(units, weights=labels) > 0
    counts: np.ndarray = np.zeros(len(with_anomaly))
    for members in (np.flatnonzero(with_anomaly), np.flatnonzero(~with_anomaly)):
        if len(members):
            np.add.at(counts, rng.choice(members, len(members)), 1.0)
    return np.asarray(counts[units])


def _flagged(labels: np.ndarray, flags: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Precision and recall of the flagged rows; precision is NaN where none is flagged."""
    hits, flagged = float(weights[flags & (labels == 1)].sum()), float(weights[flags].sum())
    return hits / flagged if flagged else float("nan"), hits / float(weights[labels == 1].sum())


def _difference(found: Sequence[float] | np.ndarray, drawn: np.ndarray) -> Difference:
    gaps = drawn[:, 0] - drawn[:, 1]
    low, high = np.nanquantile(gaps, [0.025, 0.975])
    return Difference(float(found[0]), float(found[1]), float(low), float(high))


Kinds = Sequence[tuple[np.ndarray, np.ndarray]]
"""Of each kind of injected anomaly: scores of what was touched, scores of what was not."""


def auc(touched: np.ndarray, calm: np.ndarray) -> float:
    """Share of pairs of a touched and an untouched one that are in the right order; ties count half."""
    return float(_placements(touched, calm)[0].mean())


def compare_auc(challenger: Kinds, champion: Kinds) -> Difference:
    """Mean ROC AUC over the kinds, with DeLong's interval of the paired difference (DeLong et al. 1988).

    The kinds are copies of the same rows, so that their errors are taken as fully dependent: an interval that is, if
    anything, too wide.
    """
    values, errors = [], []
    for one, other in zip(challenger, champion, strict=True):
        (one_touched, one_calm), (other_touched, other_calm) = _placements(*one), _placements(*other)
        values.append((one_touched.mean(), other_touched.mean()))
        errors.append(np.sqrt(_error(one_touched - other_touched) + _error(one_calm - other_calm)))
    return _normal(values, errors)


def compare_recall(challenger: Sequence[np.ndarray], champion: Sequence[np.ndarray]) -> Difference:
    """Mean share found over the kinds, paired by what was injected; the arguments hold a bool[m] of each kind."""
    pairs = list(zip(challenger, champion, strict=True))
    values = [(one.mean(), other.mean()) for one, other in pairs]
    return _normal(values, [np.sqrt(_error(one.astype(float) - other.astype(float))) for one, other in pairs])


def _placements(touched: np.ndarray, calm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each one the share of the other group it is rightly beside."""
    return _share_below(touched, calm), 1.0 - _share_below(calm, touched)


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((left + right) / (2.0 * len(others)))


def _error(values: np.ndarray) -> float:
    """Squared standard error of a mean; nothing is known of the spread of one value."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else float("inf")


def _normal(values: Sequence[tuple[float, float]], errors: Sequence[float]) -> Difference:
    one, other = np.mean(values, axis=0)
    half = Z * float(np.mean(errors))
    return Difference(float(one), float(other), float(one - other - half), float(one - other + half))


def share_interval(hits: float, rows: float) -> tuple[float, float]:
    """95 % interval of a share of independent rows (Wilson 1927)."""
    share, spread = hits / rows, Z**2 / rows
    centre = (share + spread / 2) / (1 + spread)
    half = np.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def clustered_interval(flags: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """The same where hits come in clusters: rows count for as many as would be as uncertain (Kish 1965).

    Args:
        flags: the hits, bool[n].
        units: which rows belong together, int64[n]; where each is its own, this is `share_interval`.
    """
    rows, share = len(flags), float(flags.mean())
    members = np.unique(units, return_inverse=True)[1]
    gaps = np.bincount(members, weights=flags - share)
    count = len(gaps)
    if count == 1:
        return share_interval(share, 1.0)
    spread = float((gaps**2).sum()) / rows**2 * count / (count - 1)
    alone = share * (1 - share) / max(rows - 1, 1)
    worth = rows / max(1.0, spread / alone) if alone else float(rows)
    return share_interval(share * worth, worth)


def rank_agreement(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's rank correlation; None where either scores all rows the same."""
    ranks = [pd.Series(scores).rank() for scores in (one, other)]
    return None if any(r.nunique() < 2 for r in ranks) else float(ranks[0].corr(ranks[1]))


def top_overlap(one: np.ndarray, other: np.ndarray, most: int) -> float:
    """Share of the `most` highest rows that both have among theirs."""
    tops = [set(np.argsort(-scores, kind="stable")[:most].tolist()) for scores in (one, other)]
    return len(tops[0] & tops[1]) / max(1, min(most, len(one)))
