"""A score means the same whatever the detector's settings: also where raw scores pile up or move with the rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from pynomaly_pipelines.detection import Detector
from pynomaly_pipelines.detection.offered import OFFERS

from .conftest import CASES, fitted, ordinary

FURTHER: list[tuple[str, dict[str, Any]]] = [
    ("IForest", {"n_estimators": 20}),
    ("HBOS", {"n_bins": 50}),
    ("MCD", {"support_fraction": 0.9}),
    ("MCD", {"assume_centered": True}),
    ("LOF", {"n_neighbors": 5}),
    ("PCA", {"n_components": 3}),
    ("LODA", {"n_bins": 5}),
    ("INNE", {"max_samples": 4, "n_estimators": 50}),
    ("INNE", {"max_samples": 32, "n_estimators": 50}),
    ("CBLOF", {"n_clusters": 10}),
    ("OCSVM", {"nu": 0.9, "gamma": 0.05}),
    ("KDE", {"bandwidth": 0.3}),
    ("KDE", {"bandwidth": 3.0}),
    ("Sampling", {"subset_size": 50}),
    ("Sampling", {"subset_size": 100}),
]
VARIANTS = [CASES[case] for case in CASES if CASES[case][1]] + FURTHER
WITHOUT_SETTINGS = {"ECOD", "COPOD"}  # theirs are contamination and n_jobs, which change no score


def test_each_detector_is_tried_with_two_settings_at_least():
    tried = Counter(name for name, _ in VARIANTS)
    assert {name for name in OFFERS if tried[name] < 2} == WITHOUT_SETTINGS


@pytest.mark.parametrize(("name", "parameters"), VARIANTS, ids=str)
def test_scores_say_how_rare_a_row_is(name, parameters):
    """Of fresh ordinary rows, 10 % exceed the score for 10 % within a factor of 2, and 1 % within one of 4."""
    known = [case for case in CASES if CASES[case] == (name, parameters)]
    scorer = fitted(known[0]) if known else Detector(name, seed=0, **parameters).fit(ordinary(400, 0))
    scores = scorer.score(ordinary(4_000, 13))
    assert 0.05 < (scores > scorer.score_at_tail(0.1)).mean() < 0.2
    assert (scores > scorer.score_at_tail(0.01)).mean() < 0.04
    assert np.quantile(scores, 0.99) > scorer.score_at_tail(0.1)
