"""One version of one pipeline's model, loaded and ready: what a request is scored with, from its rows to its answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pynomaly_pipelines.operations.errors import Unprocessable
from pynomaly_pipelines.resources.registry import Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.service.scoring.json_rows import JsonRows
from pynomaly_pipelines.service.scoring.signature import Column, Signature
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.scoring import as_structs, explained_from, flagged

if TYPE_CHECKING:
    from pynomaly_pipelines.detection import Scorer
    from pynomaly_pipelines.detection.columns import Cells
    from pynomaly_pipelines.detection.records import RecordScorer

WARM_ROWS = 64
Reasons = list[list[dict[str, object]] | None]


@dataclass(frozen=True, eq=False)
class Scored:
    """What a champion says of the n rows, or points, of a request."""

    score: np.ndarray
    """float64[n]; NaN for a point with too little past."""
    raw_score: np.ndarray
    is_anomaly: np.ndarray
    reasons: Reasons | None
    """None where nobody asked for any; of a row, where it has none."""
    row: np.ndarray | None = None
    """int64[n]: the row of the request that each point came from."""
    series: list[str] | None = None
    """Name of each point's series."""


class Way(Protocol):
    """How cells become scores: records' or series'."""

    def score(self, cells: Cells, explain: int | None) -> Scored:
        """Scores; reasons of the rows the batch gives some, or the `explain` largest of every row."""

    def renewed(self, lake: Lake) -> Way:
        """The same with what it keeps of the lake as that is now; itself where nothing changed."""

    @property
    def bytes(self) -> int:
        """Memory that it holds beside the scorer."""


@dataclass(frozen=True, eq=False)
class Champion:
    """A loaded version. Never changed: a request that began with it ends with it."""

    spec: PipelineSpec
    version: Version
    scorer: Scorer
    signature: Signature
    way: Way
    json: JsonRows
    bytes: int
    """Memory that it takes, about."""
    row_seconds: float
    """Processor time of one row among many, measured when it was loaded."""

    def score(self, cells: Cells, explain: int | None = None) -> Scored:
        """What the model says of these cells: the batch's scores, to the last bit."""
        return self.way.score(cells, explain)


@dataclass(frozen=True, eq=False)
class RecordsWay:
    """Rows that stand for themselves."""

    spec: PipelineSpec
    scorer: RecordScorer
    signature: Signature
    threshold: float
    floor: float
    """The score from which on the batch gives reasons."""

    @property
    def bytes(self) -> int:
        return 0

    def renewed(self, lake: Lake) -> RecordsWay:  # noqa: ARG002
        return self

    def score(self, cells: Cells, explain: int | None) -> Scored:
        found = self.scorer.scores_of_cells(cells)
        reasons: Reasons | None = None
        if explain != 0:
            wanted = np.flatnonzero(found.score >= self.floor) if explain is None else np.arange(found.score.size)
            reasons = self._reasons(cells, wanted, explain or self.spec.reasons, found.score.size)
        return Scored(found.score, found.raw_score, flagged(found.score, self.threshold), reasons)

    def _reasons(self, cells: Cells, wanted: np.ndarray, top: int, rows: int) -> Reasons:
        reasons: Reasons = [None] * rows
        if wanted.size:
            chosen = tuple(column[wanted] for column in cells)
            shown = [_as_people_see(*pair) for pair in zip(self.signature.columns, chosen, strict=True)]
            explanation = self.scorer.explain_cells(chosen, shown, top)
            for place, row in enumerate(wanted):
                reasons[row] = as_structs(explanation, place)
        return reasons


def make_champion(
    spec: PipelineSpec, version: Version, scorer: Scorer, lake: Lake, most_rows: int, most_reasons: int = 10
) -> Champion:
    """A version made ready: its signature held against the pipeline's table, its compiled code run once.

    Raises:
        RegistryError: it does not read the columns of the pipeline.
    """
    table = lake.schema(spec.name, "validated") if lake.exists(spec.name, "validated") else None
    signature = Signature.of(spec, scorer, table)
    way = _way(spec, version, scorer, signature, lake)
    row_seconds = _warm(way, signature, most_reasons)
    held = _bytes_of(scorer) + way.bytes
    return Champion(spec, version, scorer, signature, way, JsonRows(signature, most_rows), held, row_seconds)


def _way(spec: PipelineSpec, version: Version, scorer: Scorer, signature: Signature, lake: Lake) -> Way:  # noqa: ARG001
    from pynomaly_pipelines.detection.records import RecordScorer

    floor = explained_from(spec, scorer, version.threshold)
    if isinstance(scorer, RecordScorer):
        return RecordsWay(spec, scorer, signature, version.threshold, floor)
    raise Unprocessable(
        f"{spec.name!r} watches series, whose points are scored by runs alone",
        rule="a point's score looks at the points before it, which a request does not bring",
        fix="launch a run for the partition, and read its scores",
    )


def _warm(way: Way, signature: Signature, most_reasons: int) -> float:
    """Run all code a request will, so that the first one does not wait for a compiler; seconds of one row of many."""
    one, many = (_ordinary(signature, rows) for rows in (1, WARM_ROWS))
    way.score(one, most_reasons)
    way.score(many, most_reasons)
    began = time.thread_time()
    way.score(many, 0)
    return (time.thread_time() - began) / WARM_ROWS


def _ordinary(signature: Signature, rows: int) -> Cells:
    """Cells of rows as ordinary as can be: nothing is known of them. Of a series, points at different times."""
    out: list[np.ndarray] = []
    for column in signature.columns:
        if column.type == "string":
            out.append(np.full(rows, None, dtype=object) if column.nullable else np.full(rows, "", dtype=object))
        elif column.moment and not column.nullable:
            out.append(np.arange(rows, dtype=np.float64))
        else:
            out.append(np.zeros(rows))
    return tuple(out)


def _as_people_see(column: Column, cells: np.ndarray) -> np.ndarray:
    """Cells as the tables have them: integers, booleans, moments; None where missing."""
    if column.type in ("number", "string"):
        return cells
    out = np.empty(cells.size, dtype=object)
    for place, cell in enumerate(cells.tolist()):
        out[place] = None if cell != cell else _seen(column, cell)
    return out


def _seen(column: Column, cell: float) -> object:
    import pandas as pd

    if column.type == "integer":
        return int(cell)
    if column.type == "boolean":
        return bool(cell)
    moment = pd.Timestamp(round(cell * 1e6), unit="us", tz="UTC")
    return moment.date() if column.type == "date" else moment


def _bytes_of(value: Any) -> int:
    """Memory of all arrays below a value, those made for speed included."""
    seen: set[int] = set()

    def below(one: Any) -> int:
        if id(one) in seen:
            return 0
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            return int(one.nbytes)
        if isinstance(one, dict):
            # Texts count too: a model may know a hundred thousand categories.
            return len(one) * 100 + sum(map(below, _inner(one.values())))
        if isinstance(one, list | tuple):
            return sum(map(below, _inner(one)))
        if is_dataclass(one):
            return sum(map(below, _inner([*(getattr(one, f.name) for f in fields(one)), *vars(one).values()])))
        return 0

    return below(value)


def _inner(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, np.ndarray | dict | list | tuple) or is_dataclass(value)]
