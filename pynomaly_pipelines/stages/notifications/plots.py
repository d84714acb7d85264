"""An incident -> a picture: a series with what was usual where it was anomalous; of records, scores and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pandas as pd

from pynomaly_pipelines.resources.notifications import Picture
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.features import SERIES, SERIES_SEPARATOR, VALUE
from pynomaly_pipelines.stages.incidents.following import SCORES
from pynomaly_pipelines.stages.incidents.grouping import usual_range
from pynomaly_pipelines.stages.incidents.incident import Incident
from pynomaly_pipelines.stages.plots import ALARM, GOOD, INK, QUIET, as_png, plain, subplots

MOST_VALUES = 3
_MOST_PARTITIONS = 8
_MOST_POINTS = 5_000


def picture(spec: PipelineSpec, lake: Lake, incident: Incident) -> Picture:
    """A PNG of the incident, with as much time before it as it lasted, two days at least (hourly: eight hours)."""
    before = timedelta(hours=8) if spec.partition == "hourly" else timedelta(days=2)
    start = incident.start - max(before, incident.end - incident.start)
    rows = _rows(spec, lake, incident, start)
    png = _series(spec, incident, rows) if spec.kind == "series" else _records(spec, incident, rows)
    return Picture(f"{incident.id}.png", png)


def _rows(spec: PipelineSpec, lake: Lake, incident: Incident, start: Any) -> pd.DataFrame:
    """Scored rows of the incident's entity between the start and the end, evenly thinned if there are many."""
    import pyarrow.compute as pc

    assert spec.time is not None
    there = sorted(lake.counts(spec.name, SCORES))
    last = there.index(incident.partitions[-1]) + 1
    keys = there[max(0, last - _MOST_PARTITIONS) : last]
    names = lake.schema(spec.name, SCORES).names
    wanted = (spec.time, "score", "threshold", "is_anomaly", "reasons", SERIES, VALUE, *spec.incidents.entity)
    columns = [name for name in dict.fromkeys(wanted) if name in names]
    kept = []
    for piece in lake.stream(spec.name, SCORES, partitions=keys, columns=columns):
        inside = (pc.field(spec.time) >= start) & (pc.field(spec.time) <= incident.end)
        if spec.kind == "series" and incident.entity:
            inside &= pc.starts_with(pc.field(SERIES), f"{incident.entity}{SERIES_SEPARATOR}")
        kept.append(_thinned(piece.filter(inside).to_pandas()))
    return pd.concat(kept).sort_values(spec.time, ignore_index=True)


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """All anomalies, and ordinary rows at even steps."""
    step = -(-len(rows) // _MOST_POINTS) or 1
    rows = rows.assign(is_anomaly=rows["is_anomaly"].eq(True))  # Rows without a score have none.
    return rows[rows["is_anomaly"] | (pd.RangeIndex(len(rows)) % step == 0)]


def _series(spec: PipelineSpec, incident: Incident, rows: pd.DataFrame) -> bytes:
    loud = rows[rows["is_anomaly"]][SERIES].value_counts().index[:MOST_VALUES]
    figure, plots = subplots(8.0, 0.5 + 2.1 * len(loud), len(loud))
    for name, axes in zip(loud, plots, strict=True):
        points = rows[rows[SERIES] == name]
        odd = points[points["is_anomaly"] & (points[spec.time] >= incident.start)]
        axes.plot(_local(spec, points[spec.time]), points[VALUE], color=GOOD, linewidth=1.0)
        _expected(axes, _local(spec, odd[spec.time]), odd["reasons"])
        axes.plot(_local(spec, odd[spec.time]), odd[VALUE], "o", color=ALARM, markersize=4, label="anomaly")
        axes.set_title(plain(str(name).replace(SERIES_SEPARATOR, ", ")), loc="left", fontsize=9)
        axes.legend(frameon=False, fontsize=7)
    plots[-1].set_xlabel(spec.timezone, fontsize=7)
    return as_png(figure)


def _local(spec: PipelineSpec, times: pd.Series) -> pd.Series:
    """Times as the message tells them: without a zone, so that nothing shifts them back."""
    found: pd.Series = times.dt.tz_convert(spec.timezone).dt.tz_localize(None)
    return found


def _expected(axes: Any, times: pd.Series, reasons: pd.Series) -> None:
    """The range that was expected at each anomaly."""
    first = [str(told[0]["usual"]) if told is not None and len(told) else "" for told in reasons]
    ranges = [(moment, usual_range(text)) for moment, text in zip(times, first, strict=True)]
    known = [(moment, *usual) for moment, usual in ranges if usual is not None]
    if known:
        moments, low, high = zip(*known, strict=True)
        axes.vlines(moments, low, high, color=QUIET, linewidth=5, alpha=0.7, label="expected")


def _records(spec: PipelineSpec, incident: Incident, rows: pd.DataFrame) -> bytes:
    odd = rows["is_anomaly"] & (rows[spec.time] >= incident.start)
    figure, (over_time, why) = subplots(8.0, 3.2 + 0.3 * len(incident.reasons), 2, shared=False)
    times = _local(spec, rows[spec.time])
    over_time.plot(times, rows["score"], ".", color=QUIET, markersize=3)
    over_time.plot(times[odd], rows["score"][odd], "o", color=ALARM, markersize=4)
    if "threshold" in rows and len(rows):
        over_time.axhline(float(rows["threshold"].iloc[-1]), color=INK, linestyle="--", linewidth=1)
    over_time.set_title("scores; anomalies in red, the threshold dashed", loc="left", fontsize=9)
    over_time.set_xlabel(spec.timezone, fontsize=7)
    _bars(why, [(str(reason), reason.share) for reason in reversed(incident.reasons)])
    return as_png(figure)


def _bars(axes: Any, shares: Sequence[tuple[str, float]]) -> None:
    names = [plain(name if len(name) <= 70 else f"{name[:69]}…") for name, _ in shares]
    axes.barh(names, [share for _, share in shares], color=GOOD)
    axes.set_xlim(0, 1)
    axes.set_title("reasons, by their share in the scores", loc="left", fontsize=9)
