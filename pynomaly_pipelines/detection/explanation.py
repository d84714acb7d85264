"""What each column adds to each row's score -> the top columns with value, usual range and share, and sentences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import Floats, Ints, Objects


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


@dataclass(frozen=True, eq=False)
class Assessment:
    """Raw score, score and explanation of the same n rows, computed together."""

    raw_score: Floats
    score: Floats
    explanation: Explanation


def explanation(parts: Floats, names: Objects, values: list[pd.Series], usual: Objects, top: int) -> Explanation:
    """The `top` columns of each row.

    parts: float64[n, columns] ≥ 0, what each column adds; values: the frame's columns, in the same order.
    """
    shares = _shares(parts)
    best = _best(shares, min(top, parts.shape[1]))
    chosen = np.empty(best.shape, dtype=object)
    for column, cells in enumerate(values):
        rows, places = np.nonzero(best == column)
        chosen[rows, places] = np.asarray(cells.array[rows], dtype=object)
    return Explanation(names[best], chosen, usual[best], np.take_along_axis(shares, best, axis=1))


def _shares(parts: Floats) -> Floats:
    total = parts.sum(axis=1, keepdims=True)
    shares = np.zeros_like(parts)
    np.divide(parts, total, out=shares, where=total > 0)
    return shares


def _best(shares: Floats, top: int) -> Ints:
    """int64[n, top]: columns by falling share, ties in the frame's order."""
    left = shares.copy()
    best = np.empty((shares.shape[0], top), dtype=np.int64)
    for place in range(top):
        best[:, place] = left.argmax(axis=1)
        np.put_along_axis(left, best[:, [place]], -1.0, axis=1)
    return best


def _readable(value: object) -> str:
    if value is None or value != value:
        return "missing"
    if isinstance(value, (bool, np.bool_)):
        return str(value)
    return f"{float(value):.6g}" if isinstance(value, (int, float, np.number)) else str(value)
