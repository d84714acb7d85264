"""Newly scored partitions -> the table of incidents, brought up to date around them.

An incident may reach over the border of partitions, grow with late rows, join another or vanish when its partition is
scored again. So everything near what was scored is grouped anew, and an incident that people know keeps its id.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.tables import Commit, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.features import SERIES, VALUE
from pynomaly_pipelines.stages.incidents.grouping import LONGEST, group
from pynomaly_pipelines.stages.incidents.incident import NOUN, Incident, from_rows, to_table

SCORES = "scores"


@dataclass(frozen=True)
class IncidentsReport:
    """What a round came to."""

    partitions: tuple[str, ...]
    """All that were looked at again."""
    found: tuple[Incident, ...]
    new: tuple[Incident, ...]
    changed: tuple[Incident, ...]
    """Known ones that grew or shrank."""
    gone: tuple[Incident, ...]
    """Known ones that are no more, because their rows score otherwise now or they have become one with another."""
    commit: Commit


def follow(spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake) -> IncidentsReport:
    """Group the anomalies of these partitions, and of all that belongs to them, anew.

    Raises:
        TableError: nothing was scored yet.
    """
    scored, there = sorted(part.key for part in partitions), sorted(lake.counts(spec.name, SCORES))
    before = read(spec, lake, within_reach(scored, there))
    window = _window(spec, scored, there, before)
    known = [incident for incident in before if set(incident.partitions) & set(window)]
    found = _with_known_ids(group(spec, anomalies_of(spec, lake, window)), known)
    commit = lake.replace(spec.name, NOUN, window, to_table(found))
    as_known = {incident.id: incident for incident in known}
    ids = {incident.id for incident in found}
    return IncidentsReport(
        partitions=tuple(window),
        found=tuple(found),
        new=tuple(i for i in found if i.id not in as_known),
        changed=tuple(i for i in found if i.id in as_known and i != as_known[i.id]),
        gone=tuple(i for i in known if i.id not in ids),
        commit=commit,
    )


def read(spec: PipelineSpec, lake: Lake, partitions: Sequence[str] | None = None) -> list[Incident]:
    """The incidents that began in these partitions, by default all, by start."""
    if not lake.exists(spec.name, NOUN):
        return []
    return from_rows(spec.name, lake.read(spec.name, NOUN, partitions=partitions))


def anomalies_of(spec: PipelineSpec, lake: Lake, partitions: Sequence[str]) -> pd.DataFrame:
    """The anomalous rows of partitions; read a piece at a time, as there are few among many."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = _columns(spec, lake.schema(spec.name, SCORES).names)
    pieces = [
        piece.filter(pc.field("is_anomaly"))
        for piece in lake.stream(spec.name, SCORES, partitions=list(partitions), columns=wanted)
    ]
    nothing = lake.schema(spec.name, SCORES).empty_table().select(wanted)
    found: pd.DataFrame = pa.concat_tables([nothing, *pieces]).to_pandas()
    return found[found[spec.time].notna()].reset_index(drop=True)


def _columns(spec: PipelineSpec, there: Sequence[str]) -> list[str]:
    assert spec.time is not None
    suppressed = [name for rule in spec.incidents.suppress for name in rule.where]
    series = (SERIES, VALUE) if spec.kind == "series" else ()
    own = ("_partition", "_source", "_row", "score", "is_anomaly", "reasons", "model_version")
    wanted = (spec.time, *spec.key, *spec.series, *series, *spec.incidents.entity, *suppressed, *own)
    return [name for name in dict.fromkeys(wanted) if name in there]


def _window(spec: PipelineSpec, scored: Sequence[str], there: Sequence[str], known: Sequence[Incident]) -> list[str]:
    """The partitions to look at again: those scored, neighbours within the gap, and all that known incidents touch."""
    window = set(scored)
    if spec.partition != "whole":
        calendar = Calendar(spec)
        parts = {key: calendar.partition(key) for key in there}
        for key in scored:
            part = calendar.partition(key)
            window |= {name for name, other in parts.items() if _near(spec, part, other)}
    while True:
        reached = [set(i.partitions) for i in known if set(i.partitions) & window]
        wider = window.union(*reached)
        if wider == window:
            return sorted(window)
        window = wider


def within_reach(scored: Sequence[str], there: Sequence[str]) -> list[str]:
    """The partitions in which an incident may have begun that touches one of these or a neighbour.

    Args:
        scored: keys in order, one at least.
        there: keys of all partitions that are scored, in order.
    """
    first, last = bisect_left(there, scored[0]), bisect_left(there, scored[-1])
    return list(there[max(0, first - LONGEST - 1) : last + 2])


def _near(spec: PipelineSpec, part: Partition, other: Partition) -> bool:
    if part.start is None or part.end is None or other.start is None or other.end is None:
        return True
    return other.start - part.end <= spec.incident_gap and part.start - other.end <= spec.incident_gap


def _with_known_ids(found: Sequence[Incident], known: Sequence[Incident]) -> list[Incident]:
    """An incident that overlaps a known one of its entity takes its id, the oldest where there are several."""
    left = sorted(known, key=lambda incident: incident.start)
    named: list[Incident] = []
    for incident in found:
        match = next((k for k in left if _overlap(incident, k)), None)
        if match is not None:
            left.remove(match)
        named.append(incident if match is None else incident.known_as(match.id))
    return named


def _overlap(one: Incident, other: Incident) -> bool:
    return one.entity == other.entity and one.start <= other.end and other.start <= one.end
