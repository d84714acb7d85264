"""Points as they come -> their scores, the same to the last bit as scoring the whole series at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import Floats, Ints
from pynomaly_pipelines.detection.series.frame import Points, read_points
from pynomaly_pipelines.operations.errors import DataError

if TYPE_CHECKING:
    from pynomaly_pipelines.detection.series.scorer import SeriesScorer


class SeriesState:
    """The past of each series that the scores of its next points look at; made by `SeriesScorer.start`.

    What is held is bounded by the scorer's `history_points` a series, however many points have passed.
    """

    def __init__(self, scorer: SeriesScorer, history: pd.DataFrame | None = None) -> None:
        self._scorer = scorer
        self._past: dict[str, tuple[Ints, Floats]] = {}
        if history is not None:
            points = read_points(history)
            for name, part in points.segments():
                self._keep(name, points.time[part], points.value[part])

    def update(self, frame: pd.DataFrame) -> Floats:
        """Scores of new points, float64[n] in the order of the rows, which are kept as past for the next.

        DataError, and nothing kept, where a point is not later than all points of its series so far.
        """
        points = read_points(frame)
        self._refuse_late(points)
        ordered = np.empty(len(points))
        for name, part in points.segments():
            past_time, past_value = self._past.get(name, (points.time[:0], points.value[:0]))
            time = np.concatenate([past_time, points.time[part]])
            value = np.concatenate([past_value, points.value[part]])
            ordered[part] = self._scorer.score_series(name, time, value)[len(past_time) :]
            self._keep(name, time, value)
        return points.to_rows(ordered)

    def _keep(self, name: str, time: Ints, value: Floats) -> None:
        most = self._scorer.history_points
        self._past[name] = (time[-most:].copy(), value[-most:].copy())

    def _refuse_late(self, points: Points) -> None:
        for name, part in points.segments():
            past = self._past.get(name)
            if past is not None and len(past[0]) and points.time[part.start] <= past[0][-1]:
                late, last = (pd.Timestamp(int(t), unit="ns", tz="UTC") for t in (points.time[part.start], past[0][-1]))
                raise DataError(
                    f"series {name!r} has a point at {late.isoformat()} after one at {last.isoformat()}",
                    rule="A state takes each series' points in order of time, each once.",
                    fix="score late points with `score` and their past, or start a new state",
                )
