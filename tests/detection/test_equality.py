"""Frozen detectors give what PyOD's `decision_function` gives, from arrays alone."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

from pynomaly_pipelines.detection import Detector
from pynomaly_pipelines.detection.offered import OFFERS, pyod_class

from .conftest import CASES, fitted, ordinary

FROM_PYOD = [case for case in CASES if case != "auto"]
REFITS_ON_THE_BATCH = {"ECOD", "COPOD"}


def pyod_model(case: str):
    name, parameters = CASES[case]
    seeded = {OFFERS[name].seed: 0} if OFFERS[name].seed else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyod_class(OFFERS[name])(**parameters, **seeded).fit(ordinary(400, 0).to_numpy())


@pytest.mark.parametrize("case", FROM_PYOD)
def test_training_rows_score_as_in_pyod(case):
    rows = ordinary(400, 0)
    expected = pyod_model(case).decision_function(rows.to_numpy())
    np.testing.assert_allclose(fitted(case).raw_score(rows), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", [case for case in FROM_PYOD if case not in {*REFITS_ON_THE_BATCH, "KDE"}])
def test_other_rows_score_as_in_pyod(case):
    rows = ordinary(300, 21) * 1.5
    expected = pyod_model(case).decision_function(rows.to_numpy())
    np.testing.assert_allclose(fitted(case).raw_score(rows), expected, rtol=1e-9, atol=1e-9)


def test_densities_are_those_of_their_definition_far_out_too():
    """KDE: 40 log units down, scikit-learn's tree bounds are off by 1e-5, so the definition is the yardstick."""
    train, rows = ordinary(400, 0).to_numpy(), ordinary(300, 21).to_numpy() * 1.5
    squares = ((rows[:, None, :] - train[None, :, :]) ** 2).sum(axis=2)
    expected = -(logsumexp(-squares / 2, axis=1) - np.log(400) - 2 * np.log(2 * np.pi))
    found = fitted("KDE").raw_score(pd.DataFrame(rows, columns=["a", "b", "c", "d"]))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_isolation_depths_are_exact_where_values_lie_on_thresholds():
    """Training values are thresholds' neighbours: float32 rows must fall on the side scikit-learn sends them."""
    rows = ordinary(400, 0).round(1)
    scorer = Detector("IForest", seed=3, n_estimators=50).fit(rows)
    model = pyod_class(OFFERS["IForest"])(n_estimators=50, random_state=3).fit(rows.to_numpy())
    grid = ordinary(2_000, 5).round(1)
    np.testing.assert_allclose(scorer.raw_score(grid), model.decision_function(grid.to_numpy()), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", sorted(REFITS_ON_THE_BATCH))
def test_the_frozen_form_does_not_move_with_the_batch_where_pyod_does(name):
    rows, drifted = ordinary(50, 1), ordinary(2_000, 2) + 500
    model, scorer = pyod_model(name), fitted(name)
    together = np.concatenate([rows.to_numpy(), drifted.to_numpy()])
    assert not np.allclose(model.decision_function(together)[:50], model.decision_function(rows.to_numpy()), rtol=0.1)
    np.testing.assert_array_equal(scorer.raw_score(rows), scorer.frozen.raw(np.ascontiguousarray(together))[:50])


def test_a_thinned_table_stays_within_a_thousandth():
    """Columns with more than 4096 distinct values keep their tails one by one and thin the middle."""
    rows = ordinary(20_000, 6)
    scorer = Detector("ECOD", seed=0).fit(rows)
    model = pyod_class(OFFERS["ECOD"])().fit(rows.to_numpy())
    assert scorer.frozen.knots.size <= 4 * 4096
    np.testing.assert_allclose(scorer.raw_score(rows), model.decision_scores_, rtol=2e-3)


def test_pca_without_variance_is_finite_where_pyod_is_infinite():
    rows = ordinary(200, 7)
    rows["e"] = 3.0
    scorer = Detector("PCA", seed=0).fit(rows)
    model = pyod_class(OFFERS["PCA"])(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows.to_numpy())
    assert not np.isfinite(model.decision_scores_).all() or model.decision_scores_.max() > 1e9
    assert scorer.raw_score(rows).max() < 1e4
