"""A pipeline's tables -> how far each partition has come: ingested, validated, scored; by which version, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.scanning import Snapshot
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

State = Literal["absent", "ingested", "validated", "refused", "scored"]
_TOLD = ("is_anomaly", "model_version", "scored_at", "threshold")


@dataclass(frozen=True)
class Scored:
    """What is stored of a partition's scores."""

    rows: int
    anomalies: int
    versions: tuple[int, ...]
    """The model versions that scored it; more than one only where a series was scored piece by piece."""
    at: datetime | None
    """When the last of it was scored."""
    threshold: float | None


@dataclass(frozen=True)
class PartitionState:
    """How far a partition has come. None: that step has left nothing of it."""

    key: str
    start: datetime | None
    end: datetime | None
    ingested: int | None
    validated: int | None
    quarantined: int | None
    scored: Scored | None

    @property
    def state(self) -> State:
        """The last step that was done: `scored`, `validated`, `refused`, `ingested`, or `absent`."""
        if self.scored is not None:
            return "scored"
        if self.validated is not None:
            return "validated"
        if self.quarantined is not None:
            # Every row was set aside, or the partition as a whole was.
            return "refused"
        return "absent" if self.ingested is None else "ingested"


@dataclass(frozen=True)
class Totals:
    """Rows of a pipeline's tables, by partition, from the tables' logs alone."""

    ingested: Mapping[str, int] = field(default_factory=dict)
    validated: Mapping[str, int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    scored: Mapping[str, int] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """All partitions that left something, in order."""
        return sorted({*self.ingested, *self.validated, *self.quarantined, *self.scored})

    @property
    def last_scored(self) -> str | None:
        """The latest partition that has scores."""
        return max(self.scored, default=None)


def totals(spec: PipelineSpec, lake: Lake) -> Totals:
    """Count what is in the tables now."""
    return Totals(
        *(_counts(lake, spec.name, noun) for noun in (spec.incoming[-1], "validated", "quarantine", "scores"))
    )


def states(spec: PipelineSpec, lake: Lake, keys: Sequence[str], known: Totals | None = None) -> list[PartitionState]:
    """How far these partitions have come, in the order asked for; only their scores are read."""
    found = totals(spec, lake) if known is None else known
    scored = scored_of(spec, lake, [key for key in keys if key in found.scored])
    calendar = Calendar(spec)
    return [
        PartitionState(
            key=part.key,
            start=part.start,
            end=part.end,
            ingested=found.ingested.get(part.key),
            validated=found.validated.get(part.key),
            quarantined=found.quarantined.get(part.key),
            scored=scored.get(part.key),
        )
        for part in map(calendar.partition, keys)
    ]


def scored_of(spec: PipelineSpec, lake: Lake, keys: Sequence[str]) -> dict[str, Scored]:
    """What is stored of the scores of these partitions; those without are absent."""
    if not keys or not lake.exists(spec.name, "scores"):
        return {}
    found: dict[str, Scored] = {}
    for key, piece in Snapshot(lake, spec.name, "scores").pieces(keys, columns=[PARTITION, *_TOLD]):
        found[key] = _more(found.get(key), piece)
    return found


def anomalies_of(spec: PipelineSpec, lake: Lake) -> int:
    """Anomalies among all stored scores; one column is read, a piece at a time."""
    if not lake.exists(spec.name, "scores"):
        return 0
    snapshot = Snapshot(lake, spec.name, "scores")
    pieces = snapshot.pieces(list(snapshot.counts), columns=["is_anomaly"])
    return sum(int(pc.sum(piece["is_anomaly"]).as_py() or 0) for _, piece in pieces)


def lag(spec: PipelineSpec, last: str | None, now: datetime) -> timedelta | None:
    """Data's time between the last partition that is scored and the last that is complete; None where none is due."""
    calendar = Calendar(spec)
    due = calendar.latest_complete(now)
    if due is None or due.end is None or last is None:
        return None
    end = calendar.partition(last).end
    assert end is not None
    return max(timedelta(0), due.end - end)


def _more(known: Scored | None, piece: pa.Table) -> Scored:
    rows, anomalies = piece.num_rows, int(pc.sum(piece["is_anomaly"]).as_py() or 0)
    versions = {int(value) for value in _set(piece["model_version"])}
    moments = [pc.max(piece["scored_at"]).as_py()]
    thresholds = [pc.max(piece["threshold"]).as_py()]
    if known is not None:
        rows, anomalies = rows + known.rows, anomalies + known.anomalies
        versions |= set(known.versions)
        moments.append(known.at)
        thresholds.append(known.threshold)
    return Scored(
        rows=rows,
        anomalies=anomalies,
        versions=tuple(sorted(versions)),
        at=max((moment for moment in moments if moment is not None), default=None),
        threshold=max((value for value in thresholds if value is not None), default=None),
    )


def _set(column: pa.ChunkedArray) -> Iterable[int]:
    return [value for value in pc.unique(column).to_pylist() if value is not None]


def _counts(lake: Lake, pipeline: str, noun: str) -> Mapping[str, int]:
    return lake.counts(pipeline, noun) if lake.exists(pipeline, noun) else {}
