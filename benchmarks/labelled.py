"""Labelled data sets for benchmarks: a folder of NAME.parquet with feature columns and `label` (1 = anomaly)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "records"


def data_sets(folder: Path) -> list[str]:
    """Names of the data sets in `folder`, none where it is absent."""
    return sorted(path.stem for path in folder.glob("*.parquet"))


def split(folder: Path, name: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """Stratified 70/30 split: training frame, test frame, training labels, test labels."""
    from sklearn.model_selection import train_test_split

    frame = pd.read_parquet(folder / f"{name}.parquet")
    labels = frame.pop("label").to_numpy()
    train, test, known, truth = train_test_split(frame, labels, test_size=0.3, stratify=labels, random_state=seed)
    return train, test, known, truth


def figures(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """ROC AUC and average precision, in %."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return 100 * roc_auc_score(truth, scores), 100 * average_precision_score(truth, scores)


def intervals(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of a mean over data sets."""
    draws = np.random.default_rng(seed).choice(differences, (10_000, differences.size))
    low, high = np.quantile(draws.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def jobs(names: list[str], seeds: list[int]) -> Iterator[tuple[str, int]]:
    """Every data set with every seed."""
    return ((name, seed) for name in names for seed in seeds)
