"""What a database or a Delta table holds of each partition -> the shape of a file, as all else takes it for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pynomaly_pipelines.resources.storage import LandedFile
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.rows import FileRows, Reading, Types


def looked_at(spec: PipelineSpec, lake: Lake, project: Path) -> dict[str, LandedFile]:
    raise NotImplementedError


def reading(spec: PipelineSpec, file: LandedFile, types: Types, project: Path, size: int) -> Reading:
    raise NotImplementedError


def sample(spec: PipelineSpec, types: Types, project: Path, size: int) -> Iterator[tuple[LandedFile, FileRows]]:
    raise NotImplementedError
