"""Random series of odd clocks: chunks, stated pasts and reversed rows give the same bits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import SeriesDetector


def random_series(generator: np.random.Generator) -> pd.DataFrame:
    """Between 60 and 900 points: bursts, gaps and jitter in time; counts, walks, heavy tails or noise; holes."""
    n, step = int(generator.integers(60, 900)), generator.choice([1, 60, 300, 3600, 86400])
    steps = generator.choice([0.1, 1, 2, 300], n, p=[0.05, 0.9, 0.04, 0.01]) * step
    makers = (
        lambda: generator.normal(size=n),
        lambda: generator.integers(0, 3, n).astype(float),
        lambda: np.cumsum(generator.normal(size=n)),
        lambda: np.exp(3 * generator.normal(size=n)),
    )
    value = makers[generator.integers(len(makers))]()
    value[generator.random(n) < generator.choice([0.0, 0.1, 0.6])] = np.nan
    time = pd.Timestamp("2024-02-29", tz="UTC") + pd.to_timedelta(np.cumsum(steps).round(3), unit="s")
    return pd.DataFrame({"timestamp": time, "series": "a", "value": value})


@pytest.mark.parametrize("kind", ["auto", "LevelShift", "SubKNN"])
@pytest.mark.parametrize("seed", range(6))
def test_a_point_and_its_stated_past_are_all_that_counts(kind, seed):
    generator = np.random.default_rng([seed, len(kind)])
    frame = random_series(generator)
    while frame["value"].notna().sum() < 48:
        frame = random_series(generator)
    scorer = SeriesDetector(kind).fit(frame)
    whole = scorer.score(frame)
    np.testing.assert_array_equal(scorer.score(frame.iloc[::-1])[::-1], whole)
    chunk, state = int(generator.integers(1, 200)), scorer.start()
    chunks = [state.update(frame.iloc[i : i + chunk]) for i in range(0, len(frame), chunk)]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    for i in generator.integers(1, len(frame), 15):
        by_points = frame.iloc[max(0, i - scorer.history_points) : i + 1]
        by_time = frame[frame["timestamp"] >= frame["timestamp"][i] - scorer.history].loc[:i]
        np.testing.assert_array_equal([scorer.score(by_points)[-1], scorer.score(by_time)[-1]], [whole[i]] * 2)
