"""Times of a source's rows -> rows of each partition, counted, with the latest mark of change among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import SchemaError
from pynomaly_pipelines.partitions import WHOLE, Calendar
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.sources import conversion
from pynomaly_pipelines.stages.sources.arrow_rows import texts_of


@dataclass(frozen=True)
class Tally:
    """Rows of one partition."""

    rows: int
    version: str
    """Changes when one of them does."""


@dataclass(frozen=True)
class Seen:
    """What a look at a source found."""

    tallies: dict[str, Tally]
    """Partition -> its rows; only those that may have changed since the cursor before."""
    cursor: str
    """How far the source has been looked through."""
    tail: int = 0
    """How many rows may still be joined by others at the cursor."""
    complete: bool = False
    """Whether these are all partitions there are, so that any other has no rows any more."""


def path_of(spec: PipelineSpec, key: str) -> str:
    """What one partition of a source that has no files is called."""
    return f"{spec.source.place}#{key}"


class Keys:
    """Times -> keys of the pipeline's own partitions."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec = spec
        self._calendar = Calendar(spec)
        self._first = None if spec.partition == "whole" else self._calendar.first()
        self._end = None if spec.partition == "whole" else self._calendar.end()

    def of(self, times: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Key of each time; None where there is no time, or one outside the pipeline's life.

        Raises:
            SchemaError: the column holds something else than times.
        """
        if self._spec.partition == "whole":
            return np.full(len(times), WHOLE, dtype=object)
        column = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
        if not (pa.types.is_temporal(column.type) or pa.types.is_null(column.type)):
            column = self._texts(column)
        moments, _ = conversion.to_utc(column, self._spec.timezone)
        found = self._calendar.keys_of(pd.Series(moments.to_numpy(zero_copy_only=False)).dt.tz_localize("UTC"))
        keys: np.ndarray = found.astype(object).where(found.notna() & self._alive(moments), None).to_numpy()
        return keys

    def _alive(self, moments: pa.Array) -> np.ndarray:
        alive = np.ones(len(moments), dtype=bool)
        if self._first is not None and self._first.start is not None:
            alive &= _compared(moments, self._first.start, pc.greater_equal)
        if self._end is not None and self._end.start is not None:
            alive &= _compared(moments, self._end.start, pc.less)
        return alive

    def _texts(self, column: pa.Array) -> pa.Array:
        texts = texts_of(column)
        if not pa.types.is_string(column.type):
            raise SchemaError(
                f"the time column {self._spec.time!r} of {self._spec.source.place} holds {column.type}",
                rule="it holds times, dates, or texts in ISO 8601 form",
                fix="use a `query` (or a view) that turns it into a timestamp",
            )
        return texts


def _compared(moments: pa.Array, border: Any, compare: Callable[..., pa.Array]) -> np.ndarray:
    found: np.ndarray = pc.fill_null(compare(moments, pa.scalar(border, conversion.TIME)), False).to_numpy(
        zero_copy_only=False
    )
    return found


@dataclass
class Counter:
    """Rows by partition, as they stream by."""

    counts: dict[str, int] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)

    def add(self, keys: np.ndarray, counts: np.ndarray, marks: list[Any]) -> None:
        """Count rows of these keys; `marks` are their watermarks."""
        for key, count, mark in zip(keys, counts.tolist(), marks, strict=True):
            if key is None:
                continue
            self.counts[key] = self.counts.get(key, 0) + count
            if mark is not None and (key not in self.latest or mark > self.latest[key]):
                self.latest[key] = mark
