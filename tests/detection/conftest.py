"""Frames and fitted scorers that the tests of detection share: each detector is fitted once a session."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection import Detector
from pynomaly_pipelines.detection.offered import OFFERS
from pynomaly_pipelines.detection.records import RecordScorer

# Every detector with PyOD's defaults, and settings that are frozen by other branches of the code.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "auto": ("auto", {}),
    **{name: (name, {}) for name in OFFERS},
    "IForest-deep": ("IForest", {"max_samples": 1.0, "max_features": 0.5, "n_estimators": 20}),
    "HBOS-auto": ("HBOS", {"n_bins": "auto"}),
    "KNN-mean-L1": ("KNN", {"method": "mean", "p": 1, "n_neighbors": 7}),
    "KNN-median": ("KNN", {"method": "median", "n_neighbors": 8}),
    "KNN-Chebyshev": ("KNN", {"metric": "chebyshev"}),
    "LOF-L1": ("LOF", {"p": 1}),
    "GMM-tied": ("GMM", {"n_components": 2, "covariance_type": "tied"}),
    "GMM-diag": ("GMM", {"n_components": 2, "covariance_type": "diag"}),
    "GMM-spherical": ("GMM", {"n_components": 2, "covariance_type": "spherical"}),
    "PCA-plain": ("PCA", {"standardization": False, "n_components": 2}),
    "LODA-auto": ("LODA", {"n_bins": "auto", "n_random_cuts": 30}),
    "CBLOF-weighted": ("CBLOF", {"use_weights": True}),
    "OCSVM-narrow": ("OCSVM", {"nu": 0.1, "gamma": 0.5}),
}
DEFAULTS = [name for name in CASES if name in OFFERS or name == "auto"]


def ordinary(rows: int, seed: int) -> pd.DataFrame:
    """Four correlated numeric columns of unlike scales."""
    generator = np.random.default_rng(seed)
    base = generator.normal(size=(rows, 4))
    base[:, 1] += base[:, 0]
    return pd.DataFrame(base * [1.0, 2.0, 30.0, 0.5] + [0.0, 5.0, 100.0, -1.0], columns=["a", "b", "c", "d"])


def mixed(rows: int, seed: int) -> pd.DataFrame:
    """Numbers, gaps, texts, booleans and times."""
    generator = np.random.default_rng(seed)
    frame = ordinary(rows, seed)
    frame["gaps"] = np.where(generator.random(rows) < 0.1, np.nan, generator.normal(size=rows))
    frame["carrier"] = generator.choice(["AA", "UA", "DL"], rows, p=[0.5, 0.3, 0.2])
    frame["late"] = generator.random(rows) < 0.3
    frame["at"] = pd.Timestamp("2025-01-06") + pd.to_timedelta(generator.integers(0, 24 * 28, rows), unit="h")
    return frame


@cache
def fitted(case: str, kind: str = "ordinary", rows: int = 400) -> RecordScorer:
    """The case's detector fitted on `ordinary` or `mixed` rows, seed 0."""
    name, parameters = CASES[case]
    frame = {"ordinary": ordinary, "mixed": mixed}[kind](rows, 0)
    return Detector(name, seed=0, **parameters).fit(frame)
