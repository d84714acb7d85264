"""Scores say how rare a raw score is, go on beyond the training maximum, and are not blinded by gross outliers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pyod.models.knn import KNN

from pynomaly_pipelines.detection import Detector
from pynomaly_pipelines.detection.calibration import Calibration, score_at_tail
from pynomaly_pipelines.operations.errors import NotEnoughData

TAILS = {
    "exponential": lambda g, n: g.exponential(size=n),
    "normal": lambda g, n: g.normal(size=n),
    "chi-square": lambda g, n: g.chisquare(5, size=n),
    "log-normal": lambda g, n: g.lognormal(size=n),
    "uniform": lambda g, n: g.uniform(size=n),
    "Student 4": lambda g, n: np.abs(g.standard_t(4, size=n)),
}


def test_the_scale_of_scores():
    found = [round(score_at_tail(p), 3) for p in (1.0, 0.1, 0.01, 0.001, 1e-9)]
    assert found == [0.0, 0.5, 0.667, 0.75, 0.9]
    with pytest.raises(ValueError, match="got 0"):
        score_at_tail(0.0)


@pytest.mark.parametrize("shape", TAILS)
def test_a_share_p_of_new_scores_exceeds_the_score_for_p(shape):
    generator = np.random.default_rng(3)
    calibration = Calibration.learn(TAILS[shape](generator, 5_000))
    fresh = calibration.score(TAILS[shape](generator, 100_000))
    for p, low, high in ((0.5, 0.45, 0.55), (0.1, 0.085, 0.115), (0.01, 0.006, 0.016), (0.001, 0.0003, 0.006)):
        assert low < (fresh > score_at_tail(p)).mean() < high


def test_scores_rise_with_raw_scores_and_strictly_beyond_the_training_maximum():
    raw = np.random.default_rng(0).exponential(size=3_000)
    calibration = Calibration.learn(raw)
    inside = calibration.score(np.sort(raw))
    assert (np.diff(inside) >= 0).all()
    beyond = calibration.score(raw.max() * np.array([1.0, 1.01, 2.0, 10.0, 100.0, 1e6, 1e12]))
    assert (np.diff(beyond) > 0).all()
    assert beyond[-1] < 1.0


def test_gross_outliers_do_not_move_the_tail():
    generator = np.random.default_rng(1)
    clean = generator.exponential(size=2_500)
    dirty = np.append(clean[:-5], [80.0, 90.0, 100.0, 1_000.0, 5_000.0])
    found = Calibration.learn(dirty)
    assert found.gross == 5
    np.testing.assert_allclose(
        found.score(np.array([10.0])), Calibration.learn(clean).score(np.array([10.0])), rtol=0.1
    )


def test_a_highest_score_that_many_rows_share_is_not_called_rare():
    raw = np.append(np.random.default_rng(2).uniform(size=930), np.full(70, 1.0))
    assert Calibration.learn(raw).score(np.array([1.0]))[0] == pytest.approx(score_at_tail(0.07), abs=0.01)


@pytest.mark.parametrize("raw", [[1.0], [2.0, 2.0, 2.0], [0.0] * 100, [-1.0, 5.0]])
def test_few_or_equal_scores_calibrate_finite_and_rising(raw):
    found = Calibration.learn(np.array(raw)).score(np.array([-9.0, max(raw), max(raw) + 1, 1e9]))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert found[3] > found[2] > found[1]


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(NotEnoughData, match="1 of them not finite"):
        Calibration.learn(np.array([1.0, np.nan]))


@pytest.mark.parametrize("columns", [1, 3, 10])
@pytest.mark.parametrize("size", [50.0, 1_000.0])
def test_five_gross_outliers_in_2500_rows_do_not_hide_a_later_event_of_ten_deviations(columns, size):
    """Beside it PyOD's own `predict_proba`, scaled by the range of training scores: it calls the event ordinary."""
    generator = np.random.default_rng(4)
    names = [f"c{j}" for j in range(columns)]
    rows = pd.DataFrame(generator.normal(size=(2_500, columns)), columns=names)
    rows.iloc[generator.choice(2_500, 5, replace=False), 0] = size
    scorer = Detector("auto", seed=0).fit(rows)
    fresh = pd.DataFrame(generator.normal(size=(2_000, columns)), columns=names)
    events = fresh.iloc[:20].assign(c0=10.0)
    threshold = scorer.score_at_tail(0.001)
    assert (scorer.score(events) > threshold).all()
    assert (scorer.score(fresh) > threshold).mean() < 0.006
    scaled = KNN().fit(rows.to_numpy()).predict_proba(events.to_numpy())[:, 1]
    assert scaled.mean() < 0.2
    hundred = scorer.score(fresh.iloc[:20].assign(c0=100.0))
    assert (hundred > scorer.score(events)).all() or size == 50.0
