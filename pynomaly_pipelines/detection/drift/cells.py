"""Values of a column -> counts in a few cells that stay the same for all partitions; no row is needed later.

Numbers fall between quantiles of the training rows; a value that many rows share has a cell of its own, so that zeros,
codes and constants are told apart. Texts fall into the commonest categories and one cell for all others, known or new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import Floats, Ints
from pynomaly_pipelines.detection.columns import kind_of

MOST_CELLS, FEWEST_CELLS = 20, 4
A_CELL = 5
"""Rows of a usual partition that each cell should have (Cochran 1954)."""
MOST_CATEGORIES = 50
FEWEST_ROWS = 20
"""Training rows of a category that has a cell of its own: of rarer ones the next partition has others."""

Family = Literal["numbers", "categories"]


@dataclass(frozen=True)
class Cells:
    """Where the values of one column are counted.

    edges: ascending; cell i holds ``edges[i - 1] <= x < edges[i]``. names: categories; the last cell is for others.
    """

    family: Family
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of cells."""
        return len(self.edges if self.family == "numbers" else self.names) + 1

    @property
    def ordered(self) -> bool:
        """Whether one cell lies above another."""
        return self.family == "numbers"

    @classmethod
    def learn(cls, parts: Sequence[pd.Series], name: str) -> Cells:
        """From a column's values in each training partition."""
        whole = pd.concat(list(parts), ignore_index=True)
        usual = int(np.median([part.notna().sum() for part in parts]))
        wanted = int(np.clip(usual // A_CELL, FEWEST_CELLS, MOST_CELLS))
        if family_of(name, whole) == "numbers":
            return cls("numbers", edges=tuple(_edges(_numbers(whole), wanted)))
        counts = _texts(whole).value_counts()
        return cls("categories", names=tuple(counts[counts >= FEWEST_ROWS].index[:MOST_CATEGORIES]))

    def count(self, values: pd.Series) -> tuple[Ints, int]:
        """Rows in each cell int64[width], and rows without a value."""
        if self.family == "numbers":
            x = _numbers(values)
            cell = np.searchsorted(self.edges, x[~np.isnan(x)], side="right")
        else:
            texts = _texts(values)
            cell = pd.Index(self.names, dtype="str").get_indexer(pd.Index(texts.to_numpy(), dtype="str"))
            cell = np.where(cell < 0, len(self.names), cell)
        return np.bincount(cell, minlength=self.width).astype(np.int64), len(values) - len(cell)

    def summary(self, shares: Floats) -> str:
        """What values with these shares are like, in a word: their median, or the commonest category."""
        if shares.sum() <= 0:
            return "none"
        if self.family == "numbers":
            return _median(np.asarray(self.edges), shares)
        best = int(np.argmax(shares))
        return f"{self.names[best] if best < len(self.names) else 'others'} ({shares[best]:.0%})"

    def change(self, before: Floats, after: Floats) -> tuple[str, str]:
        """The same before and after, in words that show the difference."""
        if self.family == "numbers":
            return self.summary(before), self.summary(after)
        most = int(np.argmax(np.abs(after - before)))
        name = self.names[most] if most < len(self.names) else "others"
        return f"{name} {before[most]:.1%}", f"{name} {after[most]:.1%}"

    def state(self) -> dict[str, Any]:
        """JSON values that `from_state` rebuilds the cells from."""
        return {"family": self.family, "edges": list(self.edges), "names": list(self.names)}

    @classmethod
    def from_state(cls, values: dict[str, Any]) -> Cells:
        return cls(values["family"], tuple(values["edges"]), tuple(values["names"]))


def family_of(name: str, values: pd.Series) -> Family:
    """Times count as numbers: their time of day."""
    return "categories" if kind_of(name, values) in ("categorical", "boolean") else "numbers"


def _numbers(values: pd.Series) -> Floats:
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        times = values.dt.tz_convert("UTC") if getattr(values.dtype, "tz", None) is not None else values
        return np.asarray((times - times.dt.normalize()).dt.total_seconds().to_numpy(), dtype=np.float64)
    if pd.api.types.is_timedelta64_dtype(values.dtype):
        return np.asarray(values.dt.total_seconds().to_numpy(), dtype=np.float64)
    return np.asarray(pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan))


def _texts(values: pd.Series) -> pd.Series:
    return values.dropna().astype("str")


def _edges(x: Floats, cells: int) -> Floats:
    """Quantiles; where several are the same, an edge on either side of that value."""
    known = x[np.isfinite(x)]
    if known.size == 0:
        return np.zeros(0)
    marks = np.quantile(known, np.linspace(0.0, 1.0, cells + 1)[1:-1], method="lower")
    values, times = np.unique(marks, return_counts=True)
    shared = values[times > 1]
    # A column of two values has one quantile that is the larger of them; the smaller is below.
    return np.unique(np.concatenate([values, np.nextafter(shared, np.inf)]))


def _median(edges: Floats, shares: Floats) -> str:
    """Within the middle cell by linear interpolation; of the outer cells only the border is known."""
    if edges.size == 0:
        return "none"
    upto = np.cumsum(shares) / shares.sum()
    cell = int(np.searchsorted(upto, 0.5))
    if cell == 0:
        return f"below {edges[0]:.4g}"
    if cell >= len(edges):
        return f"{edges[-1]:.4g} or more"
    low, high = edges[cell - 1], edges[cell]
    before = upto[cell - 1]
    part = (0.5 - before) / max(upto[cell] - before, 1e-12)
    return f"{low + part * (high - low):.4g}"
