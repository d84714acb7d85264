"""Differences between partitions: effects by hand, p-values as often small as they should be."""

from __future__ import annotations

import numpy as np
import pytest

from pynomaly_pipelines.detection.drift import measures
from pynomaly_pipelines.detection.drift.design import Design

FLAT = np.array([0.25, 0.25, 0.25, 0.25])


def plain(partitions: int) -> Design:
    return Design.of(np.zeros(partitions, dtype=np.int64), 0)


def drawn(shares: np.ndarray, partitions: int, rows: int, seed: int = 0, daily: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = shares * np.exp(daily * rng.normal(size=(partitions, len(shares))))
    return rng.multinomial(rows, weights / weights.sum(axis=1, keepdims=True))


def test_the_index_is_the_sum_over_cells() -> None:
    # (0.4 - 0.25) ln(0.4 / 0.25) + (0.1 - 0.25) ln(0.1 / 0.25); with many rows the half rows weigh nothing.
    by_hand = 0.15 * np.log(1.6) - 0.15 * np.log(0.4)
    found = measures.stability_index(np.array([0.4, 0.1, 0.25, 0.25]), FLAT, 1e9)
    assert found == pytest.approx(by_hand, rel=1e-6)


def test_an_empty_cell_keeps_the_index_finite() -> None:
    assert np.isfinite(measures.stability_index(np.array([0.5, 0.5, 0.0, 0.0]), FLAT, 100.0))


def test_the_effect_is_freed_of_what_chance_gives() -> None:
    counts = drawn(FLAT, 200, 100)
    effects = [measures.distribution(counts[:60], one, plain(60), ordered=True).effect for one in counts[60:]]
    # By chance alone the index is about 3 / 100.
    assert np.median(effects) < 0.01


@pytest.mark.parametrize("rows", [100, 10_000, 1_000_000])
@pytest.mark.parametrize("daily", [0.0, 0.1])
def test_small_p_values_are_as_rare_as_they_say(rows: int, daily: float) -> None:
    few = 0
    for seed in range(150):
        counts = drawn(FLAT, 70, rows, seed, daily)
        p = [measures.distribution(counts[:60], one, plain(60), ordered=True).p for one in counts[60:]]
        few += int((np.array(p) < 0.02).sum())
    # Of 1,500 at most 2 % (and 3 standard deviations of chance).
    assert few <= 30 + 17


def test_more_rows_do_not_make_an_ordinary_day_drift() -> None:
    """A Kolmogorov–Smirnov test on the rows calls nearly every such day different: that is why it is not used."""
    from scipy.stats import chi2_contingency

    counts = drawn(FLAT, 70, 1_000_000, 3, daily=0.1)
    naive = [chi2_contingency(np.stack([counts[:60].sum(axis=0), one])).pvalue for one in counts[60:]]
    assert (np.array(naive) < 1e-6).mean() > 0.9
    ours = [measures.distribution(counts[:60], one, plain(60), ordered=True).p for one in counts[60:]]
    assert (np.array(ours) > 0.01).all()


def test_a_change_beyond_the_days_differences_is_found() -> None:
    counts = drawn(FLAT, 60, 5_000, 3, daily=0.1)
    seen = np.array([500, 1_000, 1_500, 2_000])
    found = measures.distribution(counts, seen, plain(60), ordered=True)
    assert found.p < 1e-4
    assert found.effect == pytest.approx(0.24, abs=0.05)


def test_order_matters_only_where_cells_are_ordered() -> None:
    counts = drawn(FLAT, 60, 400, 3, daily=0.1)
    seen = np.array([70, 90, 110, 130])
    ordered, plain_p = (measures.distribution(counts, seen, plain(60), ordered=o).p for o in (True, False))
    assert ordered < plain_p


def test_a_smaller_partition_has_to_differ_more() -> None:
    counts = drawn(FLAT, 60, 1_000, 3)
    shares = np.array([0.2, 0.22, 0.28, 0.3])
    many = measures.distribution(counts, (1_000 * shares).astype(int), plain(60), ordered=True)
    few = measures.distribution(counts, (50 * shares).astype(int), plain(60), ordered=True)
    assert many.p < 0.001
    assert few.p > 0.05


def test_a_share_from_nothing() -> None:
    never = np.zeros(30, dtype=np.int64)
    found = measures.share(never, np.full(30, 500), 25, 500, plain(30))
    assert found.effect == pytest.approx(0.05)
    assert found.p < 1e-6
    # One row of five hundred is what independent rows may do.
    assert measures.share(never, np.full(30, 500), 1, 500, plain(30)).p > 0.05


def test_a_count_is_a_ratio() -> None:
    counts = np.random.default_rng(5).poisson(1_000, 40)
    found = measures.count(counts, 500, plain(40))
    assert found.effect == pytest.approx(0.5, abs=0.01)
    assert found.p < 1e-6
    assert measures.count(counts, 1_020, plain(40)).p > 0.05


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04 times 3, 2, 1, made rising: 0.03, 0.04, 0.04.
    np.testing.assert_allclose(measures.holm(np.array([0.04, 0.01, 0.02])), [0.04, 0.03, 0.04])
    assert measures.holm(np.array([0.9, 0.8])).max() == 1.0
    assert measures.holm(np.zeros(0)).size == 0
