"""An incident -> a picture that has its rows in it, in bounded size."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.stages.incidents.following import follow
from pynomaly_pipelines.stages.notifications import plots
from pynomaly_pipelines.stages.notifications.plots import picture
from tests.small_pipelines import Small, records, series, trained


@pytest.mark.parametrize("make", [records, series])
def test_a_picture_shows_the_anomalies_in_red_and_stays_small(
    make: Callable[..., Small],
    tmp_path: Path,
    new_registry: Callable[[Path], Registry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = trained(make(incidents={"gap_hours": 0.01}), tmp_path, new_registry)
    found = follow(shop.spec, shop.partitions(), shop.lake).found
    incident = max(found, key=lambda one: one.score)
    drawn = picture(shop.spec, shop.lake, incident)
    assert drawn.name == f"{incident.id}.png"
    image = np.asarray(Image.open(io.BytesIO(drawn.png)).convert("RGB")).astype(int)
    assert image.shape[1] > 500
    assert len(drawn.png) < 100_000
    alarm = np.array([int(plots.ALARM[i : i + 2], 16) for i in (1, 3, 5)])
    assert (np.abs(image - alarm).sum(axis=2) < 60).sum() >= 5
    # However many rows there are, few are drawn; each anomaly is.
    monkeypatch.setattr(plots, "_MOST_POINTS", 10)
    rows = plots._rows(shop.spec, shop.lake, incident, incident.start)
    assert int(rows["is_anomaly"].sum()) >= incident.anomalies
