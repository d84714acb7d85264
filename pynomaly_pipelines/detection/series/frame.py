"""A long frame (timestamp, series, value) -> sorted arrays, one segment a series, and the way back to the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, Ints
from pynomaly_pipelines.operations.errors import DataError, SignatureError

COLUMNS = ("timestamp", "series", "value")


@dataclass(frozen=True)
class Points:
    """The points of a frame, ordered by series id and time.

    `time` int64[n] are nanoseconds UTC, `value` float64[n] (infinities kept, NaN = missing), `rows` int64[n] the
    place of each point in the frame; series `names[i]` owns `start[i]:start[i + 1]`.
    """

    names: tuple[str, ...]
    start: Ints
    time: Ints
    value: Floats
    rows: Ints

    def __len__(self) -> int:
        return len(self.time)

    def segments(self) -> Iterator[tuple[str, slice]]:
        """Each series' name and where its points are."""
        for i, name in enumerate(self.names):
            yield name, slice(int(self.start[i]), int(self.start[i + 1]))

    def to_rows(self, ordered: AnyArray) -> AnyArray:
        """`ordered` [n, …], one entry a point in this order, put back into the order of the frame's rows."""
        out = np.empty_like(ordered)
        out[self.rows] = ordered
        return out


def read_points(frame: pd.DataFrame) -> Points:
    """The frame's points in order.

    Naive timestamps are taken as UTC. SignatureError where a column is missing or of another type, DataError where
    a timestamp or id is empty or a series has two points at one time.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise SignatureError(
            f"the frame lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns)) or 'no columns'}",
            rule="Series are scored from the columns timestamp, series and value.",
            fix="rename the columns, or melt a wide table into one row a point",
        )
    time = _nanoseconds(frame["timestamp"])
    codes, names = _identities(frame["series"])
    value = _values(frame["value"])
    rows = np.lexsort((time, codes)).astype(np.int64)
    codes, time = codes[rows], time[rows]
    _refuse_duplicates(codes, time, names)
    start = np.searchsorted(codes, np.arange(len(names) + 1)).astype(np.int64)
    return Points(names, start, time, value[rows], rows)


def _nanoseconds(column: pd.Series) -> Ints:
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise SignatureError(
            f"timestamp has type {column.dtype}",
            rule="Timestamps are datetime64, naive (taken as UTC) or with a time zone.",
            fix="convert the column with pandas.to_datetime(..., utc=True)",
        )
    if column.isna().any():
        raise DataError(
            f"{int(column.isna().sum())} of {len(column)} timestamps are empty",
            rule="Every point has a time.",
            fix="drop or quarantine those rows",
        )
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    try:
        return np.asarray(pd.DatetimeIndex(column).as_unit("ns").asi8)
    except pd.errors.OutOfBoundsDatetime as error:
        raise DataError(
            f"a timestamp lies outside the years 1677 to 2262 ({error})",
            rule="Times are counted in nanoseconds.",
            fix="drop or quarantine those rows",
        ) from error


def _identities(column: pd.Series) -> tuple[Ints, tuple[str, ...]]:
    """Codes int64[n] and the sorted ids they stand for; sorted, so that nothing depends on the rows' order."""
    if column.isna().any():
        raise DataError(
            f"{int(column.isna().sum())} of {len(column)} series ids are empty",
            rule="Every point belongs to a named series.",
            fix="fill the id column; one series alone may carry any constant name",
        )
    codes, found = pd.factorize(column, sort=False)
    texts = np.array([str(name) for name in found], dtype=object)
    names, merged = np.unique(texts, return_inverse=True) if len(texts) else (texts, np.empty(0, dtype=np.int64))
    return merged.astype(np.int64)[codes], tuple(names.tolist())


def _values(column: pd.Series) -> Floats:
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_complex_dtype(column.dtype):
        raise SignatureError(
            f"value has type {column.dtype}",
            rule="Values are numbers.",
            fix="convert the column with pandas.to_numeric",
        )
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _refuse_duplicates(codes: Ints, time: Ints, names: tuple[str, ...]) -> None:
    same = (codes[1:] == codes[:-1]) & (time[1:] == time[:-1])
    if not same.any():
        return
    first = int(np.flatnonzero(same)[0])
    stamp = pd.Timestamp(int(time[first]), unit="ns", tz="UTC").isoformat()
    raise DataError(
        f"series {names[int(codes[first])]!r} has two points at {stamp} ({int(same.sum())} such pairs in all)",
        rule="A series has one value at a time; which of two is right can't be guessed.",
        fix="aggregate or drop duplicates before (for example keep the last per series and timestamp)",
    )
