"""Times and partitions: which slice of the data's own clock a row belongs to.

Keys are those Dagster makes for the same cadence, so that a partition has one name in tables, runs and the UI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.spec import Cadence, PipelineSpec

WHOLE = "all"
_FORMATS = {"hourly": "%Y-%m-%d-%H:%M", "daily": "%Y-%m-%d", "weekly": "%Y-%m-%d", "monthly": "%Y-%m-%d"}


@dataclass(frozen=True, order=True)
class Partition:
    """One slice of time, `[start, end)` in UTC; the whole has no borders."""

    key: str
    start: datetime | None = None
    end: datetime | None = None


class Calendar:
    """The partitions of one pipeline.

    Hourly partitions are hours of UTC (a local hour can happen twice); days, weeks (from Sunday) and months begin at
    midnight in the pipeline's time zone.
    """

    def __init__(self, spec: PipelineSpec) -> None:
        self.cadence: Cadence = spec.partition
        self.zone = ZoneInfo("UTC" if spec.partition == "hourly" else spec.timezone)
        self._spec = spec

    def partition(self, key: str) -> Partition:
        """The partition of that key.

        Raises:
            DataError: the key is not one of this calendar.
        """
        if self.cadence == "whole":
            if key != WHOLE:
                raise self._unknown(key)
            return Partition(WHOLE)
        try:
            local = datetime.strptime(key, _FORMATS[self.cadence]).replace(tzinfo=self.zone)
        except ValueError as error:
            raise self._unknown(key) from error
        # The second: `strptime` also reads `2025-1-2`, which is no partition's name.
        if self._floor(local) != local or local.strftime(_FORMATS[self.cadence]) != key:
            raise self._unknown(key)
        return Partition(key, local.astimezone(UTC), self._next(local).astimezone(UTC))

    def first(self) -> Partition:
        """The partition `start` falls into."""
        return self.containing(self._midnight(self._spec.start or date.min))

    def end(self) -> Partition | None:
        """The first partition that is no more part of the pipeline; None while data still comes."""
        if self._spec.end is None:
            return None
        inside = self.containing(self._midnight(self._spec.end) - timedelta(seconds=1))
        return self.containing(inside.end) if inside.end else None

    def inside(self, key: str) -> Partition:
        """The partition of that key, if the pipeline has it: not before its start, not after its end.

        Raises:
            DataError: it is not one of this calendar, or lies outside.
        """
        partition, first, end = self.partition(key), self.first(), self.end()
        if partition < first or (end is not None and partition >= end):
            raise DataError(
                f"partition {partition.key!r} of pipeline {self._spec.name!r} does not exist",
                rule=f"its first is {first.key!r}" + (f", and it ends before {end.key!r}" if end is not None else ""),
                fix="choose one in between, or change `start` and `end` of the pipeline",
            )
        return partition

    def containing(self, moment: datetime) -> Partition:
        """The partition a moment (UTC-aware) falls into."""
        if self.cadence == "whole":
            return Partition(WHOLE)
        return self.partition(self._floor(moment.astimezone(self.zone)).strftime(_FORMATS[self.cadence]))

    def latest_complete(self, moment: datetime) -> Partition | None:
        """The last partition that has ended at a moment; None before the first one has."""
        if self.cadence == "whole":
            return Partition(WHOLE)
        stop = self.end()
        border = moment if stop is None or stop.start is None else min(moment, stop.start)
        current = self.containing(border)
        assert current.start is not None
        before = self.containing(current.start - timedelta(seconds=1))
        return before if before.key >= self.first().key else None

    def keys_of(self, times: pd.Series) -> pd.Series:
        """Partition key of each UTC timestamp; missing where the time is missing."""
        if self.cadence == "whole":
            return pd.Series(WHOLE, index=times.index, dtype="str")
        local = times.dt.tz_convert(self.zone).dt.tz_localize(None)
        match self.cadence:
            case "hourly":
                floored = local.dt.floor("h")
            case "daily":
                floored = local.dt.normalize()
            case "weekly":
                floored = local.dt.normalize() - pd.to_timedelta((local.dt.day_of_week + 1) % 7, unit="D")
            case _:
                floored = local.dt.normalize() - pd.to_timedelta(local.dt.day - 1, unit="D")
        codes, uniques = pd.factorize(floored)
        names = pd.Index([u.strftime(_FORMATS[self.cadence]) for u in uniques], dtype="str")
        return pd.Series(names.take(codes, fill_value=None, allow_fill=True), index=times.index, dtype="str")

    def range(self, first: str, last: str) -> Iterator[Partition]:
        """The partitions from `first` to `last`, both included."""
        part, stop = self.partition(first), self.partition(last)
        while part.key != stop.key and part < stop:
            yield part
            if part.end is None:
                return
            part = self.containing(part.end)
        yield stop

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=self.zone)

    def _floor(self, local: datetime) -> datetime:
        midnight = datetime.combine(local.date(), time(), tzinfo=self.zone)
        match self.cadence:
            case "hourly":
                return local.replace(minute=0, second=0, microsecond=0)
            case "weekly":
                return midnight - timedelta(days=(midnight.weekday() + 1) % 7)
            case "monthly":
                return midnight.replace(day=1)
            case _:
                return midnight

    def _next(self, local: datetime) -> datetime:
        match self.cadence:
            case "hourly":
                return local + timedelta(hours=1)
            case "daily":
                return local + timedelta(days=1)
            case "weekly":
                return local + timedelta(days=7)
            case _:
                return (local.replace(day=1) + timedelta(days=32)).replace(day=1)

    def _unknown(self, key: str) -> DataError:
        if self.cadence == "whole":
            return DataError(
                f"partition {key!r} of pipeline {self._spec.name!r} does not exist",
                rule=f"a pipeline with `partition: whole` has one partition, {WHOLE!r}",
                fix="leave the partition out",
            )
        return DataError(
            f"partition {key!r} of pipeline {self._spec.name!r} does not exist",
            rule=f"keys of `partition: {self.cadence}` look like {self.first().key!r}",
            fix="use a key as the Dagster UI shows it",
        )


def dated_path(pattern: str, partition: Partition, zone: ZoneInfo) -> str:
    """The path of a partition's files: the `strftime` codes of `pattern` filled in with the partition's start."""
    if partition.start is None:
        return pattern
    local = partition.start.astimezone(zone)
    return re.sub(r"%[A-Za-z]", lambda code: local.strftime(code.group()), pattern)
