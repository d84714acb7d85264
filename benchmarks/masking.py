"""Do gross outliers among the training points hide later events? Our auto beside Anomstack's scoring steps.

    python -m benchmarks.masking [--seeds 5]

Anomstack's steps are written anew from its public defaults (metrics/defaults, February 2026): each metric by itself,
the 13 newest points left out of training; differences, means of 3, 5 lags; PyOD's PCA and KNN, contamination 0.01;
the mean of their `predict_proba`, which is scaled by the smallest and largest training score; an alert where the newest
score reaches 0.8 (its mean over older scores takes in none: the window is ordered from the newest on).
A table is to it one metric a column; a row has the highest score of its columns. An event counts as flagged there if
any of the eight points does which it moves.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection import Detector, SeriesDetector

TRAINING, LATER, EVENTS = 2_500, 1_000, range(100, 1_000, 100)
OUTLIERS = (0.0, 50.0, 1_000.0, 10_000.0)
NEWEST_LEFT_OUT, SMOOTHED, LAGS, ALERT, MOVED = 13, 3, 5, 0.8, 8
BUDGET = 0.001
"""Our threshold: the score that one in a thousand ordinary points exceeds."""

Flags = tuple[np.ndarray, np.ndarray]
"""Scores float64[n] of the later points and bool[n], which are flagged."""


def lagged(values: np.ndarray) -> np.ndarray:
    """float64[n, 6]: the mean of the last 3 differences and its five lags; NaN where there is no past."""
    smooth = pd.Series(values).diff().rolling(SMOOTHED).mean()
    return np.column_stack([smooth.shift(lag) for lag in range(LAGS + 1)])


def anomstack_series(train: np.ndarray, later: np.ndarray) -> np.ndarray:
    """float64[n]: its score of each later point."""
    from pyod.models.knn import KNN
    from pyod.models.pca import PCA

    x = lagged(train[:-NEWEST_LEFT_OUT])
    fresh = lagged(np.concatenate([train, later]))[len(train) :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = [kind(contamination=0.01).fit(x[~np.isnan(x).any(axis=1)]) for kind in (PCA, KNN)]
        return np.mean([model.predict_proba(fresh)[:, 1] for model in models], axis=0)


def anomstack(train: np.ndarray, later: np.ndarray) -> Flags:
    scores = np.max([anomstack_series(a, b) for a, b in zip(train.T, later.T, strict=True)], axis=0)
    return scores, scores >= ALERT


def our_records(train: np.ndarray, later: np.ndarray) -> Flags:
    names = [f"c{j}" for j in range(train.shape[1])]
    scorer = Detector("auto", seed=0).fit(pd.DataFrame(train, columns=names))
    scores = scorer.score(pd.DataFrame(later, columns=names))
    return scores, scores > scorer.score_at_tail(BUDGET)


def our_series(train: np.ndarray, later: np.ndarray) -> Flags:
    times = pd.date_range("2025-01-01", periods=TRAINING + LATER, freq="5min", tz="UTC")
    whole = pd.DataFrame({"timestamp": times, "series": "a", "value": np.concatenate([train[:, 0], later[:, 0]])})
    scorer = SeriesDetector("auto", seed=0).fit(whole.iloc[:TRAINING])
    scores = scorer.score(whole)[TRAINING:]
    return scores, scores > scorer.score_at_tail(BUDGET)


def points(columns: int, size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal points; five training ones moved by ± size, later events of + 10, in the first column."""
    generator = np.random.default_rng(seed)
    train, later = generator.normal(size=(TRAINING, columns)), generator.normal(size=(LATER, columns))
    train[generator.choice(TRAINING - 50, 5, replace=False), 0] += size * generator.choice([-1, 1], 5)
    later[list(EVENTS), 0] += 10.0
    return train, later


def judged(found: Flags, moved: int) -> tuple[float, float, float]:
    """Mean score of the events, share of them flagged, share of all other points flagged."""
    scores, flags = found
    touched = np.zeros(LATER, dtype=bool)
    for event in EVENTS:
        touched[event : event + MOVED] = True
    best = [np.nanmax(scores[event : event + moved]) for event in EVENTS]
    hit = [flags[event : event + moved].any() for event in EVENTS]
    return float(np.mean(best)), float(np.mean(hit)), float(flags[~touched].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    sides: dict[str, tuple[int, Callable[[np.ndarray, np.ndarray], Flags], int]] = {
        "records of 5 columns, auto": (5, our_records, 1),
        "records of 5 columns, Anomstack's steps": (5, anomstack, MOVED),
        "a series, auto": (1, our_series, 1),
        "a series, Anomstack's steps": (1, anomstack, MOVED),
    }
    print(f"{len(EVENTS)} events of 10 deviations, seeds {seeds.start} to {seeds[-1]}\n")
    print("| five outliers of | points | mean score of the events | events flagged | other points flagged |")
    print("| --- | --- | --- | --- | --- |")
    for size in OUTLIERS:
        for name, (columns, side, moved) in sides.items():
            rows = [judged(side(*points(columns, size, seed)), moved) for seed in seeds]
            score, hit, false = np.mean(rows, axis=0)
            told = f"{size:,.0f}" if size else "none"
            print(f"| {told} | {name} | {score:.3f} | {hit:.0%} | {false:.2%} |", flush=True)


if __name__ == "__main__":
    main()
