"""A data file becomes a first `defs.yaml`: roles of its columns, partitions and expectations, with comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.spec import FileSource, PipelineSpec
from pynomaly_pipelines.stages.contract.columns import OWN_COLUMNS
from pynomaly_pipelines.stages.ingestion import sample
from pynomaly_pipelines.stages.profiling.dialects import epoch_form, interchangeable
from pynomaly_pipelines.stages.profiling.source_guess import guess
from pynomaly_pipelines.stages.profiling.yamltext import flow, number, outward

_TIME_NAMES = re.compile(r"time|date|(^|_)(at|ts|when|day|hour|month)($|_)", re.IGNORECASE)
_KEY_NAMES = re.compile(r"(^|_)(id|key|uuid|guid|number|nr|no|code|ref)$|^id(_|$)|Id$|ID$")
_LABEL_NAMES = re.compile(
    r"^(is_)?(label|target|anomaly|anomalous|outlier|fraud|class|failure|malignant)s?$", re.IGNORECASE
)
_CLOCK_NAMES = re.compile(r"^(year|month|day|minute|second)s?$", re.IGNORECASE)
_CADENCES = ("hourly", "daily", "weekly", "monthly")
_HOURS = {"hourly": 1.0, "daily": 24.0, "weekly": 168.0, "monthly": 730.0}
_HOURS_WORTH_PARTITIONS = 24 * 14
_ROWS_A_PARTITION = 24
_MOST_PARTITIONS = 2_000
_MOST_CATEGORIES = 12
_MOST_VALUES_OF_A_CATEGORY = 100
_MOST_SERIES_VALUES = 8
_MOST_FEATURES_LISTED = 20
_MOST_RANGES = 4
_MOST_SETS = 2


@dataclass(frozen=True)
class _Roles:
    """What each column is for."""

    time: str | None
    key: tuple[str, ...]
    series: tuple[str, ...]
    values: tuple[str, ...]
    label: str | None
    features: tuple[str, ...]
    ignored: dict[str, str]
    """Column -> why a detector should not see it."""

    @property
    def kind(self) -> str:
        """records or series."""
        return "series" if self.values else "records"


def propose(place: Path | str, name: str) -> str:
    """Look at files, a Delta table or a database's table (see `source_guess`), and write a `defs.yaml` that fits.

    Raises:
        SpecError: the file's ending says no known format.
        SourceMissing: no such file or table.
        SourceUnreadable: it can't be read.
        NotEnoughData: it has no column to learn from.
    """
    place = place.as_posix() if isinstance(place, Path) else place
    source = guess(place)
    draft = PipelineSpec.model_validate({"name": name, "source": source})
    frame = _frame(draft)
    epochs = {n: form for n in frame.columns if (form := epoch_form(frame[n], n))}
    if epochs:
        forms = tuple(dict.fromkeys([*_time_forms(draft), *epochs.values()]))
        source["time_format"] = forms[0] if len(forms) == 1 else forms
        columns = dict.fromkeys(epochs, "timestamp")
        draft = PipelineSpec.model_validate({"name": name, "source": source, "columns": columns})
        frame = _frame(draft)
    roles = _roles(frame)
    if not roles.features and not roles.values:
        raise NotEnoughData(
            f"{place} has no column that a detector could learn from; it has {', '.join(map(repr, frame.columns))}",
            rule="a feature is a number, a truth value or a category that varies",
            fix="name a file with such columns",
        )
    return "\n".join(_lines(name, draft, frame, roles)) + "\n"


def _time_forms(draft: PipelineSpec) -> tuple[str, ...]:
    return draft.source.time_format if isinstance(draft.source, FileSource) else ()


def _frame(draft: PipelineSpec) -> pd.DataFrame:
    rows = sample(draft, Path())
    frame: pd.DataFrame = rows.select([n for n in rows.column_names if n not in OWN_COLUMNS]).to_pandas()
    return frame


# ----------------------------------------------------------------------------------------------------- roles


def _roles(frame: pd.DataFrame) -> _Roles:
    time = _time_column(frame)
    label = next((n for n in frame.columns if _LABEL_NAMES.match(n) and _is_binary(frame[n])), None)
    ignored = {n: why for n in frame.columns if n not in (time, label) and (why := _not_a_feature(frame, n))}
    seen = [n for n in frame.columns if n not in (time, label, *ignored)]
    numbers = [n for n in seen if pd.api.types.is_numeric_dtype(frame[n]) and frame[n].dtype != bool]
    categories = [n for n in seen if n not in numbers]
    series = _series_columns(frame, time, categories)
    if series is not None and 0 < len(numbers) <= _MOST_SERIES_VALUES and set(seen) == {*numbers, *series}:
        return _Roles(time, (), series, tuple(numbers), label, (), ignored)
    key = _key(frame, time, ignored, categories)
    seen = [n for n in seen if n not in key]
    return _Roles(time, key, (), (), label, tuple(seen), {n: why for n, why in ignored.items() if n not in key})


def _time_column(frame: pd.DataFrame) -> str | None:
    """The column of times that is most complete, best named, finest, and first."""
    found: list[str] = [n for n in frame.columns if _is_time(frame[n]) and frame[n].notna().mean() >= 0.99]

    def merit(name: str) -> tuple[bool, bool, int]:
        return bool(_TIME_NAMES.search(name)), _is_moment(frame[name]), int(frame[name].nunique())

    return max(found, key=merit, default=None)


def _is_moment(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.DatetimeTZDtype)


def _is_time(column: pd.Series) -> bool:
    return _is_moment(column) or (column.dtype == object and {type(value) for value in column} <= {date, type(None)})


def _is_binary(column: pd.Series) -> bool:
    """Zeros and ones (or false and true), the ones rare."""
    values = column.dropna()
    return bool(len(values) and values.isin([0, 1]).all() and 0 < values.astype(float).mean() <= 0.5)


def _not_a_feature(frame: pd.DataFrame, name: str) -> str:
    """Why a detector should not see a column; empty if it should."""
    column = frame[name]
    distinct = column.nunique()
    if distinct <= 1:
        return "constant"
    if _is_time(column):
        return "another time"
    if _CLOCK_NAMES.match(name):
        return "part of a time"
    if _is_text(column) and column.dropna().str.len().mean() > 40:
        return "free text"
    whole = pd.api.types.is_integer_dtype(column) or pd.api.types.is_string_dtype(column)
    if whole and (distinct == column.notna().sum() and distinct > 20 and (_KEY_NAMES.search(name) or _is_text(column))):
        return "an id"
    if pd.api.types.is_integer_dtype(column) and _KEY_NAMES.search(name):
        return "an id"
    if _is_text(column) and distinct > _MOST_VALUES_OF_A_CATEGORY:
        return "too many values"
    return ""


def _is_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.StringDtype)


def _series_columns(frame: pd.DataFrame, time: str | None, categories: Sequence[str]) -> tuple[str, ...] | None:
    """The categories that, with a regular clock, identify a row; None if the rows are no series."""
    if time is None or not _is_moment(frame[time]) or len(frame) < 20:
        return None
    names = list(categories)
    if len(names) > 2 or frame.duplicated([*names, time]).any():
        return None
    ordered = frame.sort_values([*names, time])
    groups = ordered.groupby(names, sort=False, dropna=False)[time] if names else ordered[time]
    steps = groups.diff().dropna()
    regular = len(steps) > 0 and (steps == steps.mode().iloc[0]).mean() >= 0.8
    return tuple(names) if regular else None


def _key(frame: pd.DataFrame, time: str | None, ignored: dict[str, str], categories: Sequence[str]) -> tuple[str, ...]:
    """What identifies a row: an id, or an id or category with the time; nothing if neither does."""
    ids = sorted((n for n, why in ignored.items() if why == "an id"), key=lambda n: not _KEY_NAMES.search(n))
    for name in ids:
        if frame[name].is_unique and frame[name].notna().all():
            return (name,)
    if time is None:
        return ()
    for name in (*ids, *categories):
        if not frame.duplicated([time, name]).any() and frame[name].notna().all():
            return (time, name)
    return ()


# ------------------------------------------------------------------------------------------------ partitions


def _partition(draft: PipelineSpec, frame: pd.DataFrame, time: str | None) -> dict[str, Any]:
    """The finest partitions that still hold a handful of rows each, and the path with the date, if its name has one."""
    if time is None:
        return {}
    moments = pd.to_datetime(frame[time].dropna(), utc=True)
    hours = max((moments.max() - moments.min()).total_seconds() / 3600, 1.0)
    dated = _dated_path(draft, moments)
    if dated:
        return {"partition": "daily", "start": moments.min().date(), "path": dated}
    return {"partition": _cadence(len(moments), hours), "start": moments.min().date()} if hours >= 24 else {}


def _cadence(rows: int, hours: float) -> str:
    """The finest with enough rows a partition; hours only where there are few of them."""
    for cadence in _CADENCES[hours > _HOURS_WORTH_PARTITIONS :]:
        if rows / hours * _HOURS[cadence] >= _ROWS_A_PARTITION and hours / _HOURS[cadence] <= _MOST_PARTITIONS:
            return cadence
    return "monthly"


def _dated_path(draft: PipelineSpec, moments: pd.Series) -> str | None:
    """The path with `%Y-%m-%d` for the day in its name, if all files' rows are of the day their names say."""
    path = draft.source.place
    found = re.search(r"(?<!\d)(\d{4})(-?)(\d{2})\2(\d{2})(?!\d)", Path(path).name)
    if found is None or Path(path).name.count(found.group()) > 1:
        return None
    year, dash, month, day = found.groups()
    if not (moments.dt.strftime("%Y%m%d") == year + month + day).all():
        return None
    return path[: -len(Path(path).name)] + Path(path).name.replace(found.group(), f"%Y{dash}%m{dash}%d")


