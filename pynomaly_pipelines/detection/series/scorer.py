"""Fitted series models -> scores, reasons and expected ranges of points, at once or as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, Ints
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.columns import Column
from pynomaly_pipelines.detection.explanation import Assessment, Explanation, Scores
from pynomaly_pipelines.detection.frozen.base import Frozen, nested, restore
from pynomaly_pipelines.detection.scorer import Scorer
from pynomaly_pipelines.detection.series.card import card
from pynomaly_pipelines.detection.series.frame import Points, read_points
from pynomaly_pipelines.detection.series.model import Judgement, SeriesModel, judge
from pynomaly_pipelines.detection.series.packing import pack, unpack
from pynomaly_pipelines.detection.series.reasons import explain
from pynomaly_pipelines.detection.series.recipe import Recipe
from pynomaly_pipelines.detection.series.season import Season
from pynomaly_pipelines.detection.series.state import SeriesState
from pynomaly_pipelines.detection.series.stranger import Stranger


@dataclass(frozen=True)
class SeriesEvidence:
    """What is known of a model when it has been fitted; JSON values only. short: series too short for a model."""

    detector: str
    parameters: dict[str, Any]
    seed: int
    rows_given: int
    rows_fitted: int
    rows_excluded: int
    rows_gross: int
    short: tuple[str, ...]
    start: str
    end: str

    @classmethod
    def from_state(cls, values: dict[str, Any]) -> SeriesEvidence:
        return cls(**{**values, "short": tuple(values["short"])})


@dataclass(frozen=True, eq=False)
class SeriesScorer(Scorer):
    """A scorer of long tables; made by `SeriesDetector.fit`.

    A point's score looks at the point and at no more than `history_points` points of its series before it, none older
    than `history`; with that much past in the frame it does not depend on anything else in it.
    """

    models: dict[str, SeriesModel]
    calibrations: dict[str, Calibration]
    recipe: Recipe
    stranger: Stranger
    pooled: Calibration
    evidence: SeriesEvidence

    kind: ClassVar[str] = "series"

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("timestamp", "datetime"), Column("series", "categorical"), Column("value", "numeric"))

    @property
    def history(self) -> pd.Timedelta:
        """How far back the score of a point looks: the past to give with the points of interest."""
        longest = max([self.stranger.history, *(model.history for model in self.models.values())])
        return pd.Timedelta(longest, unit="ns")

    @property
    def history_points(self) -> int:
        """The same in points of one series."""
        return max([self.stranger.history_points, *(model.history_points for model in self.models.values())])

    def raw_score(self, frame: pd.DataFrame) -> Floats:
        """Raw scores, float64[n] in the order of the rows; NaN where a point has too little past in the frame."""
        points = read_points(frame)
        ordered = np.empty(len(points))
        for _, part, judgement in self._judged(points):
            ordered[part] = judgement.raw
        return points.to_rows(ordered)

    def score(self, frame: pd.DataFrame, *, causal: bool = True) -> Floats:
        """Calibrated scores in [0, 1), float64[n] in the order of the rows; NaN as in `raw_score`.

        causal: False is for looking back at a finished period: the points before a surprise remember it as well as
        those after it, so that whole incidents stand out.
        """
        points = read_points(frame)
        ordered = np.empty(len(points))
        for name, part, judgement in self._judged(points, causal):
            ordered[part] = self._calibrated(name, judgement.raw)
        return points.to_rows(ordered)

    def scores(self, frame: pd.DataFrame) -> Scores:
        points = read_points(frame)
        raw, score = np.empty(len(points)), np.empty(len(points))
        for name, part, judgement in self._judged(points):
            raw[part], score[part] = judgement.raw, self._calibrated(name, judgement.raw)
        return Scores(points.to_rows(raw), points.to_rows(score))

    def score_next(self, name: str, time: Ints, value: Floats, known: Floats) -> tuple[Floats, Floats]:
        """Scores of the points after the first m, whose own surprises `known` float64[m, PARTS] are; all own surprises.

        time: int64[n] ns UTC, ascending; value: float64[n].
        """
        judgement = self._judge(name, time, value, known)
        return self._calibrated(name, judgement.raw[len(known) :]), judgement.own

    def start(self, history: pd.DataFrame | None = None) -> SeriesState:
        """A state that scores new points as they come, after the past in `history`."""
        return SeriesState(self, history)

    def assess(self, frame: pd.DataFrame, top: int = 3) -> Assessment:
        """Raw score, score and reasons of each point, measured once."""
        points = read_points(frame)
        raw, score = np.empty(len(points)), np.empty(len(points))
        found = []
        for name, part, judgement in self._judged(points):
            raw[part], score[part] = judgement.raw, self._calibrated(name, judgement.raw)
            found.append(explain(self.models.get(name, self.stranger), judgement, top))
        if not found:
            empty = np.empty((0, top), dtype=object)
            return Assessment(raw, score, Explanation(empty, empty, empty, np.empty((0, top))))
        columns, values, usual, share = (
            points.to_rows(np.concatenate([getattr(reasons, field) for reasons in found]))
            for field in ("columns", "values", "usual", "share")
        )
        return Assessment(points.to_rows(raw), points.to_rows(score), Explanation(columns, values, usual, share))

    def expected(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Columns lower, expected, upper (float64, index of `frame`): the range that 99 in 100 points kept to."""
        points = read_points(frame)
        ordered = np.empty((len(points), 3))
        for name, part, judgement in self._judged(points):
            ordered[part] = _range(self.models.get(name), judgement)
        return pd.DataFrame(points.to_rows(ordered), columns=["lower", "expected", "upper"], index=frame.index)

    def _judged(self, points: Points, causal: bool = True) -> Iterator[tuple[str, slice, Judgement]]:
        for name, part in points.segments():
            yield name, part, self._judge(name, points.time[part], points.value[part], causal=causal)

    def _judge(
        self, name: str, time: Ints, value: Floats, known: Floats | None = None, causal: bool = True
    ) -> Judgement:
        model = self.models.get(name)
        if model is None:
            return self.stranger.judge(time, value, known, causal)
        return judge(model, self.recipe, time, value, known, causal)

    def _calibrated(self, name: str, raw: Floats) -> Floats:
        known = ~np.isnan(raw)
        out = np.full(len(raw), np.nan)
        out[known] = self.calibrations.get(name, self.pooled).score(raw[known])
        return out

    def card(self) -> str:
        """The model card, Markdown."""
        return card(self)

    def state(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """JSON values and arrays; the models of all series are laid end to end."""
        names = list(self.models)
        outlier, outlier_arrays = (None, {}) if self.recipe.outlier is None else self.recipe.outlier.state()
        pooled, pooled_arrays = self.pooled.state()
        stranger, stranger_arrays = self.stranger.state()
        values = {
            "series": names,
            "recipe": self.recipe.state(),
            "outlier": outlier,
            "stranger": stranger,
            "pooled": pooled,
            "evidence": asdict(self.evidence),
        }
        arrays = pack([_flat(self.models[name]) for name in names], "model/")
        arrays |= pack([_fields(self.calibrations[name]) for name in names], "calibration/")
        arrays |= _prefixed("pooled/", pooled_arrays) | _prefixed("stranger/", stranger_arrays)
        return values, arrays | _prefixed("outlier/", outlier_arrays)

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        names = values["series"]
        models = [_model(item) for item in unpack(arrays, "model/", len(names))]
        calibrations = [Calibration(**item) for item in unpack(arrays, "calibration/", len(names))]
        return cls(
            models=dict(zip(names, models, strict=True)),
            calibrations=dict(zip(names, calibrations, strict=True)),
            recipe=Recipe.from_state(values["recipe"], _outlier(values["outlier"], arrays)),
            stranger=Stranger.from_state(values["stranger"], nested("stranger/", arrays)),
            pooled=Calibration.from_state(values["pooled"], nested("pooled/", arrays)),
            evidence=SeriesEvidence.from_state(values["evidence"]),
        )


def _range(model: SeriesModel | None, judgement: Judgement) -> Floats:
    """lower, expected, upper of each point, float64[n, 3]."""
    expected = judgement.figures.expected
    if model is None:
        width = 2.576 * judgement.figures.recent
        return np.column_stack([expected - width, expected, expected + width])
    usual = expected - model.centre
    return np.column_stack([usual + model.residual_low, expected, usual + model.residual_high])


def _outlier(values: dict[str, Any] | None, arrays: dict[str, AnyArray]) -> Frozen | None:
    return None if values is None else restore(values, nested("outlier/", arrays))


NESTED = {"season": Season, "surprises": Calibration, "memories": Calibration}
"""Fields of a series' model that are dataclasses themselves; saved as ``field.their_field``."""


def _flat(model: SeriesModel) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for name, value in _fields(model).items():
        item |= _prefixed(f"{name}.", _fields(value)) if name in NESTED else {name: value}
    return item


def _model(item: dict[str, Any]) -> SeriesModel:
    plain = {name: value for name, value in item.items() if "." not in name}
    inner = {
        name: kind(**{key.removeprefix(f"{name}."): v for key, v in item.items() if key.startswith(f"{name}.")})
        for name, kind in NESTED.items()
    }
    return SeriesModel(**plain, **inner)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _prefixed(prefix: str, item: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in item.items()}
