from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pynomaly_pipelines.resources.tables import Lake
from tests.stages.landing_zone import Zone


@pytest.fixture
def zone(tmp_path: Path) -> Callable[..., Zone]:
    def make(**attributes: Any) -> Zone:
        defaults: dict[str, Any] = {
            "name": "shop",
            "source": {"type": "csv", "path": "in/%Y-%m-%d.csv"},
            "time": "at",
            "partition": "daily",
            "start": "2025-01-01",
        }
        project = tmp_path / "project"
        project.mkdir(exist_ok=True)
        return Zone(project, Lake(str(tmp_path / "lake")), defaults | attributes)

    return make
