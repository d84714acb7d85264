"""Ordinary rows or points -> copies with known anomalies, to ask a detector what it would find where no labels are.

After the synthetic anomalies of ADBench (Han et al., NeurIPS 2022): `extreme` is their global type, `mixed` their
dependency type. `spike` and `shift` are the point and level anomalies of series benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pynomaly_pipelines.stages.features import SERIES, VALUE

SIZE = (8.0, 16.0)
"""How far an injected point lies from its own value, in robust standard deviations of its series."""
BEYOND = (0.5, 1.5)
"""How far an injected value of a row lies outside the range seen, in widths of that range."""
SHIFT_POINTS = 12


@dataclass(frozen=True)
class InjectedRows:
    """Rows of which all carry one kind of injected anomaly."""

    kind: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class InjectedPoints:
    """A long frame with one injected anomaly per series; `spans` are the touched rows of each."""

    kind: str
    frame: pd.DataFrame
    spans: tuple[np.ndarray, ...]


def into_rows(frame: pd.DataFrame, rng: np.random.Generator) -> list[InjectedRows]:
    """One anomalous copy of the rows per kind that their columns allow."""
    kinds = []
    if any(_is_number(frame[name]) for name in frame.columns):
        kinds.append(InjectedRows("extreme", _extreme(frame, rng)))
    if frame.shape[1] > 1 and len(frame) > 1:
        kinds.append(InjectedRows("mixed", _mixed(frame, rng)))
    return kinds


def into_series(frame: pd.DataFrame, first: int, rng: np.random.Generator) -> list[InjectedPoints]:
    """One copy per kind with an anomaly at one random place of each series, at or after row `first`."""
    return [_into_points(frame, first, kind, rng) for kind in ("spike", "shift")]


def robust_scale(values: np.ndarray) -> float:
    """Standard deviation as the quartiles tell it; where they agree, as the finite values do; 1 for a constant."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return 1.0
    low, high = np.quantile(finite, [0.25, 0.75])
    return float((high - low) / 1.349) or float(np.std(finite)) or 1.0


def _extreme(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    numbers = [name for name in frame.columns if _is_number(frame[name])]
    chosen = rng.integers(len(numbers), size=len(frame))
    high, sizes = rng.random(len(frame)) < 0.5, rng.uniform(*BEYOND, len(frame))
    changed = frame.copy()
    for position, name in enumerate(numbers):
        values = frame[name].to_numpy("float64", na_value=np.nan)
        changed[name] = np.where(chosen == position, _outside(values, high, sizes), values)
    return changed


def _outside(values: np.ndarray, high: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Values beyond all seen ones. Robust deviations would not do: 16 of them are ordinary in a heavy tail."""
    finite = values[np.isfinite(values)]
    top, bottom = (finite.max(), finite.min()) if len(finite) else (0.0, 0.0)
    width = float(top - bottom) or 1.0
    return np.asarray(np.where(high, top + sizes * width, bottom - sizes * width))


def _mixed(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    other = frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
    changed = frame.reset_index(drop=True).copy()
    for name in rng.permutation(frame.columns.to_numpy())[: max(1, frame.shape[1] // 2)]:
        changed[name] = other[name]
    return changed


def _into_points(frame: pd.DataFrame, first: int, kind: str, rng: np.random.Generator) -> InjectedPoints:
    values = frame[VALUE].to_numpy("float64").copy()
    length = 1 if kind == "spike" else SHIFT_POINTS
    spans = []
    for rows in map(np.asarray, frame.groupby(SERIES, sort=True).indices.values()):
        late = rows[rows >= first]
        if len(late) < 2 * length:
            continue
        start = int(rng.integers(len(late) - length))
        span = late[start : start + length]
        values[span] += rng.choice([-1.0, 1.0]) * rng.uniform(*SIZE) * robust_scale(values[rows])
        spans.append(np.asarray(span))
    return InjectedPoints(kind, frame.assign(**{VALUE: values}), tuple(spans))


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype))
