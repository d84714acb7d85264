"""A new champion -> Dagster is told, and scores again what should be."""

from __future__ import annotations

import logging

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from pynomaly_pipelines.automation.promotions import announce
from pynomaly_pipelines.resources.registry import Version
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.paging import Answer
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.summary import scored_by_others

log = logging.getLogger(__name__)


class Rescoring(Answer):
    """What becomes of scores that other versions made."""

    asked: bool = Field(
        description="Whether Dagster was told; it scores the latest partitions again while it runs live."
    )
    partitions: int = Field(description="Partitions that carry scores of other versions now.")
    note: str


def ask_for_rescoring(service: Service, spec: PipelineSpec, champion: Version, how: str) -> Rescoring:
    """Tell Dagster of the champion as the commands do. The move is made already: a failure here is told, not raised."""
    stale = len(scored_by_others(spec, service.lake, champion.number))
    try:
        announce(service.dagster, spec, service.registry, how)
    except (dg.DagsterError, sa.exc.SQLAlchemyError, OSError) as error:
        log.warning("dagster was not told of champion %s of %s: %s", champion.number, spec.name, error)
        note = f"Dagster could not be told: launch a scoring of {spec.name}"
        return Rescoring(asked=False, partitions=stale, note=note)
    note = "while Dagster runs live, the latest partitions are scored again by themselves" if stale else ""
    return Rescoring(asked=True, partitions=stale, note=note)