# --------------------------------------------------------------------------------------------- expectations


def _expectations(frame: pd.DataFrame, roles: _Roles) -> Iterator[str]:
    watched = [*roles.series, *(roles.values or roles.features)]
    always = [n for n in (*roles.key, *watched) if frame[n].notna().all() and n != roles.time]
    if always:
        yield f"expect_column_values_to_not_be_null: {{column: {flow(always[0])}}}"
    sets = [n for n in watched if _is_text(frame[n]) and frame[n].nunique() <= _MOST_CATEGORIES]
    for name in sets[:_MOST_SETS]:
        values = ", ".join(flow(value) for value in sorted(frame[name].dropna().unique()))
        yield f"expect_column_values_to_be_in_set: {{column: {flow(name)}, value_set: [{values}], severity: warn}}"
    numbers = [n for n in watched if pd.api.types.is_numeric_dtype(frame[n]) and frame[n].dtype != bool]
    for name in numbers[:_MOST_RANGES]:
        low, high = _range(frame[name])
        yield (
            f"expect_column_values_to_be_between: "
            f"{{column: {flow(name)}, min_value: {low}, max_value: {high}, severity: warn}}"
        )


def _range(column: pd.Series) -> tuple[str, str]:
    """The values seen, with as much room again on either side; what was never negative stays so."""
    low, high = float(column.min()), float(column.max())
    room = high - low
    floor = 0.0 if 0 <= low <= room else outward(low - room, down=True)
    return number(floor), number(outward(high + room, down=False))


