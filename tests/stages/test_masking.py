"""Training forgives the past: five gross outliers among 2,500 training points hide no later ten-sigma event.

Through the stages a pipeline goes through, with validated data that no one has cleaned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.evaluation import evaluate
from pynomaly_pipelines.stages.promotion.registration import register
from pynomaly_pipelines.stages.scoring import score
from pynomaly_pipelines.stages.training import train
from tests.small_pipelines import START, put, series, spec

POINTS, OUTLIERS, EVENT = 2_500, 5, 10.0


def gross(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The training values with five outliers of a million."""
    spoilt = values.copy()
    spoilt[rng.choice(POINTS, OUTLIERS, replace=False)] = 1e6
    return spoilt


def scored(pipeline: Any, lake: Lake, registry: Registry, rows: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    put(lake, pipeline, rows)
    train(pipeline, lake, registry)
    evaluate(pipeline, lake, registry)
    assert register(pipeline, lake, registry).champion is not None
    put(lake, pipeline, later)
    keys = sorted(set(Calendar(pipeline).keys_of(later["at"])))
    score(pipeline, [Calendar(pipeline).partition(key) for key in keys], lake, registry)
    found: pd.DataFrame = lake.read(pipeline.name, "scores", partitions=keys).to_pandas()
    return found


def hidden(spoilt: np.ndarray, value: float) -> bool:
    """Whether the usual rule, three standard deviations from the mean, is blinded: otherwise the test shows nothing."""
    return bool(abs(value - spoilt.mean()) < 3 * spoilt.std())


# `auto` alone is slow to fit, and tests/detection holds it to the same.
@pytest.mark.parametrize("detector", ["IForest", "HBOS", "KNN"])
def test_records(detector: str, lake: Lake, registry: Registry) -> None:
    rng = np.random.default_rng(5)
    pipeline = spec(
        key=(), labels=None, training={"detectors": [detector]}, threshold={"alert_rate": 0.005}, name="shop"
    )
    rows = pd.DataFrame(rng.normal(size=(POINTS + 100, 3)), columns=["a", "b", "c"])
    rows["at"] = START + pd.to_timedelta(np.arange(len(rows)) * 864, unit="s")  # a hundred a day
    rows.loc[: POINTS - 1, "a"] = gross(rows["a"].to_numpy()[:POINTS], rng)
    rows.loc[POINTS + 50, "a"] = EVENT
    assert hidden(rows["a"].to_numpy()[:POINTS], EVENT)
    found = scored(pipeline, lake, registry, rows[:POINTS], rows[POINTS:])
    assert found["is_anomaly"][50]
    # The alert budget was half a row in a hundred.
    assert found["is_anomaly"].drop(50).sum() <= 4


@pytest.mark.parametrize("detector", ["auto", "SeasonalResidual"])
def test_series(detector: str, lake: Lake, registry: Registry) -> None:
    rng = np.random.default_rng(6)
    pipeline = series(1, series=(), training={"detectors": [detector], "window": 120}).spec
    hours = pd.date_range(START, periods=POINTS + 48, freq="h")
    load = 50 + 20 * np.sin(2 * np.pi * np.arange(len(hours)) / 24) + rng.normal(0, 1, len(hours))
    load[:POINTS] = gross(load[:POINTS], rng)
    load[POINTS + 24] += EVENT
    assert hidden(load[:POINTS], load[POINTS + 24])
    rows = pd.DataFrame({"at": hours, "load": load})
    # Whole days: what follows the training points begins a partition of its own.
    border = POINTS // 24 * 24
    found = scored(pipeline, lake, registry, rows[:border], rows[border:])
    event = POINTS + 24 - border
    assert found["is_anomaly"][event]
    assert found["score"].idxmax() == event
    assert found["is_anomaly"][:event].sum() <= 2
