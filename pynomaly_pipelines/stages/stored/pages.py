"""A question and a place to go on from -> the next page of stored rows, and the place after it.

A place belongs to one version of the table. Writes that come in between change nothing about the pages that follow:
they are read from the version the first page was read from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pynomaly_pipelines.resources.scanning import Snapshot
from pynomaly_pipelines.resources.tables import PARTITION
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.stored.question import ROW, SCORE, SERIES, SOURCE, Question

Order = Literal["score", "oldest", "latest"]
"""The most anomalous first; or by partition, the earliest or the latest first, rows as they are stored."""
Keep = Callable[[pa.Table], pa.Table]
_RANK = "_rank"
_UNSCORED = -1.0
"""Rank of a row without a score: below every score."""


@dataclass(frozen=True)
class Place:
    """Where a page ended."""

    version: int
    """Of the table."""
    partition: str
    passed: int = 0
    """Rows of that partition that were shown already, of those that meet the question."""
    last: tuple[float, str, int, str] | None = None
    """Rank, source, row and series of the last row shown, where rows come by score."""


@dataclass(frozen=True)
class Page:
    """Some rows, and where the next ones begin; None where there are no more."""

    rows: pa.Table
    after: Place | None


def page(
    spec: PipelineSpec,
    snapshot: Snapshot,
    question: Question,
    *,
    most: int,
    order: Order = "oldest",
    after: Place | None = None,
    keep: Keep = lambda piece: piece,
) -> Page:
    """At most `most` rows of a snapshot (of the version in `after`).

    Args:
        keep: what is left of a piece by rules that are no filter on columns; only for pages in the order of partitions.

    Raises:
        SchemaError, DataError: the question does not fit the table.
    """
    if order == "score":
        return _by_score(spec, snapshot, question, most, after)
    keys = question.keys(spec, snapshot.counts)
    keys = keys[::-1] if order == "latest" else keys
    if after is not None:
        keys = [key for key in keys if (key <= after.partition if order == "latest" else key >= after.partition)]
    found, passed, last = _stored_order(spec, snapshot, question, keys, most + 1, after, keep)
    rows = _together(found, snapshot.schema)
    if rows.num_rows <= most:
        return Page(rows, None)
    return Page(rows.slice(0, most), Place(snapshot.version, *_end(rows.slice(0, most), after, passed, last)))


def top(
    spec: PipelineSpec,
    snapshot: Snapshot,
    question: Question,
    most: int,
    columns: Sequence[str] | None = None,
    below: ds.Expression | None = None,
) -> pa.Table:
    """The `most` rows with the highest scores; equal ones by partition, source, row and series.

    Files are opened in the order of their highest scores, until none can hold a row that belongs here. In memory are
    the best so far and one piece.
    """
    where = _both(question.expression(spec, snapshot.schema), below)
    wanted = set(question.keys(spec, snapshot.counts))
    files = [file for file in snapshot.files if file.partition in wanted and question.may_be_in(spec, file)]
    best: pa.Table | None = None
    for file in sorted(files, key=lambda file: -file.highest(SCORE)):
        floor = _UNSCORED if best is None or best.num_rows < most else float(best[_RANK][-1].as_py())
        if file.highest(SCORE) < floor:
            break
        enough = _both(where, ds.field(SCORE) >= floor) if floor > _UNSCORED else where
        for piece in snapshot.rows_of(file, enough, columns):
            ranked = _ranked(piece)
            best = _first(ranked if best is None else pa.concat_tables([best, ranked]), most)
    if best is None:
        return snapshot.schema.empty_table().select(columns or snapshot.schema.names)
    return best.drop_columns([_RANK])


def rows_of(spec: PipelineSpec, snapshot: Snapshot, question: Question, keep: Keep = lambda p: p) -> Iterator[pa.Table]:
    """All rows that are meant, a piece at a time, the earliest partition first."""
    where = question.expression(spec, snapshot.schema)
    keys = question.keys(spec, snapshot.counts)
    for _, piece in snapshot.pieces(keys, where, wanted=lambda file: question.may_be_in(spec, file)):
        kept = keep(piece)
        if kept.num_rows:
            yield kept


# ----------------------------------------------------------------------------------------------- stored order


def _stored_order(
    spec: PipelineSpec,
    snapshot: Snapshot,
    question: Question,
    keys: Sequence[str],
    most: int,
    after: Place | None,
    keep: Keep,
) -> tuple[list[pa.Table], dict[str, int], str]:
    """Pieces of at most `most` rows after a place, rows taken from each partition, and the last of these."""
    where = question.expression(spec, snapshot.schema)
    skip = {} if after is None else {after.partition: after.passed}
    found: list[pa.Table] = []
    taken: dict[str, int] = {}
    room, last = most, ""
    pieces = snapshot.pieces(keys, where, rows=_piece(most), wanted=lambda file: question.may_be_in(spec, file))
    for key, piece in pieces:
        kept = keep(piece)
        passed = min(skip.get(key, 0), kept.num_rows)
        skip[key] = skip.get(key, 0) - passed
        part = kept.slice(passed, room)
        if part.num_rows:
            found.append(part)
            taken[key] = taken.get(key, 0) + part.num_rows
            room, last = room - part.num_rows, key
        if room == 0:
            break
    return found, taken, last


def _end(rows: pa.Table, after: Place | None, taken: dict[str, int], last: str) -> tuple[str, int]:
    """Partition of the last row shown, and how many of it were shown by now; one row more was taken than is shown."""
    shown = dict(taken)
    shown[last] -= 1
    key = str(rows[PARTITION][-1].as_py())
    before = after.passed if after is not None and after.partition == key else 0
    return key, before + shown[key]


def _piece(most: int) -> int:
    return max(1_024, min(16_384, most))


# --------------------------------------------------------------------------------------------------- by score


def _by_score(spec: PipelineSpec, snapshot: Snapshot, question: Question, most: int, after: Place | None) -> Page:
    below = None if after is None or after.last is None else _after(snapshot.schema, after.partition, after.last)
    rows = top(spec, snapshot, question, most + 1, below=below)
    if rows.num_rows <= most:
        return Page(rows, None)
    shown = rows.slice(0, most)
    end = shown.slice(most - 1, 1).to_pylist()[0]
    rank = _UNSCORED if end[SCORE] is None or end[SCORE] != end[SCORE] else float(end[SCORE])
    last = (rank, str(end[SOURCE]), int(end[ROW]), str(end.get(SERIES, "")))
    return Page(shown, Place(snapshot.version, str(end[PARTITION]), last=last))


def _after(schema: pa.Schema, partition: str, last: tuple[float, str, int, str]) -> ds.Expression:
    """Rows that come after the last one shown."""
    rank, source, row, series = last
    unscored = ds.field(SCORE).is_null(nan_is_null=True)
    tail = [(PARTITION, partition), (SOURCE, source), (ROW, row)]
    if SERIES in schema.names:
        tail.append((SERIES, series))
    later = _later(tail)
    if rank == _UNSCORED:
        return unscored & later
    score = ds.field(SCORE)
    return (score < rank) | ((score == rank) & later) | unscored


def _later(tail: Sequence[tuple[str, object]]) -> ds.Expression:
    """Lexicographically after these values."""
    (name, value), rest = tail[0], tail[1:]
    beyond = ds.field(name) > value
    return beyond if not rest else beyond | ((ds.field(name) == value) & _later(rest))


def _ranked(piece: pa.Table) -> pa.Table:
    scores = np.nan_to_num(pc.fill_null(piece[SCORE], np.nan).to_numpy(), nan=_UNSCORED)
    return piece.append_column(_RANK, pa.array(scores))


def _first(rows: pa.Table, most: int) -> pa.Table:
    keys = [(_RANK, "descending"), (PARTITION, "ascending"), (SOURCE, "ascending"), (ROW, "ascending")]
    if SERIES in rows.column_names:
        keys.append((SERIES, "ascending"))
    order = pc.sort_indices(rows, sort_keys=keys)
    # A copy of its own: a slice would keep every piece it was taken from.
    return rows.take(order.slice(0, most)).combine_chunks()


def _both(one: ds.Expression | None, other: ds.Expression | None) -> ds.Expression | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _together(pieces: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables(pieces) if pieces else schema.empty_table()
