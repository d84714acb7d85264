"""The parts of auto: spaces, the core that neighbours are drawn from, and how levels are joined."""

from __future__ import annotations

import numpy as np
import pytest

from pynomaly_pipelines.detection.ensemble import Ensemble, dense, rarity_of
from pynomaly_pipelines.detection.space import Space


def test_a_robust_space_has_medians_at_zero_and_middle_halves_of_one():
    x = np.random.default_rng(0).normal(5.0, 3.0, (1_000, 2))
    z = Space.robust(x).of(x)
    np.testing.assert_allclose(np.median(z, axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.subtract(*np.quantile(z, [0.75, 0.25], axis=0)), 1.0)


def test_a_column_of_mostly_one_value_is_scaled_by_its_deviation_and_a_constant_one_not_at_all():
    rare = np.where(np.arange(100) < 10, 1_000.0, 0.0)
    space = Space.robust(np.column_stack([rare, np.full(100, 7.0)]))
    assert space.scale[0] == pytest.approx(1.349 * 300.0)  # deviation of a tenth at 1,000: 1,000 · √(0.1 · 0.9)
    assert space.scale[1] == 1.0


def test_a_tempered_space_grows_with_the_logarithm_of_the_distance():
    x = np.random.default_rng(1).normal(size=(500, 3))
    plain, tempered = Space.robust(x).of(x * 50), Space.robust(x, tempered=True).of(x * 50)
    np.testing.assert_allclose(tempered, np.log(plain + np.sqrt(plain**2 + 1)), rtol=1e-9, atol=1e-12)


def test_the_dense_core_leaves_out_scattered_anomalies():
    generator = np.random.default_rng(2)
    ordinary, scattered = generator.normal(size=(800, 4)), generator.uniform(8.0, 40.0, (200, 4))
    x = np.concatenate([ordinary, scattered])
    core = dense(x, rarity_of(x, 0), 0.7, 0)
    assert core.shape == (700, 4)
    assert core.max() < 8.0


def test_the_raw_score_is_twice_the_mean_level_of_neighbours_and_once_that_of_mahalanobis_distances():
    x = np.random.default_rng(3).normal(size=(300, 3))
    fitted, rows = Ensemble.fit(x, 0), np.random.default_rng(4).normal(size=(20, 3)) * 3
    levels = [
        calibration.levels_of(member.detector.raw(member.space.of(rows)))
        for member, calibration in zip(fitted.members, fitted.calibrations, strict=True)
    ]
    by_family = {family: [] for family in ("neighbours", "mahalanobis")}
    for member, level in zip(fitted.members, levels, strict=True):
        by_family[member.detector.family].append(level)
    expected = 2 * np.mean(by_family["neighbours"], axis=0) + np.mean(by_family["mahalanobis"], axis=0)
    np.testing.assert_allclose(fitted.raw(rows), expected, rtol=1e-12)
    np.testing.assert_allclose(fitted.contributions(rows).sum(axis=1), expected, rtol=1e-9)
