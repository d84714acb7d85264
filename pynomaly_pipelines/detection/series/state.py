"""Points as they come -> their scores, the same to the last bit as scoring the whole series at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection import storage
from pynomaly_pipelines.detection.arrays import Floats, Ints
from pynomaly_pipelines.detection.series.frame import Points, read_points
from pynomaly_pipelines.detection.series.packing import pack, unpack
from pynomaly_pipelines.detection.series.recipe import PARTS
from pynomaly_pipelines.operations.errors import DataError, ScorerFileError

KIND = "series-state"

if TYPE_CHECKING:
    from pynomaly_pipelines.detection.series.scorer import SeriesScorer


@dataclass(frozen=True, eq=False)
class Past:
    """The last points of one series, ascending: time int64[n], value float64[n], own surprises float64[n, PARTS]."""

    time: Ints
    value: Floats
    own: Floats

    @classmethod
    def empty(cls) -> Past:
        return cls(np.empty(0, dtype=np.int64), np.empty(0), np.empty((0, len(PARTS))))

    def last(self, points: int) -> Past:
        return Past(self.time[-points:].copy(), self.value[-points:].copy(), self.own[-points:].copy())


class SeriesState:
    """The past of each series that the scores of its next points look at; made by `SeriesScorer.start`.

    What is held is bounded by the scorer's `history_points` a series, however many points have passed.
    """

    def __init__(self, scorer: SeriesScorer, history: pd.DataFrame | None = None) -> None:
        self._scorer = scorer
        self._past: dict[str, Past] = {}
        if history is not None:
            self.update(history)

    def update(self, frame: pd.DataFrame) -> Floats:
        """Scores of new points, float64[n] in the order of the rows, which are kept as past for the next.

        DataError, and nothing kept, where a point is not later than all points of its series so far.
        """
        points = read_points(frame)
        self._refuse_late(points)
        ordered = np.empty(len(points))
        for name, part in points.segments():
            past = self._past.get(name, Past.empty())
            time = np.concatenate([past.time, points.time[part]])
            value = np.concatenate([past.value, points.value[part]])
            ordered[part], own = self._scorer.score_next(name, time, value, past.own)
            self._past[name] = Past(time, value, own).last(self._scorer.history_points)
        return points.to_rows(ordered)

    def history(self) -> pd.DataFrame:
        """The points it holds, as a long frame: `scorer.start(state.history())` goes on from there."""
        names = np.repeat(np.array(list(self._past), dtype=object), [len(past.time) for past in self._past.values()])
        time = np.concatenate([past.time for past in self._past.values()] or [np.empty(0, dtype=np.int64)])
        value = np.concatenate([past.value for past in self._past.values()] or [np.empty(0)])
        return pd.DataFrame({"timestamp": pd.DatetimeIndex(time, tz="UTC"), "series": names, "value": value})

    def save(self, folder: str | Path) -> None:
        """Write what it holds into `folder`, arrays and JSON; `SeriesState.load` goes on from there."""
        arrays = pack([{"time": past.time, "value": past.value} for past in self._past.values()], "past/")
        storage.write(Path(folder), KIND, {"series": list(self._past)}, arrays)

    @classmethod
    def load(cls, scorer: SeriesScorer, folder: str | Path) -> SeriesState:
        """The state that `save` wrote, for the same scorer or one trained anew; ScorerFileError where it is altered."""
        kind, values, arrays = storage.read(Path(folder))
        if kind != KIND:
            raise ScorerFileError(
                f"the folder holds a {kind!r}",
                rule=f"A saved state is of kind {KIND!r}.",
                fix="load scorers with Scorer.load",
                where=str(folder),
            )
        state = cls(scorer)
        pasts = unpack(arrays, "past/", len(values["series"]))
        for name, past in zip(values["series"], pasts, strict=True):
            _, own = scorer.score_next(name, past["time"], past["value"], Past.empty().own)
            state._past[name] = Past(past["time"], past["value"], own).last(scorer.history_points)
        return state

    def _refuse_late(self, points: Points) -> None:
        for name, part in points.segments():
            past = self._past.get(name)
            if past is not None and len(past.time) and points.time[part.start] <= past.time[-1]:
                late, last = (
                    pd.Timestamp(int(t), unit="ns", tz="UTC") for t in (points.time[part.start], past.time[-1])
                )
                raise DataError(
                    f"series {name!r} has a point at {late.isoformat()} after one at {last.isoformat()}",
                    rule="A state takes each series' points in order of time, each once.",
                    fix="score late points with `score` and their past, or start a new state",
                )
