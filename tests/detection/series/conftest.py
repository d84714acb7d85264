"""Series that are made, so that what is unusual in them is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection import SeriesDetector
from pynomaly_pipelines.detection.series import SeriesScorer

KINDS = ("auto", "SeasonalResidual", "LevelShift", "SubKNN", "IForest", "KNN")
START = pd.Timestamp("2025-01-06", tz="UTC")  # a Monday


def long_frame(values: np.ndarray, name: str = "a", minutes: float = 30.0, start: pd.Timestamp = START) -> pd.DataFrame:
    """`values` as a series of regular points."""
    time = start + pd.to_timedelta(np.arange(len(values)) * minutes, unit="min")
    return pd.DataFrame({"timestamp": time, "series": name, "value": values})


def daily(days: int, seed: int, *, per_day: int = 48, height: float = 10.0, noise: float = 1.0) -> np.ndarray:
    """A daily wave and Gaussian noise, float64[days * per_day]."""
    phase = 2 * np.pi * np.arange(days * per_day) / per_day
    return 50.0 + height * np.sin(phase) + noise * np.random.default_rng(seed).normal(size=len(phase))


def household(days: int = 28, seed: int = 0) -> pd.DataFrame:
    """Four unlike series: a daily wave, counts mostly 0, a drifting random walk, and an hourly one with gaps."""
    generator = np.random.default_rng(seed)
    walk = np.cumsum(generator.normal(size=days * 48))
    gaps = daily(days, seed + 1, per_day=24)
    gaps[generator.random(len(gaps)) < 0.05] = np.nan
    hourly = long_frame(gaps, "hourly", 60.0)
    return pd.concat(
        [
            long_frame(daily(days, seed), "wave"),
            long_frame(generator.poisson(0.2, days * 48).astype(float), "counts"),
            long_frame(walk, "walk"),
            hourly[generator.random(len(hourly)) > 0.05],
        ],
        ignore_index=True,
    )


@cache
def fitted(kind: str = "auto") -> SeriesScorer:
    """The detector fitted on `household()`."""
    return SeriesDetector(kind, seed=0).fit(household())


def shuffled(frame: pd.DataFrame, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows in another order, and where each came from."""
    order = np.random.default_rng(seed).permutation(len(frame))
    return frame.iloc[order], order
