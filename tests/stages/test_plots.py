"""Pictures: small, and drawn from any scores there may be."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pynomaly_pipelines.stages import plots

RNG = np.random.default_rng(0)
SCORES = RNG.random(5_000)
LABELS = np.where(RNG.random(5_000) < 0.02, 1.0, 0.0)


def points(series: int, length: int) -> pd.DataFrame:
    hours = pd.date_range("2025-01-01", periods=length, freq="h", tz="UTC")
    return pd.concat(
        [
            pd.DataFrame({"timestamp": hours, "series": f"s{n}", "value": RNG.normal(size=length)})
            for n in range(series)
        ],
        ignore_index=True,
    )


PICTURES = {
    "histogram": lambda: plots.score_histogram(SCORES, 0.9, LABELS),
    "histogram of gaps": lambda: plots.score_histogram(np.array([0.2, np.nan]), 0.9, np.array([np.nan, 1.0])),
    "histogram of nothing": lambda: plots.score_histogram(np.array([]), 0.9),
    "precision": lambda: plots.precision_recall(LABELS, SCORES, 0.9),
    "precision, nothing flagged": lambda: plots.precision_recall(LABELS, SCORES, 1.0),
    "series": lambda: plots.series_scores(points(9, 500), RNG.random(4_500), 0.9, (RNG.random(4_500) < 0.1) * 1.0),
    "series without scores": lambda: plots.series_scores(points(1, 5), np.full(5, np.nan), 0.9),
    "series of nothing": lambda: plots.series_scores(points(1, 0), np.array([]), 0.9),
    "over time": lambda: plots.anomalies_over_time(pd.Series(range(365), index=[f"day {n}" for n in range(365)])),
    "one partition": lambda: plots.anomalies_over_time(pd.Series([0], index=["2025-01-01"])),
    "reasons": lambda: plots.counted({"a": 3, "b" * 90: 60, "c": 1}, "why"),
    "no reasons": lambda: plots.counted({}, "why"),
    "rows": lambda: plots.rows_over_time({"2025-01-01": 90, "2025-01-02": 80}, {"2025-01-02": 9}, "rows"),
    "many rows": lambda: plots.rows_over_time({f"{n:05}": n for n in range(900)}, {}, "rows"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_small_png(name: str) -> None:
    png = PICTURES[name]()
    assert len(png) < 60_000
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    # Something was drawn.
    assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 3


def test_the_ui_shows_it_inline() -> None:
    assert plots.inline(b"\x89PNG", "scores") == "![scores](data:image/png;base64,iVBORw==)"
