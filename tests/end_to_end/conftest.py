"""A user's own Dagster project with one pipeline in it, as the tutorial builds it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.scaffolding import scaffold

PIPELINE = """\
type: pynomaly_pipelines.components.DetectionPipeline
attributes:
  source: {type: csv, path: landing/%Y-%m-%d.csv}
  time: at
  partition: daily
  start: 2025-03-01
  end: 2025-04-01
  key: id
  training: {min_rows: 200, detectors: [IForest, HBOS]}
  threshold: {alert_rate: 0.01}
  automation: {arrivals_interval_seconds: 5}
"""


def day_of_rows(day: int, rows: int = 120) -> pd.DataFrame:
    """Ordinary orders, and the last one far out."""
    rng = np.random.default_rng(day)
    start = pd.Timestamp(f"2025-03-{day:02}", tz="UTC")
    frame = pd.DataFrame(
        {
            "at": start + pd.to_timedelta(np.linspace(0, 23, rows), unit="h"),
            "id": np.arange(rows) + 1000 * day,
            "amount": rng.normal(50, 8, rows),
            "items": rng.integers(1, 6, rows).astype(float),
        }
    )
    frame.loc[rows - 1, ["amount", "items"]] = (900.0, 77.0)
    return frame


@pytest.fixture
def own_project(tmp_path: Path) -> Path:
    scaffold(tmp_path, "watch")
    orders = tmp_path / "watch" / "defs" / "orders"
    orders.mkdir()
    (orders / "defs.yaml").write_text(PIPELINE)
    (tmp_path / "landing").mkdir()
    return tmp_path


@pytest.fixture
def drop(own_project: Path) -> Callable[[int], None]:
    """A finished file appears in the landing folder, all at once."""

    def write(day: int) -> None:
        target = own_project / "landing" / f"2025-03-{day:02}.csv"
        part = target.with_suffix(".part")
        day_of_rows(day).to_csv(part, index=False)
        part.rename(target)

    return write


@pytest.fixture
def environment(own_project: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYNOMALY_", "DAGSTER_"))}
    return {**kept, "PYNOMALY_PROJECT": str(own_project), "PYTHONPATH": str(own_project)}
