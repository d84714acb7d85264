"""Anomalies -> incidents: those of one entity, no further apart than the gap, in the direction that counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd

from pynomaly_pipelines.resources.tables import PARTITION
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.features import SERIES, SERIES_SEPARATOR
from pynomaly_pipelines.stages.incidents.incident import Incident, Reason, Sample, id_of
from pynomaly_pipelines.stages.scoring import reason_text
from pynomaly_pipelines.stages.thresholds.alerts import entities

HIGH, LOW = "high", "low"
MOST_REASONS = 5
LONGEST = 31
"""Partitions an incident reaches over at most; what goes on longer goes on as another one. Bounds how far back a newly
scored partition has to look."""
_NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"
_RANGE = re.compile(rf"^{_NUMBER} … {_NUMBER}(?: .*)?$")
"""As explanations write it: `-9 … 63`, `-17.9 … 25.0 after the last 24 points`."""


def group(spec: PipelineSpec, anomalies: pd.DataFrame) -> list[Incident]:
    """The incidents among anomalous rows of the table `scores`, by start."""
    rows = _in_direction(spec, anomalies)
    if rows.empty:
        return []
    assert spec.time is not None
    rows = rows.assign(_entity=entity_of(spec, rows)).sort_values(["_entity", spec.time], kind="stable")
    apart = rows[spec.time].diff() > spec.incident_gap
    number = ((rows["_entity"] != rows["_entity"].shift()) | apart).cumsum()
    runs = (run for _, run in rows.groupby(number.to_numpy(), sort=False))
    found = [_incident(spec, piece) for run in runs for piece in _pieces(run)]
    return sorted(found, key=lambda incident: (incident.start, incident.entity))


def _pieces(run: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """A run of anomalies cut after each `LONGEST` partitions."""
    rank = run[PARTITION].rank(method="dense").astype("int64") - 1
    for _, piece in run.groupby(rank.to_numpy() // LONGEST, sort=False):
        yield piece


def entity_of(spec: PipelineSpec, rows: pd.DataFrame) -> pd.Series:
    """Whose anomaly each row is; text."""
    if spec.kind == "series":
        return entities(rows[SERIES]).astype("str")
    text = pd.Series("", index=rows.index, dtype="object")
    for place, name in enumerate(spec.incidents.entity):
        text = text + (", " if place else "") + f"{name}=" + rows[name].astype("str")
    return text


def sides(reasons: Sequence[Mapping[str, Any]] | None) -> set[str]:
    """On which sides of what is usual the values of a row's reasons lie."""
    return (
        {side for reason in reasons if reason is not None for side in _side(reason)} if reasons is not None else set()
    )


def usual_range(text: str) -> tuple[float, float] | None:
    """The numbers between which a value is usual, as a reason tells it; None where it tells of something else."""
    found = _RANGE.match(text)
    return None if found is None else (float(found.group(1)), float(found.group(2)))


def _side(reason: Mapping[str, Any]) -> Iterator[str]:
    usual = usual_range(str(reason["usual"]))
    try:
        value = float(reason["value"])
    except ValueError:
        return
    if usual is not None and value > usual[1]:
        yield HIGH
    if usual is not None and value < usual[0]:
        yield LOW


def _in_direction(spec: PipelineSpec, anomalies: pd.DataFrame) -> pd.DataFrame:
    """The rows that lie on the side that counts; what can't be told lies on none."""
    wanted = spec.incidents.direction
    found = pd.Series([sides(reasons) for reasons in anomalies["reasons"]], index=anomalies.index, dtype="object")
    rows = anomalies.assign(_sides=found)
    if wanted == "both":
        return rows
    return rows[[wanted in found for found in rows["_sides"]]]


