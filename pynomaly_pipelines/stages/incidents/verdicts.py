"""A person's verdict on an incident -> labels of its rows, and what the next model is not taught."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import pandas as pd

from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.features import SERIES, SERIES_SEPARATOR
from pynomaly_pipelines.stages.incidents import states
from pynomaly_pipelines.stages.incidents.following import anomalies_of
from pynomaly_pipelines.stages.incidents.grouping import entity_of
from pynomaly_pipelines.stages.incidents.incident import Incident
from pynomaly_pipelines.stages.incidents.labels import NOUN, ROW_COLUMNS
from pynomaly_pipelines.stages.incidents.states import Action

if TYPE_CHECKING:
    import pyarrow as pa

Verdict = Literal["confirmed", "dismissed"]


@dataclass(frozen=True)
class Judged:
    """What a verdict changed."""

    incident: Incident
    verdict: Verdict
    rows: int
    """Rows that are labelled now."""
    excluded: exclusions.Exclusion | None
    """What the next training leaves out."""
    learnt_again: tuple[exclusions.Exclusion, ...]
    """What it does not leave out any longer."""


def judge(spec: PipelineSpec, lake: Lake, incident: Incident, verdict: Verdict, *, who: str, note: str = "") -> Judged:
    """Write a verdict down, with all that follows from it.

    Confirmed rows are labelled anomalies and left out of training; dismissed rows are labelled ordinary and learnt
    from. A later verdict on the same incident takes the place of the earlier one.
    """
    rows = rows_of(spec, lake, incident)
    now = datetime.now(UTC)
    lake.append(spec.name, NOUN, _to_table(spec, rows, incident, verdict, who, now))
    left_out = _exclusion(spec, incident, who, note)
    known = [e.id for e in exclusions.read(spec, lake) if e.id == left_out.id]
    learnt_again: tuple[exclusions.Exclusion, ...] = ()
    if verdict == "confirmed":
        exclusions.add(spec, lake, [left_out])
    elif known:
        learnt_again = exclusions.remove(spec, lake, known)
    # Last: who reads the state finds all the rest done.
    states.say(spec, lake, incident, Action(verdict), who=who, note=note)
    return Judged(incident, verdict, len(rows), left_out if verdict == "confirmed" else None, learnt_again)


def rows_of(spec: PipelineSpec, lake: Lake, incident: Incident) -> pd.DataFrame:
    """The anomalous rows of an incident, as they are scored now."""
    assert spec.time is not None
    rows = anomalies_of(spec, lake, incident.partitions)
    inside = rows[spec.time].between(pd.Timestamp(incident.start), pd.Timestamp(incident.end))
    return rows.loc[inside & (entity_of(spec, rows) == incident.entity)].reset_index(drop=True)


def _exclusion(spec: PipelineSpec, incident: Incident, who: str, note: str) -> exclusions.Exclusion:
    where: dict[str, tuple[str, ...]] = {}
    if spec.kind == "series" and incident.entity:
        values = incident.entity.split(SERIES_SEPARATOR)
        where = {name: (value,) for name, value in zip(spec.series, values, strict=False)}
    elif incident.entity:
        pairs = (part.partition("=") for part in incident.entity.split(", "))
        where = {name: (value,) for name, _, value in pairs if name in spec.incidents.entity}
    # The end is exclusive, and the last anomaly belongs to it.
    end = incident.end + timedelta(seconds=1)
    reason = note or f"incident {incident.id}, confirmed"
    return exclusions.Exclusion(incident.start, end, where, reason, who, "feedback")


def _to_table(
    spec: PipelineSpec, rows: pd.DataFrame, incident: Incident, verdict: Verdict, who: str, at: datetime
) -> pa.Table:
    import pyarrow as pa

    text = pa.string()
    schema = pa.schema(
        [
            (PARTITION, text),
            ("_source", text),
            ("_row", pa.int64()),
            (SERIES, text),
            ("incident", text),
            ("verdict", text),
            ("score", pa.float64()),
            ("who", text),
            ("at", pa.timestamp("us", "UTC")),
        ]
    )
    told = rows[[PARTITION, *ROW_COLUMNS, "score"]].assign(
        **{SERIES: rows[SERIES] if spec.kind == "series" else ""},
        incident=incident.id,
        verdict=verdict,
        who=who,
        at=pd.Timestamp(at),
    )
    return pa.Table.from_pandas(told, schema=schema, preserve_index=False)
