"""Moves of the alias `champion` -> the table `champions`: who became champion, after whom, by whom, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.cache import announce, tags
from pynomaly_pipelines.operations.errors import ChampionMoved, TableMoved
from pynomaly_pipelines.resources.tables import Lake

if TYPE_CHECKING:
    import pyarrow as pa

CHAMPIONS = "champions"
BY_GATE, BY_PERSON, BY_ROLLBACK = "promoted by the gate", "promoted by a person", "rolled back"


@dataclass(frozen=True)
class Move:
    """One move of the alias."""

    what: str
    version: int | None
    """The champion from then on; None where the alias was taken away."""
    before: int | None
    """The champion until then; None for the first."""
    by: str
    """A person, or the run of the gate."""
    reason: str
    at: datetime | None = None
    """When it was recorded; set by `record`."""


def generation(lake: Lake, pipeline: str) -> int:
    """A number that grows with each move; -1 before the first."""
    return lake.version(pipeline, CHAMPIONS) if lake.exists(pipeline, CHAMPIONS) else -1


def record(lake: Lake, pipeline: str, move: Move, *, after: int | None = None) -> None:
    """Add a move to the pipeline's history; told to whoever caches what the champion decides, if it is done already.

    Args:
        after: the generation that the move was decided on; of several decided on the same one, one is recorded,
            and it is not done yet: `moving` tells of it when it is.

    Raises:
        ChampionMoved: another move was recorded since that generation.
    """
    import pyarrow as pa

    # A log of people's doings: its clock is theirs, not the data's.
    row = {
        "at": datetime.now(UTC),
        "what": move.what,
        "version": move.version,
        "before": move.before,
        "by": move.by,
        "reason": move.reason,
    }
    rows = pa.Table.from_pylist([row], schema=_schema())
    if after is None:
        lake.append(pipeline, CHAMPIONS, rows)
        announce(tags.champion(pipeline))
        return
    _next(lake, pipeline, rows, after)


def go_on(lake: Lake, pipeline: str, *, after: int) -> None:
    """Take the right to carry out the last recorded move: the generation grows, the history does not.

    Raises:
        ChampionMoved: another move was recorded since that generation.
    """
    _next(lake, pipeline, _schema().empty_table(), after)


def _next(lake: Lake, pipeline: str, rows: pa.Table, after: int) -> None:
    try:
        lake.append_next(pipeline, CHAMPIONS, rows, after=after)
    except TableMoved as error:
        raise ChampionMoved(
            f"the champion of {pipeline!r} was moved meanwhile",
            rule="a move is decided on the champion as it stands, and one of several at a time is made",
            fix=f"look at `pynomaly models {pipeline}`, then decide again",
        ) from error


def history(lake: Lake, pipeline: str) -> list[Move]:
    """All moves of a pipeline's champion, the earliest first."""
    if not lake.exists(pipeline, CHAMPIONS):
        return []
    rows = lake.read(pipeline, CHAMPIONS).to_pylist()
    return sorted((Move(**row) for row in rows), key=lambda move: move.at or datetime.min.replace(tzinfo=UTC))


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("at", pa.timestamp("us", "UTC")),
            pa.field("what", pa.string()),
            pa.field("version", pa.int64()),
            pa.field("before", pa.int64()),
            pa.field("by", pa.string()),
            pa.field("reason", pa.string()),
        ]
    )