def _incident(spec: PipelineSpec, rows: pd.DataFrame) -> Incident:
    assert spec.time is not None
    times, entity = rows[spec.time], str(rows["_entity"].iloc[0])
    worst = rows.sort_values("score", ascending=False, kind="stable")
    start, end, peak = (moment.to_pydatetime() for moment in (times.min(), times.max(), worst[spec.time].iloc[0]))
    seen: set[str] = set().union(*rows["_sides"])
    return Incident(
        id=id_of(spec.name, entity, start, end),
        pipeline=spec.name,
        entity=entity,
        start=start,
        end=end,
        peak=peak,
        score=float(worst["score"].iloc[0]),
        anomalies=len(rows),
        direction="both" if len(seen) == 2 else next(iter(seen), ""),
        reasons=tuple(_reasons(worst)),
        samples=tuple(_sample(spec, row) for row in worst.head(spec.incidents.samples).to_dict("records")),
        partitions=tuple(sorted({str(key) for key in rows[PARTITION]})),
        version=int(rows["model_version"].max()),
        quiet=why_quiet(spec, rows, start, end),
    )


def _reasons(worst: pd.DataFrame) -> Iterator[Reason]:
    """The columns that share most in the scores of all rows; rows come with the most anomalous first."""
    told = [
        {**reason, "column": f"{value}: {reason['column']}" if value else reason["column"]}
        for reasons, value in zip(worst["reasons"], _values(worst), strict=True)
        if reasons is not None
        for reason in reasons
    ]
    if not told:
        return
    frame = pd.DataFrame(told)
    by_column = frame.groupby("column", sort=False)
    total = by_column["share"].sum().sort_values(ascending=False, kind="stable")
    for column in total.index[:MOST_REASONS]:
        first = by_column.get_group(column).iloc[0]
        yield Reason(
            column=str(column),
            rows=int(by_column.size()[column]),
            value=str(first["value"]),
            usual=str(first["usual"]),
            share=float(total[column] / len(worst)),
        )


def _values(rows: pd.DataFrame) -> list[str]:
    """Which value of its ids each point is of; empty for records."""
    if SERIES not in rows.columns:
        return [""] * len(rows)
    return [str(name).rpartition(SERIES_SEPARATOR)[2] for name in rows[SERIES]]


def _sample(spec: PipelineSpec, row: Mapping[Any, Any]) -> Sample:
    names = [*spec.key, *spec.incidents.entity, *spec.series, *([SERIES, "value"] if spec.kind == "series" else [])]
    shown = dict.fromkeys(name for name in names if name in row and name != spec.time)
    return Sample(
        time=row[spec.time].to_pydatetime(),
        row=", ".join(f"{name}={row[name]}" for name in shown),
        source=f"{row['_source']}:{row['_row']}",
        score=float(row["score"]),
        reasons=reason_text(row["reasons"]),
    )


# ------------------------------------------------------------------------------------------------ who is told


def why_quiet(spec: PipelineSpec, rows: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> str:
    """Why nobody is told of an incident of these rows; empty if people are."""
    rules = spec.incidents
    if len(rows) < rules.min_anomalies:
        return f"{len(rows)} of {rules.min_anomalies} anomalies (`min_anomalies`)"
    if end - start < timedelta(minutes=rules.min_minutes):
        minutes = (end - start).total_seconds() / 60
        return f"{minutes:g} of {rules.min_minutes:g} minutes (`min_minutes`)"
    for number, rule in enumerate(rules.suppress):
        if all(rows[name].astype("str").isin(values).all() for name, values in rule.where.items()):
            return rule.reason or f"`suppress[{number}]`"
    assert spec.time is not None
    local = rows[spec.time].dt.tz_convert(spec.timezone)
    for number, quiet in enumerate(rules.quiet):
        if all(_within(quiet, moment) for moment in local):
            return quiet.reason or f"`quiet[{number}]`"
    return ""


def _within(quiet: Any, moment: pd.Timestamp) -> bool:
    if quiet.start is not None and quiet.end is not None and quiet.start > quiet.end and moment.time() < quiet.end:
        # After midnight: it belongs to the evening before.
        return _on_day(quiet, moment - pd.Timedelta(days=1))
    return _on_day(quiet, moment) and _at_time(quiet, moment)


def _on_day(quiet: Any, moment: pd.Timestamp) -> bool:
    weekday = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[moment.weekday()]
    return (not quiet.days or weekday in quiet.days) and (not quiet.dates or moment.date() in quiet.dates)


def _at_time(quiet: Any, moment: pd.Timestamp) -> bool:
    if quiet.start is None or quiet.end is None:
        return True
    if quiet.start > quiet.end:
        return bool(moment.time() >= quiet.start)
    return bool(quiet.start <= moment.time() < quiet.end)
