"""Known incidents -> stretches of time that no model is taught: a small table a pipeline keeps, version by version.

People's verdicts, `pynomaly exclude`, the YAML, the events file and lasting drift all end up as rows of the table
`exclusions`, which is only ever added to. So a version of the table says what was left out of a training, and the
training can be repeated after the table has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.errors import DataError, SchemaError
from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.features import EVENT_COLUMNS, ORIGIN, SERIES, read_events

if TYPE_CHECKING:
    import pyarrow as pa

NOUN = "exclusions"
Source = Literal["manual", "feedback", "yaml", "events", "drift"]
DECLARED: tuple[Source, ...] = ("yaml", "events")
"""Sources that are read anew at each training; the table follows them."""
ADDED, REMOVED = "added", "removed"


@dataclass(frozen=True)
class Exclusion:
    """Rows of `[start, end)` that are not learnt from; `where` narrows them to values of columns or names of series."""

    start: datetime
    end: datetime
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reason: str = ""
    who: str = ""
    source: Source = "manual"

    @property
    def id(self) -> str:
        """The same rows left out by the same source have the same id."""
        parts = [self.start.isoformat(), self.end.isoformat(), _where_text(self.where), self.source]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]

    def __str__(self) -> str:
        rows = f" of {self.rows}" if self.where else ""
        why = self.reason or "no reason given"
        return f"{_moment_text(self.start)} … {_moment_text(self.end)}{rows}: {why} ({self.source})"

    @property
    def rows(self) -> str:
        """Which rows are meant, in words."""
        return ", ".join(f"{name} = {' or '.join(values)}" for name, values in self.where.items()) or "all"

    def covers(self, partition: Partition) -> bool:
        """Whether no row of the partition is left."""
        if self.where or partition.start is None or partition.end is None:
            return False
        return self.start <= partition.start and partition.end <= self.end


# ------------------------------------------------------------------------------------------------- the table


def read(spec: PipelineSpec, lake: Lake, version: int | None = None) -> tuple[Exclusion, ...]:
    """What is left out, by time; as of a version of the table, or now."""
    if not lake.exists(spec.name, NOUN):
        return ()
    log = lake.read(spec.name, NOUN, version=version).to_pandas().sort_values("at", kind="stable")
    latest = log.drop_duplicates("id", keep="last")
    kept = latest[latest["action"] == ADDED].sort_values(["start", "end", "id"])
    return tuple(_from_row(row) for row in kept.to_dict("records"))


def add(spec: PipelineSpec, lake: Lake, exclusions: Sequence[Exclusion]) -> None:
    """Leave these out of every later training; what is left out already is not added twice.

    Raises:
        DataError: an end is not after its start.
        SchemaError: `where` names a column that validated rows do not have.
    """
    for exclusion in exclusions:
        _check(spec, lake, exclusion)
    known = {exclusion.id for exclusion in read(spec, lake)}
    _log(spec, lake, [(ADDED, exclusion) for exclusion in exclusions if exclusion.id not in known])


def remove(spec: PipelineSpec, lake: Lake, ids: Sequence[str]) -> tuple[Exclusion, ...]:
    """Learn from these rows again; returns the exclusions that were taken away.

    Raises:
        DataError: there is no such exclusion, or it stands in the YAML.
    """
    known = {exclusion.id: exclusion for exclusion in read(spec, lake)}
    for name in ids:
        if name not in known:
            raise DataError(
                f"pipeline {spec.name!r} has no exclusion {name!r}",
                rule=f"its exclusions are {', '.join(known) or 'none'}",
                fix=f"`pynomaly exclude {spec.name} --list` shows them",
            )
        if known[name].source in DECLARED:
            raise DataError(
                f"exclusion {name!r} comes from {known[name].source}",
                rule="what is declared in a file is followed at each training",
                fix="take it out of `training.exclude`, or out of the events file",
            )
    gone = tuple(known[name] for name in ids)
    _log(spec, lake, [(REMOVED, exclusion) for exclusion in gone])
    return gone


def sync(spec: PipelineSpec, lake: Lake) -> int | None:
    """Make the table follow the YAML and the events file; returns its version, None where nothing was ever left out."""
    wanted = {exclusion.id: exclusion for exclusion in declared(spec)}
    known = {exclusion.id: exclusion for exclusion in read(spec, lake) if exclusion.source in DECLARED}
    new = [exclusion for name, exclusion in wanted.items() if name not in known]
    for exclusion in new:
        _check(spec, lake, exclusion)
    gone = [(REMOVED, exclusion) for name, exclusion in known.items() if name not in wanted]
    _log(spec, lake, [*gone, *((ADDED, exclusion) for exclusion in new)])
    return lake.version(spec.name, NOUN) if lake.exists(spec.name, NOUN) else None


def declared(spec: PipelineSpec) -> list[Exclusion]:
    """What the YAML names, and the events of `labels.events` where `training.exclude_events` says so."""
    zone = ZoneInfo(spec.timezone)
    found = [
        Exclusion(in_utc(item.start, zone), in_utc(item.end, zone), dict(item.where), item.reason, "", "yaml")
        for item in spec.training.exclude
    ]
    if spec.training.exclude_events:
        events = read_events(spec)
        found += [_from_event(spec, event) for event in events.to_dict("records")]
    return found


def forget_before(spec: PipelineSpec, lake: Lake, partition: Partition, reason: str) -> Exclusion:
    """Leave out everything before a partition: what drift has made a thing of the past."""
    first = Calendar(spec).first().start
    assert first is not None
    assert partition.start is not None
    exclusion = Exclusion(first, partition.start, {}, reason, "", "drift")
    add(spec, lake, [exclusion])
    return exclusion


# ------------------------------------------------------------------------------------------------- their rows


def mark(spec: PipelineSpec, table: pa.Table, frame: pd.DataFrame, exclusions: Sequence[Exclusion]) -> np.ndarray:
    """Position in `exclusions` of the first that leaves a row (or point) out, -1 for rows to learn from; int64[n].

    Args:
        table: validated rows.
        frame: `detector_frame` of them; the marks have its length.
    """
    marks = np.full(len(frame), -1)
    if not exclusions or spec.time is None:
        return marks
    rows = frame[ORIGIN].to_numpy() if spec.kind == "series" else np.arange(len(frame))
    times = table.column(spec.time).to_pandas()
    for position, exclusion in enumerate(exclusions):
        inside = ((times >= exclusion.start) & (times < exclusion.end)).to_numpy()[rows]
        for name, values in exclusion.where.items():
            inside &= _texts(spec, table, frame, name, rows).isin(values).to_numpy()
        marks[inside & (marks < 0)] = position
    return marks


def columns_of(exclusions: Iterable[Exclusion]) -> list[str]:
    """The columns that say which rows are meant."""
    return list(dict.fromkeys(name for exclusion in exclusions for name in exclusion.where))


def uncovered(spec: PipelineSpec, keys: Iterable[str], exclusions: Sequence[Exclusion]) -> list[str]:
    """The partitions of which some row is left."""
    whole = [exclusion for exclusion in exclusions if not exclusion.where]
    if not whole:
        return list(keys)
    calendar = Calendar(spec)
    return [key for key in keys if not any(exclusion.covers(calendar.partition(key)) for exclusion in whole)]


def in_utc(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment without a zone is of the pipeline's."""
    return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)


