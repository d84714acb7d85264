"""`defs.yaml` -> the definitions of one pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster.components import Scaffolder, ScaffoldRequest
from pydantic import BaseModel

from pynomaly_pipelines import specfile
from pynomaly_pipelines.pipeline import build_pipeline
from pynomaly_pipelines.spec import PipelineSpec

FIRST_YAML = """\
type: {component}
attributes:
  source: {{type: csv, path: "landing/{name}/*.csv"}}
  # time: timestamp          # the column with a row's time
  # partition: daily         # hourly, daily, weekly or monthly; then `start: 2025-01-01` as well
"""


class PipelineScaffolder(Scaffolder):
    """Writes a first, valid `defs.yaml`."""

    def scaffold(self, request: ScaffoldRequest[Any]) -> None:
        """Write the file into the new component's folder."""
        request.target_path.mkdir(parents=True, exist_ok=True)
        text = FIRST_YAML.format(component=specfile.COMPONENT, name=request.target_path.name)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


@dg.scaffold_with(PipelineScaffolder)
class DetectionPipeline(dg.Component):
    """Ingest, validate, train, evaluate, register and score one data set."""

    def __init__(self, spec: PipelineSpec) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of `attributes`."""
        return PipelineSpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Attributes -> component, templates filled in and the name taken from the folder."""
        raw = {} if attributes is None else attributes.model_dump(exclude_unset=True)
        filled = context.resolution_context.at_path("attributes").resolve_value(raw)
        folder = Path(context.path)
        return cls(specfile.resolved({**filled, "name": filled.get("name") or folder.name}, folder / "defs.yaml"))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 (Dagster calls it so)
        """The pipeline's assets, checks, jobs, schedules and sensors."""
        return build_pipeline(self.spec)
