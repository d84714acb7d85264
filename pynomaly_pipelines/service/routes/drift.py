"""How new partitions differ from those the champion was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import Field

from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.conditional import tag_of, unchanged
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.paging import Answer, StrictQuery
from pynomaly_pipelines.service.rows import plain
from pynomaly_pipelines.service.specs import partition_of
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.drift import history as drift_history

router = bodies.router("/pipelines/{name}/drift", "models")
Reader = Annotated[Caller, Depends(require(Permission.MODELS_READ))]


class AskedDrift(StrictQuery):
    """Which partition, and how much of it."""

    partition: str | None = Field(None, max_length=100, description="By default the last one judged.")
    top: int = Field(10, ge=1, le=500, description="Only so many subjects, the most certain first.")


class Judgement(Answer):
    """One subject of one partition against the champion's training."""

    partition: str
    model_version: int
    kind: str
    subject: str
    what: str
    drifted: bool
    effect: float | None
    unit: str
    p_value: float | None
    p_adjusted: float | None = Field(description="Corrected for the number of subjects.")
    usual: str
    seen: str


class Lasting(Answer):
    """Drift that lasts: it may start a training (`drift.retrain_on`)."""

    first: str
    last: str
    partitions: int
    subjects: tuple[str, ...]


class DriftReport(Answer):
    """What drifts."""

    partition: str | None = Field(description="Null where no partition was judged yet.")
    model_version: int | None
    judged: int = Field(description="Subjects that were judged.")
    drifted: int
    subjects: tuple[Judgement, ...]
    lasting: Lasting | None
    why_not: str | None = Field(description="Why nothing was judged.")


@router.get("", summary="Drift of a partition", response_model=DriftReport)
def get_drift(
    service: TheService,
    request: Request,
    response: Response,
    name: str,
    asked: Annotated[AskedDrift, Query()],
    _caller: Reader,
) -> Any:
    """How a partition's data and scores differ from those that the champion was trained on."""
    spec = service.specs.of(name)
    wanted = None if asked.partition is None else [partition_of(spec, asked.partition).key]
    answer = _report(spec, service, wanted, asked.top)
    return unchanged(request, response, tag_of(answer.model_dump_json())) or answer


def judgements(service: Service, spec: PipelineSpec, keys: Sequence[str]) -> list[Judgement]:
    """Every subject of these partitions, by the last version that judged them, the most certain first."""
    report = drift_history.last_judged(spec, service.lake, keys)
    return [] if report is None else [_judgement(row) for row in report.rows]


def _report(spec: PipelineSpec, service: Service, wanted: Sequence[str] | None, most: int) -> DriftReport:
    found = drift_history.last_judged(spec, service.lake, wanted)
    if found is None:
        return DriftReport(
            partition=None,
            model_version=None,
            judged=0,
            drifted=0,
            subjects=(),
            lasting=None,
            why_not=drift_history.why_not(spec),
        )
    lasting = found.lasting
    return DriftReport(
        partition=found.partition,
        model_version=found.version,
        judged=len(found.rows),
        drifted=found.drifted,
        subjects=tuple(_judgement(row) for row in found.rows[:most]),
        lasting=None
        if lasting is None
        else Lasting(first=lasting.first, last=lasting.last, partitions=lasting.partitions, subjects=lasting.subjects),
        why_not=None,
    )


def _judgement(row: dict[str, Any]) -> Judgement:
    return Judgement.model_validate(
        {
            "partition": row["_partition"],
            **{name: row[name] for name in ("model_version", "kind", "subject", "what", "drifted", "unit")},
            **{name: plain(row[name]) for name in ("effect", "p_value", "p_adjusted")},
            "usual": str(row["usual"]),
            "seen": str(row["seen"]),
        }
    )