def _texts(spec: PipelineSpec, table: pa.Table, frame: pd.DataFrame, name: str, rows: np.ndarray) -> pd.Series:
    if spec.kind == "series" and name == SERIES:
        return frame[SERIES].astype("str")
    found: pd.Series = table.column(name).to_pandas().astype("str").iloc[rows]
    return found


def _check(spec: PipelineSpec, lake: Lake, exclusion: Exclusion) -> None:
    if exclusion.end <= exclusion.start:
        raise DataError(
            f"the exclusion {exclusion} ends before it starts", rule="the end is after the start", fix="swap them"
        )
    if not exclusion.where or not lake.exists(spec.name, "validated"):
        return
    names = lake.schema(spec.name, "validated").names
    named = [name for name in exclusion.where if not (spec.kind == "series" and name == SERIES)]
    missing = [name for name in named if name not in names]
    if missing:
        raise SchemaError(
            f"pipeline {spec.name!r} has no column {', '.join(map(repr, missing))}",
            rule=f"an exclusion names rows by columns of the data: {', '.join(n for n in names if n[0] != '_')}",
            fix="correct the column" + (", or name series by `series`" if spec.kind == "series" else ""),
        )


def _log(spec: PipelineSpec, lake: Lake, changes: Sequence[tuple[str, Exclusion]]) -> None:
    import pyarrow as pa

    if not changes:
        return
    moment = pa.timestamp("us", "UTC")
    schema = pa.schema(
        [(name, pa.string()) for name in ("id", "action", "where", "reason", "who", "source")]
        + [(name, moment) for name in ("start", "end", "at")]
    )
    now = datetime.now(UTC)  # when it was decided; what is left out goes by `start` and `end` alone
    rows = [
        {
            "id": exclusion.id,
            "action": action,
            "where": _where_text(exclusion.where),
            "reason": exclusion.reason,
            "who": exclusion.who,
            "source": exclusion.source,
            "start": exclusion.start,
            "end": exclusion.end,
            "at": now,
        }
        for action, exclusion in changes
    ]
    lake.append(spec.name, NOUN, pa.Table.from_pylist(rows, schema=schema))


def _from_row(row: Mapping[str, object]) -> Exclusion:
    where = {name: tuple(values) for name, values in json.loads(str(row["where"])).items()}
    start, end = (pd.Timestamp(str(row[name])).to_pydatetime() for name in ("start", "end"))
    return Exclusion(start, end, where, str(row["reason"]), str(row["who"]), row["source"])  # type: ignore[arg-type]


def _from_event(spec: PipelineSpec, event: Mapping[Hashable, object]) -> Exclusion:
    """Ids of a series and `values` narrow an event; notes do not."""
    columns = [str(name) for name in event]
    ids = [name for name in columns if name not in EVENT_COLUMNS and name in (*spec.series, *spec.key)]
    where = {name: tuple(str(event[name]).split(";")) for name in ids if event[name]}
    start, end = (pd.Timestamp(str(event[name])).to_pydatetime() for name in ("start", "end"))
    notes = [str(event[name]) for name in columns if name not in (*EVENT_COLUMNS, *ids) and event[name]]
    return Exclusion(start, end, where, ", ".join(notes) or "known event", "", "events")


def _where_text(where: Mapping[str, Sequence[str]]) -> str:
    return json.dumps({name: sorted(values) for name, values in sorted(where.items())}, ensure_ascii=False)


def _moment_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")
