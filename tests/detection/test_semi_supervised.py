"""A few labelled anomalies help where they tell something, and their weight grows with their number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Detector, Scorer
from pynomaly_pipelines.detection.classifier import Classifier, learn
from pynomaly_pipelines.detection.ensemble import Ensemble
from pynomaly_pipelines.detection.semi_supervised import Blend, weight_of

from .conftest import ordinary


def hidden(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Ordinary rows, a twentieth of them anomalies that no single column shows: a and b part ways."""
    frame, generator = ordinary(rows, seed), np.random.default_rng(seed)
    bad = np.arange(rows) < rows // 20
    frame.loc[bad, "b"] = 5 + 2 * (-1.2 * frame.loc[bad, "a"] + generator.normal(0, 0.3, bad.sum()))
    frame.loc[bad, "d"] = -1 + 0.05 * generator.normal(size=bad.sum())
    return frame, bad


@pytest.mark.parametrize(
    ("m", "free", "learnt", "weight"),
    [
        (1, 0.5, 0.5, 1 / 3),  # nothing speaks against it: m / (m + 2)
        (2, 1.0, 1.0, 1 / 2),
        (98, 1.0, 1.0, 0.98),
        (2, 1.0, 2.0, 4.5 / 6.5),  # ratio ((2 · 2 + 2 · 1) / (4 · 1))² = 2.25
        (50, 0.8, np.log10(2), 0.0),  # many labels, in the middle of a random order
        (8, np.log10(2), np.log10(2), 0.0),
        (2, np.log10(2), np.log10(2), 1 / 3),  # z is 0, trust (0 - 3 + 5) / 3
    ],
)
def test_the_weight_of_labels(m, free, learnt, weight):
    assert weight_of(np.full(m, free), np.full(m, learnt)) == pytest.approx(weight)


@pytest.fixture(scope="module")
def blend():
    frame, bad = hidden(800, 0)
    labels = np.where(bad & (np.arange(800) % 2 == 0), 1.0, np.nan)
    return Detector("HBOS", seed=0).fit(frame, labels)


def test_labels_find_what_the_label_free_detector_cannot(blend):
    from sklearn.metrics import roc_auc_score

    test, truth = hidden(2_000, 1)
    free = Detector("HBOS", seed=0).fit(hidden(800, 0)[0])
    assert roc_auc_score(truth, free.score(test)) < 0.8
    assert roc_auc_score(truth, blend.score(test)) > 0.9


def test_a_blend_keeps_the_contract(blend, tmp_path):
    rows = hidden(60, 2)[0]
    whole = blend.assess(rows)
    np.testing.assert_array_equal(np.concatenate([blend.score(rows.iloc[[i]]) for i in range(60)]), whole.score)
    assert (whole.explanation.share >= 0).all()
    blend.save(tmp_path)
    np.testing.assert_array_equal(Scorer.load(tmp_path).score(rows), whole.score)
    assert f"Blended with a classifier on the 20 labelled anomalies, weight {blend.frozen.weight:.2f}" in blend.card()
    assert blend.frozen.weight > 0.8


def test_the_classifier_equals_scikit_learn():
    from sklearn.ensemble import ExtraTreesClassifier

    frame, bad = hidden(500, 3)
    forest = ExtraTreesClassifier(n_estimators=40, random_state=0).fit(frame.to_numpy(), bad)
    rows = hidden(300, 4)[0].to_numpy()
    np.testing.assert_allclose(
        Classifier.freeze(forest.estimators_).chance(rows), forest.predict_proba(rows)[:, 1], atol=1e-12
    )


def test_scores_of_a_blend_say_how_rare_an_ordinary_row_is(blend):
    frame, bad = hidden(4_000, 5)
    scores = blend.score(frame[~bad])
    assert 0.05 < (scores > blend.score_at_tail(0.1)).mean() < 0.2


def test_labels_of_ordinary_rows_alone_fit_the_label_free_detector():
    frame = ordinary(300, 0)
    known = Detector("HBOS", seed=0).fit(frame, np.zeros(300))
    np.testing.assert_array_equal(known.score(frame), Detector("HBOS", seed=0).fit(frame).score(frame))


def precision(truth: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, scores))


def blended(x: np.ndarray, labelled: np.ndarray, seed: int = 0) -> Blend:
    """`auto` blended from rows of which these are labelled anomalies; its base is the label-free detector."""
    none = np.zeros(int((~labelled).sum()), dtype=bool)
    return Blend.fit(lambda rows: Ensemble.fit(rows, seed), x[~labelled], none, x[labelled], seed)


