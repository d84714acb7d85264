"""A long frame of training points -> a `SeriesScorer`: one model a series, one for series yet unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import AnyArray, Bools, Floats, Ints
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.series.frame import Points, read_points
from pynomaly_pipelines.detection.series.model import (
    LEAST_POINTS,
    SeriesModel,
    draft_series,
    finish_series,
    gross,
    judge,
    learn_calibration,
    outlines,
    whole,
)
from pynomaly_pipelines.detection.series.recipe import RECIPES, Recipe, outlier_recipe
from pynomaly_pipelines.detection.series.scorer import SeriesEvidence, SeriesScorer
from pynomaly_pipelines.detection.series.season import UTC
from pynomaly_pipelines.detection.series.stranger import Stranger, fit_stranger
from pynomaly_pipelines.operations.errors import DataError, DetectorError, NotEnoughData

Flags = Sequence[Any] | AnyArray | pd.Series
FOLDS = 3
"""Blocks of time that are left out in turn for the held-out scores of the calibration."""
MOST_OUTLINES = 20_000
"""Training outlines of all series together that a PyOD detector is fitted on."""


class SeriesDetector:
    """How to learn what is usual in series; `fit` does it.

    ```python
    SeriesDetector("auto", timezone="Europe/Berlin").fit(long_frame)
    SeriesDetector("IForest", seed=0, n_estimators=200).fit(long_frame)
    ```
    """

    def __init__(self, kind: str = "auto", *, seed: int = 0, timezone: str = UTC, **parameters: Any) -> None:
        """UnknownDetector, DetectorRefused or DetectorError where the name or a parameter is not offered.

        kind: "auto", "SeasonalResidual", "LevelShift", "SubKNN", or a PyOD detector by its PyOD name with its
        parameters, which then judges the outlines of the last points. seed: for PyOD detectors that draw; the others
        draw nothing. timezone: whose clock daily and weekly patterns follow.
        """
        self.kind, self.seed, self.timezone, self.parameters = kind, seed, timezone, parameters
        self._check_timezone()
        if kind not in RECIPES:
            self._check_outlier()
        elif parameters:
            raise DetectorError(
                f"{kind} has no parameter {', '.join(sorted(parameters))}",
                rule=f"{', '.join(RECIPES)} take seed and timezone only.",
                fix="drop the parameters, or name a PyOD detector",
            )

    def fit(self, frame: pd.DataFrame, labels: Flags | None = None, exclude: Flags | None = None) -> SeriesScorer:
        """A scorer learnt from the rows of `frame` (timestamp, series, value; any order; no duplicates).

        labels: 1 = known anomaly, 0 = known to be ordinary, NaN = unknown, one a row; exclude: True = not to be learnt
        from. Both keep a row out of every figure of what is usual. NotEnoughData where no series has
        `LEAST_POINTS` present values left.
        """
        points = read_points(frame)
        use = ~(_flags(labels, len(frame), "labels") | _flags(exclude, len(frame), "exclude"))[points.rows]
        parts = [_Part(name, points.time[part], points.value[part], use[part]) for name, part in points.segments()]
        parts = [part.forgiving(self.timezone) if part.present >= LEAST_POINTS else part for part in parts]
        drafts = {part.name: part.draft(self.timezone) for part in parts if part.present >= LEAST_POINTS}
        if not drafts:
            raise _too_short(parts)
        recipe = self._recipe([(part, drafts[part.name]) for part in parts if part.name in drafts])
        fitted = [part.fitted(drafts[part.name], recipe, self.timezone) for part in parts if part.name in drafts]
        stranger, pooled = _learn_stranger(fitted)
        return SeriesScorer(
            models={series.part.name: series.model for series in fitted},
            calibrations={series.part.name: series.calibration for series in fitted},
            recipe=recipe,
            stranger=stranger,
            pooled=pooled,
            evidence=self._evidence(points, use, parts, fitted),
        )

    def _check_timezone(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise DetectorError(
                f"timezone is {self.timezone!r}",
                rule="A time zone is an IANA name such as 'UTC' or 'America/New_York'.",
                fix="correct the name",
            ) from error

    def _check_outlier(self) -> None:
        from pynomaly_pipelines.detection.members import check_settings
        from pynomaly_pipelines.detection.offered import offer

        check_settings(offer(self.kind), self.parameters)

    def _recipe(self, series: list[tuple[_Part, SeriesModel]]) -> Recipe:
        """The recipe by its name; for a PyOD detector, fitted on outlines of all series evenly spread in time."""
        if self.kind in RECIPES:
            return RECIPES[self.kind]
        from pynomaly_pipelines.detection.members import fit_frozen
        from pynomaly_pipelines.detection.offered import offer

        share = max(MOST_OUTLINES // len(series), 1)
        outline = np.concatenate([part.outlines(model, share) for part, model in series])
        return replace(
            outlier_recipe(self.kind), outlier=fit_frozen(offer(self.kind), outline, self.seed, self.parameters)
        )

    def _evidence(self, points: Points, use: Bools, parts: list[_Part], fitted: list[_Fitted]) -> SeriesEvidence:
        known = {series.part.name for series in fitted}
        return SeriesEvidence(
            detector=self.kind,
            parameters={"timezone": self.timezone, **self.parameters},
            seed=self.seed,
            rows_given=len(points),
            rows_fitted=sum(series.part.present for series in fitted),
            rows_excluded=int((~use).sum()),
            rows_gross=int(use[~np.isnan(points.value)].sum()) - sum(part.present for part in parts),
            short=tuple(part.name for part in parts if part.name not in known),
            start=_utc(points.time.min()),
            end=_utc(points.time.max()),
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """One series' training points [n, ascending]; `use` bool[n]: may be learnt from."""

    name: str
    time: Ints
    value: Floats
    use: Bools

    @property
    def present(self) -> int:
        """Values that may be learnt from."""
        return int((self.use & ~np.isnan(self.value)).sum())

    def draft(self, zone: str) -> SeriesModel:
        return draft_series(self.time, self.value, self.use, zone)

    def forgiving(self, zone: str) -> _Part:
        """The same without gross outliers."""
        return replace(self, use=self.use & ~gross(self.draft(zone), self.time, self.value, self.use))

    def without(self, start: int, end: int) -> _Part:
        """The same with points start … end - 1 held out."""
        use = self.use.copy()
        use[start:end] = False
        return replace(self, use=use)

    def outlines(self, model: SeriesModel, most: int) -> Floats:
        """At most `most` outlines, evenly spread in time, float64[k, parts]."""
        found = outlines(model, self.time, np.where(self.use, self.value, np.nan))
        found = found[whole(found)]
        return found[np.linspace(0, len(found) - 1, min(most, len(found))).astype(np.int64)]

    def fitted(self, draft: SeriesModel, recipe: Recipe, zone: str) -> _Fitted:
        model = finish_series(draft, recipe, self.time, self.value, self.use)
        return _Fitted(self, model, learn_calibration(self._held_out(model, recipe, zone)))

    def _held_out(self, model: SeriesModel, recipe: Recipe, zone: str) -> Floats:
        """Raw scores of the training points, each by a model that did not learn from the block of time it lies in."""
        value = np.where(self.use, self.value, np.nan)
        scores = []
        for block in np.array_split(np.flatnonzero(~np.isnan(value)), FOLDS):
            others, judging = self.without(block[0], block[-1] + 1), model
            if others.present >= LEAST_POINTS:
                judging = finish_series(others.draft(zone), recipe, self.time, self.value, others.use)
            start = max(block[0] - judging.history_points, 0)
            part = slice(start, block[-1] + 1)
            scores.append(judge(judging, recipe, self.time[part], value[part]).raw[block - start])
        held_out = np.concatenate(scores)
        return held_out[~np.isnan(held_out)] if not np.isnan(held_out).all() else np.zeros(1)


@dataclass(frozen=True, eq=False)
class _Fitted:
    part: _Part
    model: SeriesModel
    calibration: Calibration


def _learn_stranger(series: list[_Fitted]) -> tuple[Stranger, Calibration]:
    step = int(np.median([s.model.step for s in series]))
    cycle = int(np.median([s.model.cycle for s in series]))
    values = ((s.part.time, np.where(s.part.use, s.part.value, np.nan)) for s in series)
    stranger, raw = fit_stranger(step, cycle, values)
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


def _utc(time: int) -> str:
    return pd.Timestamp(int(time), unit="ns", tz="UTC").isoformat()


def _too_short(parts: list[_Part]) -> NotEnoughData:
    best = max(parts, key=lambda part: part.present, default=None)
    seen = (
        "the frame has no" if best is None else f"the longest of {len(parts)} series, {best.name!r}, has {best.present}"
    )
    return NotEnoughData(
        f"{seen} present points to learn from",
        rule=f"A series needs at least {LEAST_POINTS}; seasonal patterns need three whole cycles.",
        fix="train on a longer period",
    )
