"""Validated rows -> the frame a detector sees, and the labels that go with it.

Training, evaluation, scoring and the service all come through here, so that a model meets the same columns everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.errors import SchemaError, SourceMissing, SourceUnreadable
from pynomaly_pipelines.spec import RESERVED_PREFIX, PipelineSpec

if TYPE_CHECKING:
    import pyarrow as pa

SERIES_SEPARATOR = "/"
TIMESTAMP, SERIES, VALUE, ORIGIN = "timestamp", "series", "value", "_origin"
EVENT_COLUMNS = ("start", "end", "values")
"""Columns of an events file that say when and what; the others name rows by the data's own columns."""


def feature_names(spec: PipelineSpec, schema: pa.Schema) -> list[str]:
    """The columns of a records pipeline that a detector sees, in table order.

    Raises:
        SchemaError: a declared feature is not in the table, or nothing is left.
    """
    known = [name for name in schema.names if not name.startswith(RESERVED_PREFIX)]
    missing = [name for name in spec.features if name not in known]
    if missing:
        raise SchemaError(
            f"pipeline {spec.name!r} has no column {', '.join(map(repr, missing))}",
            rule=f"`features` names columns of the data: {', '.join(known)}",
            fix="correct `features`",
        )
    names = list(spec.features) or [name for name in known if name not in spec.not_features]
    if not names:
        raise SchemaError(
            f"pipeline {spec.name!r} has no feature",
            rule="time, key, label and ignored columns are not features",
            fix="name some in `features`",
        )
    return names


def needed_columns(spec: PipelineSpec, schema: pa.Schema) -> list[str]:
    """Every column that training or evaluation reads, so that no other is fetched."""
    label = [spec.labels.column] if spec.labels and spec.labels.column else []
    roles = [*spec.series, *spec.values] if spec.kind == "series" else feature_names(spec, schema)
    time = [spec.time] if spec.time else []
    return list(dict.fromkeys([*roles, *time, *label, *_event_ids(spec, schema), "_partition"]))


def detector_frame(spec: PipelineSpec, table: pa.Table) -> pd.DataFrame:
    """What the detector sees of these rows.

    Records: one row each, the feature columns, index 0…n-1. Series: one row per point with columns `timestamp`,
    `series`, `value` and `_origin`, the position of the table's row the point came from; points without a value are
    left out.
    """
    if spec.kind == "series":
        return _long_frame(spec, table)
    frame: pd.DataFrame = table.select(feature_names(spec, table.schema)).to_pandas()
    return frame


def series_names(spec: PipelineSpec, frame: pd.DataFrame, value: str) -> pd.Series:
    """Name of the series each row belongs to: its ids and the value column, joined by `/`."""
    name = pd.Series("", index=frame.index, dtype="str")
    for column in spec.series:
        name = name + frame[column].astype("str") + SERIES_SEPARATOR
    return name + value


def labels_of(spec: PipelineSpec, table: pa.Table, frame: pd.DataFrame) -> np.ndarray | None:
    """1 for a known anomaly, 0 for none, NaN for unknown; None where the pipeline has no labels.

    Args:
        table: validated rows.
        frame: `detector_frame` of them; the labels have its length.
    """
    if spec.labels is None:
        return None
    if spec.labels.column:
        rows = _column_labels(spec, table)
        return rows if spec.kind == "records" else rows[frame[ORIGIN].to_numpy()]
    events = read_events(spec)
    if spec.kind == "records":
        return _event_labels(spec, table, events)
    labels = np.empty(len(frame))
    value_of = frame[SERIES].str.rsplit(SERIES_SEPARATOR, n=1).str[-1]
    for value in spec.values:
        points = (value_of == value).to_numpy()
        labels[points] = _event_labels(spec, table, events, value)[frame[ORIGIN].to_numpy()[points]]
    return labels