def test_a_few_labels_among_many_hidden_anomalies():
    frame, bad = hidden(760, 6)
    blend = blended(frame.to_numpy(), np.isin(np.arange(760), np.flatnonzero(bad)[:8]))
    test, truth = hidden(2_000, 7)
    without, with_labels = (precision(truth, detector.raw(test.to_numpy())) for detector in (blend.base, blend))
    assert with_labels > without + 0.1


def gross(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ordinary rows, a twentieth of them anomalies of six deviations in one column: found without labels."""
    x, generator = ordinary(rows, seed).to_numpy(copy=True), np.random.default_rng(seed)
    bad = np.arange(rows) < rows // 20
    columns = generator.integers(0, 4, bad.sum())
    x[bad, columns] += 6 * x.std(axis=0)[columns] * generator.choice([-1, 1], bad.sum())
    return x, bad


def test_labels_of_random_rows_cost_little_precision_on_fresh_rows():
    """At most 0.15 on average over eight lots of twelve, where the label-free detector has 0.9 or more."""
    rows, truth = gross(1_000, 20)
    costs = []
    for seed in range(8):
        lot = np.isin(np.arange(400), np.random.default_rng(seed).permutation(400)[:12])
        blend = blended(gross(400, seed)[0], lot, seed)
        without, with_labels = (precision(truth, detector.raw(rows)) for detector in (blend.base, blend))
        assert without > 0.9
        costs.append(without - with_labels)
    assert np.mean(costs) < 0.15


def test_labelled_rows_do_not_lead_for_having_been_left_out():
    """A detector tells the rows it was fitted on from others: an informant that has not seen the labelled ones
    would let labels at random look as if they had taught something.
    """
    weights, leaky = [], []
    for seed in range(6):
        x = gross(400, seed)[0]
        lot = np.isin(np.arange(400), np.random.default_rng(seed + 100).permutation(400)[:30])
        weights.append(blended(x, lot, seed).weight)
        blind = lambda rows, seed=seed, kept=x[~lot]: Ensemble.fit(kept, seed)  # noqa: E731
        leaky.append(Blend.fit(blind, x[~lot], np.zeros(370, dtype=bool), x[lot], seed).weight)
    assert np.mean(weights) < np.mean(leaky)
    assert np.mean(weights) < 0.15


def test_anomalies_of_a_kind_nobody_labelled_are_still_found():
    frame, bad = hidden(800, 8)
    blend = blended(frame.to_numpy(), bad)
    usual, unheard_of = (ordinary(1_000, seed).to_numpy(copy=True) for seed in (9, 10))
    unheard_of[:, 2] += 10 * unheard_of[:, 2].std()
    assert blend.weight > 0.8
    assert (blend.raw(unheard_of) > np.quantile(blend.raw(usual), 0.99)).mean() > 0.99


def test_labels_drawn_at_random_weigh_little():
    """Levels of rows in a random order are exponentially distributed."""
    generator = np.random.default_rng(0)
    levels = generator.exponential(1 / np.log(10), (500, 2, 30))
    weights = np.array([weight_of(free, learnt) for free, learnt in levels])
    assert weights.mean() < 0.03
    assert (weights == 0).mean() > 0.9


def test_rows_called_ordinary_teach_that_their_likes_are():
    frame, bad = hidden(600, 10)
    rows, none = frame.to_numpy(), np.zeros(600, dtype=bool)
    labelled, dismissed = bad & (rows[:, 0] > 0), bad & (rows[:, 0] <= 0) & (np.arange(600) % 2 == 0)
    others = bad & ~labelled & ~dismissed
    without, with_them = (learn(rows, labelled, known, 0).chances[others].mean() for known in (none, dismissed))
    assert with_them < without - 0.05


def test_one_labelled_anomaly_is_enough():
    frame, bad = hidden(300, 11)
    labels = np.where(np.arange(300) == 0, 1.0, np.nan)
    assert bad[0]
    assert 0.0 < blended(frame.to_numpy(), labels == 1).weight <= 1 / 3


def test_a_lesson_is_the_same_each_time_and_judges_rows_by_trees_that_did_not_draw_them():
    frame, bad = hidden(200, 12)
    rows, none = frame.to_numpy(), np.zeros(200, dtype=bool)
    first, second = (learn(rows, bad, none, 3) for _ in "ab")
    np.testing.assert_array_equal(first.classifier.chances, second.classifier.chances)
    assert (first.classifier.chance(rows)[bad] > first.chances[bad]).mean() > 0.9
