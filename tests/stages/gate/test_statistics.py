"""Differences of two models on the same rows, against other implementations and against chance."""

from __future__ import annotations

import numpy as np
import pytest

from pynomaly_pipelines.stages.gate import statistics
from pynomaly_pipelines.stages.gate.statistics import Difference


@pytest.fixture
def judged() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    labels = (rng.random(400) < 0.1).astype(float)
    shared = rng.normal(size=400) + 1.2 * labels
    # Rounded, so that there are ties.
    good, bad = np.round(shared + rng.normal(0, 0.5, 400), 1), np.round(shared + rng.normal(0, 2.0, 400), 1)
    return labels, good, bad


def compared(
    labels: np.ndarray, one: np.ndarray, other: np.ndarray, units: np.ndarray | None = None
) -> statistics.Labelled:
    units = np.arange(len(labels)) if units is None else units
    return statistics.compare_labelled(labels, (one, other), (one > 2, other > 2), units, seed=0)


def test_figures_are_those_of_scikit_learn(judged: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

    labels, good, bad = judged
    found = compared(labels, good, bad)
    for difference, one, other in (
        (found.average_precision, average_precision_score(labels, good), average_precision_score(labels, bad)),
        (found.precision, precision_score(labels, good > 2), precision_score(labels, bad > 2)),
        (found.recall, recall_score(labels, good > 2), recall_score(labels, bad > 2)),
    ):
        assert difference is not None
        assert (difference.challenger, difference.champion) == pytest.approx((one, other))
        assert difference.low < difference.value < difference.high
    assert statistics.auc(good[labels == 1], good[labels == 0]) == pytest.approx(roc_auc_score(labels, good))


def test_weights_are_repeated_rows(judged: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    from sklearn.metrics import average_precision_score

    labels, good, _ = judged
    weights = np.random.default_rng(0).integers(0, 4, len(labels)).astype(float)
    expected = average_precision_score(np.repeat(labels, weights.astype(int)), np.repeat(good, weights.astype(int)))
    assert statistics._Ranked(labels, good).average_precision(weights) == pytest.approx(expected)


def test_a_model_does_not_differ_from_itself(judged: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, good, _ = judged
    found = compared(labels, good, good.copy())
    assert (found.average_precision.low, found.average_precision.high) == (0.0, 0.0)
    kinds = [(good[labels == 1], good[labels == 0])]
    same = statistics.compare_auc(kinds, kinds)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_the_seed_repeats_a_bootstrap(judged: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    assert compared(*judged) == compared(*judged)


def two_equals(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and scores of two equally good models."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(200) % 8 == 0).astype(float)
    return labels, rng.normal(size=200) + labels, rng.normal(size=200) + labels


def test_the_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    # The truth, no difference, lies outside in about one of twenty; a little more often, with 25 anomalies.
    missed = 0
    for labels, one, other in map(two_equals, range(1000)):
        auc = statistics.compare_auc(*([(s[labels == 1], s[labels == 0])] for s in (one, other)))
        missed += not auc.low <= 0 <= auc.high
    assert 30 <= missed <= 85
    bootstrapped = [compared(*two_equals(seed)).average_precision for seed in range(60)]
    assert sum(not d.low <= 0 <= d.high for d in bootstrapped) <= 9


def test_the_interval_of_the_auc_is_delongs(judged: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, good, bad = judged
    found = statistics.compare_auc(*([(s[labels == 1], s[labels == 0])] for s in (good, bad)))
    rng = np.random.default_rng(1)
    ones, zeros = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    drawn = []
    for _ in range(800):
        i, j = rng.choice(ones, len(ones)), rng.choice(zeros, len(zeros))
        drawn.append(statistics.auc(good[i], good[j]) - statistics.auc(bad[i], bad[j]))
    assert (found.high - found.low) / (2 * 1.96 * np.std(drawn)) == pytest.approx(1.0, abs=0.15)


def test_points_of_one_unit_are_drawn_together() -> None:
    # Ten days of ten points, all alike within a day: knowing them is knowing ten values, not a hundred.
    rng = np.random.default_rng(2)
    units = np.repeat(np.arange(20), 10)
    labels = np.repeat((np.arange(20) % 4 == 0).astype(float), 10)
    one, other = (np.repeat(rng.normal(size=20), 10) + 0.5 * labels for _ in range(2))
    alone, together = compared(labels, one, other), compared(labels, one, other, units)
    assert together.average_precision.value == alone.average_precision.value
    width = [d.average_precision.high - d.average_precision.low for d in (alone, together)]
    assert width[1] > 1.8 * width[0]


def test_precision_is_not_compared_where_one_flags_nothing(judged: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, good, _ = judged
    found = compared(labels, good, np.minimum(good, 1.0))
    assert found.precision is None
    assert found.recall.champion == 0.0


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"), [(0, 50, 0.0, 0.0713), (10, 100, 0.0552, 0.1744), (50, 50, 0.9287, 1.0)]
)
def test_wilsons_interval_by_its_published_figures(hits: int, rows: int, low: float, high: float) -> None:
    assert statistics.share_interval(hits, rows) == pytest.approx((low, high), abs=1e-4)


def test_hits_that_come_together_say_less_about_a_rate() -> None:
    flags = np.zeros(240, dtype=bool)
    flags[24:36] = True
    alone = statistics.clustered_interval(flags, np.arange(240))
    assert alone == pytest.approx(statistics.share_interval(12, 240), rel=0.01)
    # All twelve on one of ten days: a day more or less like this one is all that is known.
    low, high = statistics.clustered_interval(flags, np.repeat(np.arange(10), 24))
    # By hand: the days differ from their mean 1.2 by 10.8 once and -1.2 nine times: 129.6 / 240**2 * 10 / 9 = 0.0025
    # against 0.05 * 0.95 / 239 = 0.000198745: the rows count for 240 / 12.579 = 19.08.
    assert (low, high) == pytest.approx(statistics.share_interval(0.05 * 19.08, 19.08), rel=1e-3)
    assert statistics.clustered_interval(flags, np.zeros(240))[1] > 0.5


def test_recall_is_compared_pair_by_pair() -> None:
    one, other = np.array([True, True, True, False]), np.array([True, False, True, False])
    found = statistics.compare_recall([one], [other])
    # Of four pairs one differs: mean 1/4, standard deviation 1/2, of the mean 1/4.
    half = 1.959964 * 0.25
    assert found.value == 0.25
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half))


def test_one_value_says_nothing_about_noise() -> None:
    found = statistics.compare_recall([np.array([True])], [np.array([False])])
    assert found.low == -np.inf
    assert str(Difference(0.5, 0.25, -1.0, 1.0)) == "+0.250 (-1.000 … +1.000)"


def test_ranks_and_tops() -> None:
    one, other = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0])
    # Squared rank differences 0, 1, 1, 0: 1 - 6 * 2 / (4 * 15).
    assert statistics.rank_agreement(one, other) == pytest.approx(0.8)
    assert statistics.rank_agreement(one, np.ones(4)) is None
    assert statistics.top_overlap(one, other, 2) == 0.5
    assert statistics.top_overlap(one, other, 10) == 1.0
