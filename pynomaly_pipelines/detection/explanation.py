"""What each column adds to each row's score -> the top columns with value, usual range and share, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, Ints, Objects


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why each of n rows scored what it did: arrays [n, top], the column with the largest share first.

    columns: object, names; values: object, the row's own; usual: object, a readable usual range;
    share: float64, part of the row's score, 0 to 1. Shares of all columns add up to 1, those shown to at most 1.
    """

    columns: Objects
    values: Objects
    usual: Objects
    share: Floats

    def __len__(self) -> int:
        return int(self.share.shape[0])

    def sentences(self) -> list[str]:
        """One line a row: ``dep_delay=853 (usually -12 … 120), 61 %; …``; columns without a share are left out."""
        return ["; ".join(self._phrase(i, k) for k in range(self.share.shape[1]) if self.share[i, k] > 0)
                for i in range(len(self))]  # fmt: skip

    def _phrase(self, row: int, place: int) -> str:
        value = _readable(self.values[row, place])
        return f"{self.columns[row, place]}={value} (usually {self.usual[row, place]}), {self.share[row, place]:.0%}"

    @classmethod
    def joined(cls, pieces: Sequence[Explanation]) -> Explanation:
        """Those of the rows of all pieces, in order."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in pieces]) for f in fields(cls)))


@dataclass(frozen=True, eq=False)
class Scores:
    """Raw score and score of the same n rows, float64[n] each."""

    raw_score: Floats
    score: Floats


@dataclass(frozen=True, eq=False)
class Assessment:
    """Raw score, score and explanation of the same n rows, computed together."""

    raw_score: Floats
    score: Floats
    explanation: Explanation

    @classmethod
    def joined(cls, pieces: Sequence[Assessment]) -> Assessment:
        """Those of the rows of all pieces, in order."""
        if len(pieces) == 1:
            return pieces[0]
        raw, score = (np.concatenate([getattr(p, name) for p in pieces]) for name in ("raw_score", "score"))
        return cls(raw, score, Explanation.joined([p.explanation for p in pieces]))


def explanation(
    parts: Floats, names: Objects, values: Sequence[pd.Series | AnyArray], usual: Objects, top: int
) -> Explanation:
    """The `top` columns of each row.

    parts: float64[n, columns] ≥ 0, what each column adds; values: the columns as they came, in the same order.
    """
    from pynomaly_pipelines.detection.frozen import kernels

    best, shares = kernels.largest(parts, min(top, parts.shape[1]))
    return Explanation(names[best], _cells(values, best), usual[best], shares)


def _cells(values: Sequence[pd.Series | AnyArray], best: Ints) -> Objects:
    """object[n, top]: of row i the cells in columns best[i], taken column by column: columns have types, rows none."""
    top = best.shape[1]
    flat = best.ravel().astype(np.min_scalar_type(len(values)))
    order = np.argsort(flat, kind="stable")  # of small unsigned integers: a radix sort
    ends = np.cumsum(np.bincount(flat, minlength=len(values)))
    chosen = np.empty(best.size, dtype=object)
    for column, places in zip(values, np.split(order, ends[:-1]), strict=True):
        if places.size > 0:
            chosen[places] = _taken(column, places // top)
    return chosen.reshape(best.shape)


def _taken(column: pd.Series | AnyArray, rows: Ints) -> AnyArray:
    if isinstance(column, np.ndarray):
        return column[rows]
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()[rows]
    return np.asarray(column.array[rows], dtype=object)


def _readable(value: object) -> str:
    if value is None or value != value:
        return "missing"
    if isinstance(value, (bool, np.bool_)):
        return str(value)
    return f"{float(value):.6g}" if isinstance(value, (int, float, np.number)) else str(value)
