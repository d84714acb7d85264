"""A project folder with a landing folder, a lake, and a way to say what lies in them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.expectations.reports import ValidationReport
from pynomaly_pipelines.stages.ingestion import IngestReport, ingest
from pynomaly_pipelines.stages.validation import validate


@dataclass
class Zone:
    """A pipeline `shop` with daily files `in/%Y-%m-%d.csv`, unless `spec` says otherwise."""

    project: Path
    lake: Lake
    attributes: dict[str, Any]

    @property
    def spec(self) -> PipelineSpec:
        return PipelineSpec.model_validate(self.attributes)

    def drop(self, name: str, content: str | bytes | pa.Table, *, age_seconds: float = 60) -> Path:
        """Put a file into the landing folder, as if it had lain there for a while."""
        from pyarrow import parquet

        path = self.project / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            parquet.write_table(content, path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        then = time.time() - age_seconds
        os.utime(path, (then, then))
        return path

    def partitions(self, keys: Sequence[str]) -> list[Partition]:
        return [Calendar(self.spec).partition(key) for key in keys]

    def ingest(self, *keys: str) -> IngestReport:
        return ingest(self.spec, self.partitions(keys), self.lake, self.project)

    def validate(self, *keys: str) -> ValidationReport:
        return validate(self.spec, self.partitions(keys), self.lake)

    def rows(self, noun: str = "raw") -> pd.DataFrame:
        return self.lake.read("shop", noun).to_pandas()

    def rejected(self) -> dict[int, str]:
        """`_row` -> reasons of the rejected rows."""
        rows = self.rows().dropna(subset=["_rejected"])
        return dict(zip(rows["_row"], rows["_rejected"], strict=True))
