"""A long frame of training points -> a `SeriesScorer`: one model a series, one for series yet unknown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import AnyArray, Bools, Floats, Ints
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.series.frame import Points, read_points
from pynomaly_pipelines.detection.series.model import LEAST_POINTS, SeriesModel, fit_series, judge, learn_calibration
from pynomaly_pipelines.detection.series.scorer import SeriesEvidence, SeriesScorer
from pynomaly_pipelines.detection.series.stranger import Stranger, fit_stranger
from pynomaly_pipelines.operations.errors import DataError, NotEnoughData, UnknownDetector

Flags = Sequence[Any] | AnyArray | pd.Series
FOLDS = 3
"""Blocks of time that are left out in turn for the held-out scores of the calibration."""
KINDS = ("auto",)


class SeriesDetector:
    """How to learn what is usual in series; `fit` does it.

    `kind` is "auto". Fitting draws no random numbers, so that `seed` changes nothing; it is kept for the card.
    """

    def __init__(self, kind: str = "auto", *, seed: int = 0, **parameters: Any) -> None:
        if kind not in KINDS:
            raise UnknownDetector(
                f"no series detector is called {kind!r}",
                rule=f"Known ones are {', '.join(KINDS)}.",
                fix="use 'auto'",
            )
        if parameters:
            raise UnknownDetector(
                f"{kind} has no parameter {', '.join(sorted(parameters))}",
                rule="Series detectors take the parameters their documentation lists.",
                fix="remove it",
            )
        self.kind = kind
        self.seed = seed

    def fit(self, frame: pd.DataFrame, labels: Flags | None = None, exclude: Flags | None = None) -> SeriesScorer:
        """A scorer learnt from the rows of `frame` (timestamp, series, value; any order; no duplicates).

        labels: 1 = known anomaly, 0 = known to be ordinary, NaN = unknown, one a row; exclude: True = not to be learnt
        from. Both keep a row out of every figure of what is usual. NotEnoughData where no series has
        `LEAST_POINTS` present values left.
        """
        points = read_points(frame)
        use = ~(_flags(labels, len(frame), "labels") | _flags(exclude, len(frame), "exclude"))[points.rows]
        fitted = [_fitted(name, points, part, use) for name, part in points.segments()]
        known = [series for series in fitted if series is not None]
        if not known:
            raise _too_short(points, use)
        stranger, pooled = _learn_stranger(known)
        evidence = SeriesEvidence(
            detector=self.kind,
            parameters={},
            seed=self.seed,
            rows_given=len(frame),
            rows_fitted=int(sum(series.rows for series in known)),
            rows_excluded=int((~use).sum()),
            short=tuple(name for (name, _), series in zip(points.segments(), fitted, strict=True) if series is None),
            start=str(pd.Timestamp(int(points.time.min()), unit="ns", tz="UTC")),
            end=str(pd.Timestamp(int(points.time.max()), unit="ns", tz="UTC")),
        )
        return SeriesScorer(
            models={series.name: series.model for series in known},
            calibrations={series.name: series.calibration for series in known},
            stranger=stranger,
            pooled=pooled,
            evidence=evidence,
        )


@dataclass(frozen=True, eq=False)
class _Fitted:
    name: str
    model: SeriesModel
    calibration: Calibration
    time: Ints
    value: Floats
    rows: int


def _fitted(name: str, points: Points, part: slice, use: Bools) -> _Fitted | None:
    """The model of one series; None where it is too short for one of its own."""
    time, value, learn = points.time[part], points.value[part], use[part]
    if int((learn & ~np.isnan(value)).sum()) < LEAST_POINTS:
        return None
    model = fit_series(time, value, learn)
    calibration = learn_calibration(_held_out(time, value, learn, model))
    return _Fitted(name, model, calibration, time, np.where(learn, value, np.nan), int(learn.sum()))


def _held_out(time: Ints, value: Floats, learn: Bools, model: SeriesModel) -> Floats:
    """Raw scores of the training points, each by a model that did not learn from the block of time it lies in."""
    ordinary = learn & ~np.isnan(value)
    scores = judge(model, time, value).raw
    places = np.flatnonzero(ordinary)
    for block in np.array_split(places, FOLDS):
        others = learn.copy()
        others[block[0] : block[-1] + 1] = False
        if int((others & ~np.isnan(value)).sum()) >= LEAST_POINTS:
            scores[block] = judge(fit_series(time, value, others), time, value).raw[block]
    held_out = scores[ordinary & ~np.isnan(scores)]
    return held_out if held_out.size else np.zeros(1)


def _learn_stranger(series: Iterable[_Fitted]) -> tuple[Stranger, Calibration]:
    known = list(series)
    step = int(np.median([s.model.step for s in known]))
    cycle = int(np.median([s.model.cycle for s in known]))
    stranger, raw = fit_stranger(step, cycle, ((s.time, s.value) for s in known))
    return stranger, learn_calibration(raw)


def _flags(given: Flags | None, rows: int, name: str) -> Bools:
    """bool[n], True where the flag is set; empty means not set."""
    if given is None:
        return np.zeros(rows, dtype=bool)
    flags = pd.Series(np.asarray(given)).astype("Float64").fillna(0.0).to_numpy(dtype=np.float64)
    if len(flags) != rows or not np.isin(flags, (0.0, 1.0)).all():
        raise DataError(
            f"{name} has {len(flags)} entries with values such as {sorted(set(flags.tolist()))[:5]} for {rows} rows",
            rule=f"{name} has one entry a row: 1, 0 or empty.",
            fix=f"pass {name} in the order of the frame's rows",
        )
    return np.asarray(flags == 1.0)


def _too_short(points: Points, use: Bools) -> NotEnoughData:
    counts = {name: int((use[part] & ~np.isnan(points.value[part])).sum()) for name, part in points.segments()}
    best = max(counts, key=lambda name: counts[name]) if counts else ""
    seen = f"the longest of {len(counts)} series, {best!r}, has {counts[best]}" if counts else "the frame has no"
    return NotEnoughData(
        f"{seen} present points to learn from",
        rule=f"A series needs at least {LEAST_POINTS}; seasonal patterns need three whole cycles.",
        fix="train on a longer period",
    )
