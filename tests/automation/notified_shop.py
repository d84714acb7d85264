"""A pipeline with scored days, whose receivers are real, and looks at it one after another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from pynomaly_pipelines.automation.alerts import Cursor, tell
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents.finding import listed
from pynomaly_pipelines.stages.incidents.following import follow
from pynomaly_pipelines.stages.incidents.states import Action, say
from tests.small_pipelines import spec

NOON = datetime(2025, 1, 9, 12, 0, tzinfo=UTC)


class Shop:
    """A pipeline with scored days, and looks at it one after another."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, receivers: Sequence[str], **notify: Any) -> None:
        names = {name: f"SHOP_{name.upper()}" for name in receivers}
        about = {"receivers": names, "about": ["incidents"], **notify}
        self.spec: PipelineSpec = spec(incidents={"gap_hours": 2}, notify=about)
        self.lake, self.instance, self.cursor, self.now = Lake(str(folder)), instance, Cursor(), NOON

    def score(self, day: str, *anomalous: str, country: str = "DE", run: str = "") -> None:
        times = sorted([*[f"{hour:02}:30" for hour in range(24)], *anomalous])
        odd = [time in anomalous for time in times]
        reason = [{"column": "country", "value": country, "usual": "10 … 80", "share": 0.8}]
        frame = pd.DataFrame(
            {
                "at": pd.to_datetime([f"{day} {time}" for time in times], utc=True),
                "id": range(len(times)),
                "_partition": day,
                "_source": f"in/{day}.csv",
                "_row": range(len(times)),
                "score": [0.9 if is_odd else 0.1 for is_odd in odd],
                "threshold": 0.5,
                "is_anomaly": odd,
                "reasons": [reason if is_odd else None for is_odd in odd],
                "model_version": 1,
                "run_id": run,
            }
        )
        self.lake.replace("shop", "scores", [day], pa.Table.from_pandas(frame, preserve_index=False))
        follow(self.spec, [Calendar(self.spec).partition(day)], self.lake)

    def tick(self, seconds: float = 0, *, wait: float = 20.0) -> str:
        self.now += timedelta(seconds=seconds)
        said, self.cursor = tell(self.instance, self.spec, self.lake, self.cursor, self.now, wait)
        return "; ".join(said)

    def say(self, action: Action, **more: Any) -> None:
        say(self.spec, self.lake, listed(self.spec, self.lake)[-1].incident, action, who="ada", **more)
