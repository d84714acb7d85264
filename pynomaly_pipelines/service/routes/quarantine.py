"""Rows that were set aside: pages and files of them, and their way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pyarrow as pa
from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, JsonValue

from pynomaly_pipelines.operations.errors import NotFound
from pynomaly_pipelines.resources.scanning import Snapshot
from pynomaly_pipelines.service import audit, bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.conditional import tag_of, unchanged
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.paging import USUAL_PAGE, Answer, CursorText, Limit, StrictQuery, link_next
from pynomaly_pipelines.service.routes.scores import PARTITIONS, ROWS_AS_FILE
from pynomaly_pipelines.service.rows import (
    as_file,
    asked_for,
    cursor_after,
    known_partitions,
    place_of,
    plain,
    snapshot_of,
)
from pynomaly_pipelines.service.specs import digest
from pynomaly_pipelines.spec import RESERVED_PREFIX
from pynomaly_pipelines.stages.expectations.acceptance import row_ids
from pynomaly_pipelines.stages.expectations.releasing import held, with_reason
from pynomaly_pipelines.stages.stored.export import Format
from pynomaly_pipelines.stages.stored.pages import page, rows_of
from pynomaly_pipelines.stages.stored.question import Question
from pynomaly_pipelines.stages.validation import QUARANTINE

router = bodies.router("/pipelines/{name}/quarantine", "quarantine")
Reader = Annotated[Caller, Depends(require(Permission.QUARANTINE_READ))]


class ChosenHeld(StrictQuery):
    """Which rows are meant."""

    partition: Annotated[tuple[str, ...], PARTITIONS] = ()
    reason: str | None = Field(
        None, min_length=1, max_length=300, description="Only rows with a reason that has this in it, as a column."
    )


class ListedHeld(ChosenHeld):
    """Which rows, and how many."""

    limit: Limit = USUAL_PAGE
    cursor: CursorText | None = None


class ExportedHeld(ChosenHeld):
    """Which rows, as what file."""

    format: Format = Field("csv", description="`csv`, `parquet`, or `arrow`: an IPC stream.")


class HeldRow(Answer):
    """A row in quarantine."""

    id: str = Field(description="The same for the same content: what a release may name.")
    partition: str
    source: str = Field(description="The file it was read from.")
    line: int = Field(description="The row there.")
    values: dict[str, JsonValue]
    reasons: tuple[str, ...]
    text: str | None = Field(description="What stood there, where it could not be read as its columns.")


class HeldPage(Answer):
    """A page of quarantined rows, by partition; all pages of one walk are of one version of the table."""

    items: tuple[HeldRow, ...]
    next: str | None = Field(description="Cursor of the next page; null on the last.")
    table_version: int | None = Field(description="Null where nothing was ever set aside.")


class HeldSummary(Answer):
    """How much is in quarantine, and why."""

    rows: int
    partitions: dict[str, int] = Field(description="Partition -> rows.")
    reasons: dict[str, int] = Field(description="Reason -> rows, the most frequent first; a row may have several.")


@router.get("", summary="List quarantined rows", response_model=HeldPage)
def list_quarantine(
    service: TheService,
    request: Request,
    response: Response,
    name: str,
    asked: Annotated[ListedHeld, Query()],
    _caller: Reader,
) -> Any:
    """Rows that broke a rule, with every reason, in pages."""
    spec, question = service.specs.of(name), Question(partitions=asked.partition)
    known_partitions(spec, question.partitions)
    wanted = asked_for(question, f"held-{asked.reason or ''}")
    place = None if asked.cursor is None else place_of(asked.cursor, wanted)
    if not service.lake.exists(name, QUARANTINE):
        return HeldPage(items=(), next=None, table_version=None)
    snapshot = snapshot_of(service, spec, QUARANTINE, asked.cursor, place)
    tag = tag_of(name, digest(spec), snapshot.version, wanted, asked.limit, asked.cursor)
    if (same := unchanged(request, response, tag)) is not None:
        return same
    found = page(
        spec, snapshot, question, most=asked.limit, after=place, keep=lambda piece: with_reason(piece, asked.reason)
    )
    more = cursor_after(found, wanted)
    link_next(request, response, more)
    return HeldPage(items=tuple(_rows(found.rows)), next=more, table_version=snapshot.version)


@router.get("/summary", summary="Why rows are in quarantine", response_model=HeldSummary)
def summarise_quarantine(service: TheService, name: str, asked: Annotated[ChosenHeld, Query()], _caller: Reader) -> Any:
    """Rows in quarantine by partition and by reason."""
    spec = service.specs.of(name)
    known_partitions(spec, asked.partition)
    if not service.lake.exists(name, QUARANTINE):
        return HeldSummary(rows=0, partitions={}, reasons={})
    found = held(spec, service.lake, asked.partition or None, asked.reason, 0)
    return HeldSummary(
        rows=sum(found.partitions.values()), partitions=dict(found.partitions), reasons=dict(found.reasons)
    )


@router.get("/export", summary="Quarantined rows as a file", response_class=StreamingResponse, responses=ROWS_AS_FILE)
def export_quarantine(
    request: Request, service: TheService, name: str, asked: Annotated[ExportedHeld, Query()], caller: Reader
) -> Response:
    """All quarantined rows that are meant as CSV, Parquet or Arrow, as exports of scores are made."""
    spec, question = service.specs.of(name), Question(partitions=asked.partition)
    known_partitions(spec, question.partitions)
    if not service.lake.exists(name, QUARANTINE):
        raise NotFound(
            f"nothing of pipeline {name!r} was quarantined yet",
            rule="a file of quarantined rows needs the table they are kept in",
            fix="GET /v1/pipelines/{name}/quarantine lists what there is",
        )
    snapshot = Snapshot(service.lake, name, QUARANTINE)
    pieces = rows_of(spec, snapshot, question, keep=lambda piece: with_reason(piece, asked.reason))
    audit.note(
        service, request, caller, audit.Action.QUARANTINE_EXPORTED, f"pipeline:{name}",
        format=asked.format, partitions=list(asked.partition),
    )  # fmt: skip
    return as_file(pieces, snapshot.schema, asked.format, f"{name}-quarantine")


def _rows(rows: pa.Table) -> Iterator[HeldRow]:
    ids = row_ids(rows).tolist()
    for number, row in enumerate(rows.to_pylist()):
        values = {n: plain(v) for n, v in row.items() if not n.startswith(RESERVED_PREFIX) and v is not None}
        yield HeldRow(
            id=ids[number],
            partition=row["_partition"],
            source=row["_source"],
            line=row["_row"],
            values=values,
            reasons=tuple(row["_reasons"]),
            text=row.get("_text"),
        )
