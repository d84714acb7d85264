"""The pipelines of the project."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, ConfigDict

from pynomaly_pipelines import specfile
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.context import TheService

router = bodies.router("/pipelines", "pipelines")


class PipelineSummary(BaseModel):
    """A pipeline in the list."""

    model_config = ConfigDict(frozen=True)

    name: str


@router.get("")
def list_pipelines(
    service: TheService, caller: Annotated[Caller, Depends(require(Permission.PIPELINES_READ))]
) -> list[PipelineSummary]:
    """The pipelines the caller may see, by name."""
    names = sorted(e.spec.name for e in specfile.read_all(service.project.defs) if e.spec is not None)
    return [PipelineSummary(name=name) for name in names if caller.sees(name)]