# ------------------------------------------------------------------------------------------------------ text


def _lines(name: str, draft: PipelineSpec, frame: pd.DataFrame, roles: _Roles) -> Iterator[str]:
    partition = _partition(draft, frame, roles.time)
    source = draft.source.model_dump(exclude_defaults=True, by_alias=True) | {"type": draft.source.type}
    source |= {key: partition.pop(key) for key in ("path",) if key in partition}
    if len(forms := source.get("time_format", ())) == 1:
        source["time_format"] = forms[0]
    seen = f"{len(frame):,} rows of {draft.source.place}"
    yield f"# A first description of {name}, from {seen}. It is yours now: look it over."
    yield "type: pynomaly_pipelines.components.DetectionPipeline"
    yield "attributes:"
    what, title = "points" if roles.values else "rows", name.replace("_", " ")
    yield f"  description: {flow(f'Unusual {what} of {title}')}"
    if roles.kind == "series":
        yield "  kind: series # each value of each series is watched over time"
    parts = ", ".join(f"{key}: {flow(value)}" for key, value in sorted(source.items(), key=lambda kv: kv[0] != "type"))
    yield f"  source: {{{parts}}}"
    declared = {name: kind for name, kind in draft.columns.items() if name != roles.time}
    if declared:
        yield f"  columns: {flow(declared)}"
    yield from _time_lines(frame, roles, partition)
    if roles.time and interchangeable(_time_forms(draft), pd.to_datetime(frame[roles.time], utc=True).dt.day):
        yield "  # Every day is below 13: look whether `time_format` has day and month in the right order."
    yield from _role_lines(roles)
    expectations = list(_expectations(frame, roles))
    if expectations:
        yield "  expectations: # rows that break one go to quarantine, with the reason"
        yield from (f"    - {line}" for line in expectations)
    if roles.label:
        yield f"  labels: {{column: {flow(roles.label)}}} # 1 for a known anomaly; no detector sees it"


def _time_lines(frame: pd.DataFrame, roles: _Roles, partition: dict[str, Any]) -> Iterator[str]:
    if roles.time is None:
        yield "  # No column of times was found, so that all rows are one partition."
        return
    yield f"  time: {flow(roles.time)}"
    if _is_moment(frame[roles.time]):
        yield "  timezone: UTC # of times without an offset, and of the partitions' borders"
    for key, value in partition.items():
        comment = " # hourly, daily, weekly, monthly or whole" if key == "partition" else ""
        yield f"  {key}: {value}{comment}"
    latest = pd.to_datetime(frame[roles.time].dropna(), utc=True).max()
    if latest > pd.Timestamp.now("UTC"):
        yield f"  allow_future: true # the latest row is of {latest.date()}"


def _role_lines(roles: _Roles) -> Iterator[str]:
    if roles.key:
        yield f"  key: {_names(roles.key)} # identifies a row; a second one with the same key is quarantined"
    if roles.series:
        yield f"  series: {_names(roles.series)} # identifies a series"
    if roles.values:
        yield f"  values: {_names(roles.values)}"
    if roles.features and len(roles.features) <= _MOST_FEATURES_LISTED:
        yield f"  features: {_names(roles.features)} # what a detector sees"
    if roles.ignored:
        reasons = dict.fromkeys(roles.ignored.values())
        named = {reason: [n for n, why in roles.ignored.items() if why == reason] for reason in reasons}
        why = "; ".join(f"{reason}: {', '.join(names[:4])}" for reason, names in named.items())
        yield f"  ignore: {_names(tuple(roles.ignored))} # {why}".replace("\n", " ")


def _names(names: Sequence[str]) -> str:
    return "[" + ", ".join(flow(name) for name in names) + "]"
