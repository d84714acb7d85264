"""A few labelled anomalies help where they tell something, and their weight grows with their number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Detector, Scorer
from pynomaly_pipelines.detection.semi_supervised import weight_of

from .conftest import ordinary


def hidden(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Ordinary rows, a twentieth of them anomalies that no single column shows: a and b part ways."""
    frame, generator = ordinary(rows, seed), np.random.default_rng(seed)
    bad = np.arange(rows) < rows // 20
    frame.loc[bad, "b"] = 5 + 2 * (-1.2 * frame.loc[bad, "a"] + generator.normal(0, 0.3, bad.sum()))
    frame.loc[bad, "d"] = -1 + 0.05 * generator.normal(size=bad.sum())
    return frame, bad


def test_the_weight_of_labels():
    weights = [weight_of(m) for m in (0, 1, 4, 10, 30, 90)]
    assert weights == [0.0, 0.2, 0.5, 0.5, 0.75, 0.9]


@pytest.fixture(scope="module")
def blend():
    frame, bad = hidden(1_200, 0)
    labels = np.where(bad & (np.arange(1_200) % 2 == 0), 1.0, np.nan)
    return Detector("HBOS", seed=0).fit(frame, labels)


def test_labels_find_what_the_label_free_detector_cannot(blend):
    from sklearn.metrics import roc_auc_score

    test, truth = hidden(2_000, 1)
    free = Detector("HBOS", seed=0).fit(hidden(1_200, 0)[0])
    assert roc_auc_score(truth, free.score(test)) < 0.8
    assert roc_auc_score(truth, blend.score(test)) > 0.9


def test_a_blend_keeps_the_contract(blend, tmp_path):
    rows = hidden(60, 2)[0]
    whole = blend.assess(rows)
    np.testing.assert_array_equal(np.concatenate([blend.score(rows.iloc[[i]]) for i in range(60)]), whole.score)
    assert (whole.explanation.share >= 0).all()
    blend.save(tmp_path)
    np.testing.assert_array_equal(Scorer.load(tmp_path).score(rows), whole.score)
    assert "Blended with a classifier on the 30 labelled anomalies, weight 0.75" in blend.card()


def test_the_classifier_equals_scikit_learn():
    from sklearn.ensemble import ExtraTreesClassifier

    from pynomaly_pipelines.detection.semi_supervised import Classifier

    frame, bad = hidden(500, 3)
    forest = ExtraTreesClassifier(n_estimators=40, random_state=0).fit(frame.to_numpy(), bad)
    rows = hidden(300, 4)[0].to_numpy()
    np.testing.assert_allclose(Classifier.freeze(forest).chance(rows), forest.predict_proba(rows)[:, 1], atol=1e-12)


def test_scores_of_a_blend_say_how_rare_an_ordinary_row_is(blend):
    frame, bad = hidden(4_000, 5)
    scores = blend.score(frame[~bad])
    assert 0.05 < (scores > blend.score_at_tail(0.1)).mean() < 0.2


def test_labels_of_ordinary_rows_alone_fit_the_label_free_detector():
    frame = ordinary(300, 0)
    known = Detector("HBOS", seed=0).fit(frame, np.zeros(300))
    np.testing.assert_array_equal(known.score(frame), Detector("HBOS", seed=0).fit(frame).score(frame))
