"""Stored scores: pages of them, files of them, and where each one comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import pyarrow as pa
from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, Field, JsonValue

from pynomaly_pipelines.operations.errors import NotFound
from pynomaly_pipelines.resources.scanning import PIECE_ROWS, Snapshot
from pynomaly_pipelines.service import audit, bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.conditional import tag_of, unchanged
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.keeping import as_answer
from pynomaly_pipelines.service.paging import (
    USUAL_PAGE,
    Answer,
    CursorText,
    Limit,
    StrictQuery,
    link_next,
    next_of,
    no_query,
)
from pynomaly_pipelines.service.rows import (
    as_file,
    asked_for,
    cursor_after,
    identity,
    known_partitions,
    named,
    place_of,
    plain,
    row_id,
    snapshot_of,
)
from pynomaly_pipelines.service.specs import digest, partition_of
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.stored.export import MEDIA_TYPES, Format
from pynomaly_pipelines.stages.stored.pages import Order, page, rows_of, top
from pynomaly_pipelines.stages.stored.question import Question

router = bodies.router("/pipelines/{name}/scores", "scores")
SCORES = "scores"
Reader = Annotated[Caller, Depends(require(Permission.SCORES_READ))]
PARTITIONS = Field(max_length=1_000, description="Only these partitions; may be given again.")
WHERE = Field(
    max_length=50,
    description="`COLUMN=VALUE` of an id or series. Several values of one column: any of them; several columns: all.",
    examples=[["carrier=UA", "carrier=DL"]],
)
Clause = Annotated[str, Field(max_length=500, pattern=r"^[^=\x00]+=[^\x00]*$")]
ROWS_AS_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows, sent as they are read.",
        "content": {
            media.split(";")[0]: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA_TYPES.values()
        },
    }
}


class Chosen(StrictQuery):
    """Which scores are meant."""

    partition: Annotated[tuple[str, ...], PARTITIONS] = ()
    since: AwareDatetime | None = Field(None, description="Only rows of this moment or later; with its zone.")
    until: AwareDatetime | None = Field(None, description="Only rows before this moment.")
    where: Annotated[tuple[Clause, ...], WHERE] = ()
    score_from: float | None = Field(None, ge=0, le=1, description="Only scores of at least this.")
    anomalies: bool = Field(False, description="Only anomalies.")
    version: int | None = Field(None, ge=1, le=2**31, description="Only rows that this model version scored.")

    def question(self) -> Question:
        """What is asked of the table."""
        return Question(
            partitions=self.partition,
            since=self.since,
            until=self.until,
            where=clauses(self.where),
            score_from=self.score_from,
            anomalies=self.anomalies,
            version=self.version,
        )


class Listed(Chosen):
    """Which scores, in which order, and how many."""

    order: Order = Field(
        "score", description="`score`: the most anomalous first. `oldest`, `latest`: by partition, rows as stored."
    )
    limit: Limit = USUAL_PAGE
    cursor: CursorText | None = None


class Exported(Chosen):
    """Which scores, as what file."""

    format: Format = Field("csv", description="`csv`, `parquet`, or `arrow`: an IPC stream.")
    top: int | None = Field(None, ge=1, le=100_000, description="Only so many, the most anomalous first.")


class Reason(Answer):
    """A column that made the row unusual."""

    column: str
    value: str
    usual: str
    share: float = Field(description="Of the score, in [0, 1].")


class ScoreRow(Answer):
    """One stored score."""

    id: str = Field(description="Names the row in addresses of this API.")
    partition: str
    row: dict[str, JsonValue] = Field(description="The columns that identify it.")
    score: float | None = Field(description="In [0, 1]; null where a point had too little history.")
    raw_score: float | None
    threshold: float
    is_anomaly: bool
    reasons: tuple[Reason, ...] | None = Field(description="Null for rows too ordinary to be explained.")
    model_version: int
    run_id: str
    scored_at: datetime


class ScorePage(Answer):
    """A page of scores; all pages of one walk are of one version of the table."""

    items: tuple[ScoreRow, ...]
    next: str | None = Field(description="Cursor of the next page; null on the last.")
    table_version: int | None = Field(description="Null where nothing has been scored yet.")


@router.get("", summary="List scores", response_model=ScorePage)
def list_scores(
    service: TheService,
    request: Request,
    response: Response,
    name: str,
    asked: Annotated[Listed, Query()],
    _caller: Reader,
) -> Any:
    """Stored scores that meet every filter, in pages.

    Pages are read from the version of the table that the first one was read from: writes in between neither repeat nor
    skip a row.
    """
    spec, question = service.specs.of(name), asked.question()
    known_partitions(spec, question.partitions)
    wanted = asked_for(question, asked.order)
    place = None if asked.cursor is None else place_of(asked.cursor, wanted)
    if not service.lake.exists(name, SCORES):
        return ScorePage(items=(), next=None, table_version=None)
    snapshot = snapshot_of(service, spec, SCORES, asked.cursor, place)
    tag = tag_of(name, digest(spec), snapshot.version, wanted, asked.limit, asked.cursor)
    if (same := unchanged(request, response, tag)) is not None:
        return same

    def made() -> ScorePage:
        found = page(spec, snapshot, question, most=asked.limit, order=asked.order, after=place)
        items = tuple(score_row(row) for row in found.rows.to_pylist())
        return ScorePage(items=items, next=cursor_after(found, wanted), table_version=snapshot.version)

    body = service.kept.of("scores", spec, (snapshot.version, wanted, asked.limit, asked.cursor), made)
    link_next(request, response, next_of(body))
    return as_answer(request, response, body, tag)


@router.get("/export", summary="Scores as a file", response_class=StreamingResponse, responses=ROWS_AS_FILE)
def export_scores(
    request: Request, service: TheService, name: str, asked: Annotated[Exported, Query()], caller: Reader
) -> Response:
    """All scores that meet every filter as CSV, Parquet or Arrow, by partition; with `top`, the most anomalous first.

    The file is sent as it is made. In CSV, texts that a spreadsheet would run as a formula begin with an apostrophe;
    numbers are as they are. Parquet and Arrow keep every value unchanged.
    """
    spec, question = service.specs.of(name), asked.question()
    known_partitions(spec, question.partitions)
    if not service.lake.exists(name, SCORES):
        raise nothing_scored(name)
    snapshot = Snapshot(service.lake, name, SCORES)
    audit.note(
        service, request, caller, audit.Action.SCORES_EXPORTED, f"pipeline:{name}",
        format=asked.format, partitions=list(asked.partition),
    )  # fmt: skip
    return as_file(_pieces(spec, snapshot, question, asked.top), snapshot.schema, asked.format, f"{name}-scores")


@router.get("/{partition}/{row}", summary="One score", response_model=ScoreRow, dependencies=[Depends(no_query)])
def get_score(service: TheService, name: str, partition: str, row: str, _caller: Reader) -> Any:
    """The stored score of one row, by the `id` it is listed with."""
    return score_row(stored(service, service.specs.of(name), partition, row).to_pylist()[0])


def clauses(given: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """`COLUMN=VALUE` texts as column -> values."""
    found: dict[str, list[str]] = {}
    for one in given:
        column, _, value = one.partition("=")
        found.setdefault(column, []).append(value)
    return {column: tuple(values) for column, values in found.items()}


def stored(service: Service, spec: PipelineSpec, partition: str, row: str) -> pa.Table:
    """The stored score of that id, as a table of one row.

    Raises:
        NotFound: there is none.
    """
    part = partition_of(spec, partition)
    source, number, series = named(row)
    if not service.lake.exists(spec.name, SCORES):
        raise nothing_scored(spec.name)
    question = Question(partitions=(part.key,), place=(source, number))
    if series is not None and spec.kind == "series":
        question = replace(question, where={"series": (series,)})
    found = top(spec, Snapshot(service.lake, spec.name, SCORES), question, 1)
    if not found.num_rows:
        raise NotFound(
            f"partition {partition!r} of {spec.name!r} has no score of that row",
            rule="a row is named by the `id` it is listed with",
            fix=f"GET /v1/pipelines/{spec.name}/scores?partition={part.key} lists what is stored",
        )
    return found


def score_row(row: dict[str, Any]) -> ScoreRow:
    """A row of the table as it is answered."""
    reasons = row["reasons"]
    return ScoreRow(
        id=row_id(row),
        partition=row["_partition"],
        row=identity(row),
        score=plain(row["score"]),  # type: ignore[arg-type]
        raw_score=plain(row["raw_score"]),  # type: ignore[arg-type]
        threshold=row["threshold"],
        is_anomaly=row["is_anomaly"],
        reasons=None if reasons is None else tuple(Reason(**one) for one in reasons),
        model_version=row["model_version"],
        run_id=row["run_id"] or "",
        scored_at=row["scored_at"],
    )


def nothing_scored(name: str) -> NotFound:
    """What is answered while there is no table."""
    return NotFound(
        f"pipeline {name!r} has no scores yet", rule="a champion scores what was validated", fix=f"pynomaly run {name}"
    )


def _pieces(spec: PipelineSpec, snapshot: Snapshot, question: Question, most: int | None) -> Iterator[pa.Table]:
    if most is None:
        return rows_of(spec, snapshot, question)
    found = top(spec, snapshot, question, most)
    return (found.slice(start, PIECE_ROWS) for start in range(0, found.num_rows, PIECE_ROWS))