def read_events(spec: PipelineSpec) -> pd.DataFrame:
    """The file of known events: `start`, `end` as UTC timestamps, ids and notes as text.

    Raises:
        SourceMissing: there is no such file.
        SourceUnreadable: it has no `start` or `end`, or they are no timestamps.
    """
    assert spec.labels is not None
    assert spec.labels.events is not None
    path = spec.labels.events
    try:
        events = pd.read_csv(path, dtype="str", keep_default_na=False)
        for border in ("start", "end"):
            moments = [_moment(text, spec.timezone) for text in events[border]]
            events[border] = pd.Series(moments, dtype="datetime64[us, UTC]")
    except FileNotFoundError as error:
        raise SourceMissing(
            f"no events file {path}", rule="`labels.events` is relative to its defs.yaml", fix="correct the path"
        ) from error
    except KeyError as error:
        raise _unreadable_events(path, f"no column {error}") from error
    except (OSError, ValueError) as error:
        raise _unreadable_events(path, str(error)) from error
    backwards = np.flatnonzero(events["end"] <= events["start"])
    if len(backwards):
        raise _unreadable_events(path, f"the event in line {backwards[0] + 2} does not end after its start")
    return events


def _unreadable_events(path: str, problem: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"events file {path}: {problem}",
        rule="it needs columns `start` and `end` with timestamps (end exclusive)",
        fix="write them like 2013-02-08T17:00:00Z",
    )


def _moment(text: str, zone: str) -> pd.Timestamp:
    moment = pd.Timestamp(text)
    if pd.isna(moment):
        raise ValueError("an empty timestamp")
    return moment.tz_localize(zone).tz_convert("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


def _long_frame(spec: PipelineSpec, table: pa.Table) -> pd.DataFrame:
    assert spec.time is not None
    wide = table.select([spec.time, *spec.series, *spec.values]).to_pandas()
    parts = [
        pd.DataFrame(
            {
                TIMESTAMP: wide[spec.time],
                SERIES: series_names(spec, wide, value),
                VALUE: wide[value].astype("float64"),
                ORIGIN: np.arange(len(wide)),
            }
        )
        for value in spec.values
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset=[VALUE]).reset_index(drop=True)


def _column_labels(spec: PipelineSpec, table: pa.Table) -> np.ndarray:
    assert spec.labels is not None
    assert spec.labels.column is not None
    name = spec.labels.column
    if name not in table.schema.names:
        raise SchemaError(
            f"pipeline {spec.name!r} has no label column {name!r}",
            rule="`labels.column` names a column of the data",
            fix=f"use one of {', '.join(table.schema.names)}",
        )
    values = table.column(name).to_pandas()
    labels = pd.to_numeric(values, errors="coerce").to_numpy("float64", na_value=np.nan)
    # What is no number must not pass for "unknown": the labels would be gone without a word.
    strange = values[values.notna() & ~np.isin(labels, (0, 1))].unique()
    if len(strange):
        raise SchemaError(
            f"label column {name!r} has the value {strange[0]!r}",
            rule="a label is 1 (anomaly), 0 (none) or empty (unknown)",
            fix="recode the column at its source",
        )
    return np.asarray(labels, dtype=np.float64)


def _event_ids(spec: PipelineSpec, schema: pa.Schema) -> list[str]:
    if spec.labels is None or spec.labels.events is None:
        return []
    return [name for name in read_events(spec).columns if name in schema.names and name not in EVENT_COLUMNS]


def _event_labels(spec: PipelineSpec, table: pa.Table, events: pd.DataFrame, value: str = "") -> np.ndarray:
    """Label of each row; an event that names other `values` than this one leaves its rows unknown."""
    labels = np.zeros(table.num_rows)
    for event, inside in events_at(spec, table, events):
        named = str(events["values"].iloc[event]) if "values" in events.columns else ""
        shows = not named or not value or value in named.split(";")
        labels = np.where(inside & (labels != 1), 1.0 if shows else np.nan, labels)
    return labels


def events_at(spec: PipelineSpec, table: pa.Table, events: pd.DataFrame) -> Iterator[tuple[int, np.ndarray]]:
    """Position of each known event that any row lies in, and which rows do, bool[n]: by time and ids."""
    own = (*EVENT_COLUMNS, spec.time)
    ids = [name for name in events.columns if name in table.schema.names and name not in own]
    frame = table.select([*ids, spec.time]).to_pandas()
    first, last = frame[spec.time].min(), frame[spec.time].max()
    for position, event in enumerate(events.to_dict("records")):
        if not (event["start"] <= last and event["end"] > first):
            continue
        inside = (frame[spec.time] >= event["start"]) & (frame[spec.time] < event["end"])
        for name in ids:
            if event[name]:
                inside &= frame[name].astype("str").isin(event[name].split(";"))
        if inside.any():
            yield position, inside.to_numpy()
