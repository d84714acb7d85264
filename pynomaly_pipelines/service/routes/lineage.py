"""From one score back to everything it came from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import Field, JsonValue

from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.paging import Answer, StrictQuery, no_query
from pynomaly_pipelines.service.routes.scores import SCORES, WHERE, Clause, clauses, nothing_scored, stored
from pynomaly_pipelines.service.specs import partition_of
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import lineage

router = bodies.router("/pipelines/{name}/scores", "scores")
Reader = Annotated[Caller, Depends(require(Permission.SCORES_READ))]


class AskedLineage(StrictQuery):
    """Which row is meant."""

    partition: str | None = Field(None, max_length=100, description="Its partition; alone: its highest score.")
    where: Annotated[tuple[Clause, ...], WHERE] = ()


class SourceFile(Answer):
    """A file as it was when it was read."""

    path: str
    digest: str = Field(description="SHA-256 of its content.")
    rows: int


class ValidationTold(Answer):
    """What validation said of a partition."""

    partition: str
    valid: int
    quarantined: int


class ModelTold(Answer):
    """The version that scored the row."""

    version: int
    detector: str
    version_url: str
    mlflow_run: str
    run_url: str
    threshold_rule: str
    gate: str
    code_version: str
    schema_hash: str


class TrainingTold(Answer):
    """The rows the model was fitted on and judged by."""

    table_version: int = Field(description="Of the table `validated`.")
    fitted_on: dict[str, int] = Field(description="Partition -> valid rows.")
    held_out: dict[str, int]
    files: tuple[SourceFile, ...]


class Lineage(Answer):
    """Where one score comes from."""

    pipeline: str
    row: dict[str, JsonValue]
    score: float | None
    threshold: float
    is_anomaly: bool
    scoring_run: str
    scored_at: str
    file: SourceFile | None = Field(description="Null where it was read before files were remembered.")
    validation: ValidationTold
    model: ModelTold
    training: TrainingTold


@router.get("/lineage", summary="Lineage of a row by its columns", response_model=Lineage)
def find_lineage(service: TheService, name: str, asked: Annotated[AskedLineage, Query()], _caller: Reader) -> Any:
    """Follow the one row that has these values: its model, run, training rows, validation and files."""
    spec = service.specs.of(name)
    if not service.lake.exists(name, SCORES):
        raise nothing_scored(name)
    if asked.partition is not None:
        partition_of(spec, asked.partition)
    key = {column: values[0] for column, values in clauses(asked.where).items()}
    return _traced(service, spec, lineage.choose(spec, service.lake, key=key or None, partition=asked.partition))


@router.get(
    "/{partition}/{row}/lineage", summary="Lineage of a score", response_model=Lineage, dependencies=[Depends(no_query)]
)
def get_lineage(service: TheService, name: str, partition: str, row: str, _caller: Reader) -> Any:
    """Follow a score by the `id` it is listed with."""
    spec = service.specs.of(name)
    return _traced(service, spec, stored(service, spec, partition, row).to_pandas().iloc[0])


def _traced(service: Service, spec: PipelineSpec, row: Any) -> Lineage:
    found = lineage.trace(spec, service.lake, service.registry, service.data_docs, row)
    training, model = found.training, found.model
    return Lineage(
        pipeline=found.pipeline,
        row=dict(found.row),
        score=found.score,
        threshold=found.threshold,
        is_anomaly=found.is_anomaly,
        scoring_run=found.scoring_run,
        scored_at=found.scored_at,
        file=None if found.file is None else _file(found.file),
        validation=ValidationTold(
            partition=found.validation.partition,
            valid=found.validation.valid,
            quarantined=found.validation.quarantined,
        ),
        model=ModelTold(**vars(model)),
        training=TrainingTold(
            table_version=training.table_version,
            fitted_on=dict(training.fitted_on),
            held_out=dict(training.held_out),
            files=tuple(map(_file, training.files)),
        ),
    )


def _file(file: lineage.File) -> SourceFile:
    return SourceFile(path=file.path, digest=file.digest, rows=file.rows)
