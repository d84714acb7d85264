"""What is counted over a pipeline's tables, once for each version of them."""

from __future__ import annotations

from datetime import datetime

from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.keeping import versions
from pynomaly_pipelines.service.paging import Answer
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.states import anomalies_of, scored_of, totals

TABLES = ("validated", "quarantine", "scores")
"""Besides the one that a pipeline's rows come in."""


class Figures(Answer):
    """Counts of a pipeline's tables."""

    partitions: int
    ingested: int
    validated: int
    quarantined: int
    scored: int
    anomalies: int
    last_partition: str | None
    last_scored_at: datetime | None


def figures_of(service: Service, spec: PipelineSpec) -> Figures:
    """The figures of the tables as they are now."""
    # The tables first: what is written while they are counted is counted again under another key.
    seen = versions(service.lake, spec.name, (spec.incoming[-1], *TABLES))
    return Figures.model_validate_json(service.kept.of("figures", spec, seen, lambda: _counted(service, spec)))


def _counted(service: Service, spec: PipelineSpec) -> Figures:
    found = totals(spec, service.lake)
    last = found.last_scored
    scored = {} if last is None else scored_of(spec, service.lake, [last])
    return Figures(
        partitions=len(found.keys),
        ingested=sum(found.ingested.values()),
        validated=sum(found.validated.values()),
        quarantined=sum(found.quarantined.values()),
        scored=sum(found.scored.values()),
        anomalies=anomalies_of(spec, service.lake),
        last_partition=last,
        last_scored_at=scored[last].at if last in scored else None,
    )
