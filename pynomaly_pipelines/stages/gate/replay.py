"""Held-out rows, and the same with injected anomalies -> what a scorer makes of both, by the one scoring path."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import injection
from pynomaly_pipelines.stages.features import SERIES, TIMESTAMP, VALUE
from pynomaly_pipelines.stages.scoring import scores_of
from pynomaly_pipelines.stages.training import Split

if TYPE_CHECKING:
    from pynomaly_pipelines.detection import Scorer

MOST_INJECTED = 2_000
"""Rows that get an injected anomaly of each kind."""
WARM_UP_ROWS = 50
POINT_COLUMNS = [TIMESTAMP, SERIES, VALUE]


@dataclass(frozen=True)
class Injected:
    """A copy of rows with anomalies of one kind, and where they are."""

    kind: str
    frame: pd.DataFrame
    spans: tuple[np.ndarray, ...]
    """Series: the touched rows of each anomaly, within `frame`; records: empty, every row is one."""


@dataclass(frozen=True)
class Replay:
    """Rows no candidate was fitted on, ready to be scored by any number of models, all of which see the same."""

    frame: pd.DataFrame
    """What a scorer sees: the past a series needs, then the held-out rows."""
    first: int
    """Position of the first held-out row."""
    labels: np.ndarray | None
    """Of the held-out rows: 1, 0 or NaN, float64[n]."""
    units: np.ndarray
    """What a bootstrap draws as one, int64[n]: each row of records, the points of one series and day."""
    injected: tuple[Injected, ...]
    series: bool
    judged: np.ndarray
    """Which held-out rows count, bool[n]: not the points of known incidents, which are no evidence."""

    @property
    def held(self) -> pd.DataFrame:
        """The held-out rows."""
        return self.frame.iloc[self.first :]

    @property
    def calm_points(self) -> list[np.ndarray]:
        """Positions of each series' held-out points, from the first held-out row."""
        return [np.asarray(rows) for rows in self.held.groupby(SERIES, sort=True).indices.values()]


@dataclass(frozen=True)
class Found:
    """Scores of what carries one kind of injected anomaly, and of what does not.

    Records: rows. Series: the highest score of each touched stretch, and of each untouched stretch of that length.
    NaN where the scorer has no score.
    """

    touched: np.ndarray
    calm: np.ndarray


@dataclass(frozen=True)
class Performance:
    """What one scorer makes of a replay."""

    scores: np.ndarray
    """Of the held-out rows, float64[n]; NaN where none is judged or there is none."""
    injected: dict[str, Found]
    milliseconds_per_1000: float
    """Processor time of scoring 1,000 rows."""


def replay_of(spec: PipelineSpec, split: Split) -> Replay:
    """The rows a split holds out, with injected anomalies by `training.seed`."""
    rng = np.random.default_rng(spec.training.seed)
    if spec.kind == "records":
        frame, first = split.holdout, 0
        injected = tuple(_into_rows(frame, rng))
        units: np.ndarray = np.arange(len(frame))
    else:
        frame = pd.concat([split.history, split.holdout], ignore_index=True)[POINT_COLUMNS]
        first = len(split.history)
        injected = tuple(Injected(i.kind, i.frame, i.spans) for i in injection.into_series(frame, first, rng))
        units = frame.iloc[first:].groupby([SERIES, frame[TIMESTAMP].dt.floor("D")]).ngroup().to_numpy()
    return Replay(frame, first, split.holdout_labels, units, injected, spec.kind == "series", _judged(split))


def perform(replay: Replay, scorer: Scorer) -> Performance:
    """Score a replay and its injected copies.

    Raises:
        SignatureError: the rows lack columns of the scorer.
    """
    # What is loaded or compiled on the first call is no cost of scoring.
    scores_of(scorer, replay.frame.head(WARM_UP_ROWS), 0)
    started = time.process_time()
    scores = np.asarray(scores_of(scorer, replay.frame, replay.first).score)
    elapsed = time.process_time() - started
    scores = np.where(replay.judged, scores, np.nan)
    find = _found_points if replay.series else _found_rows
    injected = {one.kind: find(scorer, replay, one, scores) for one in replay.injected}
    return Performance(scores, injected, 1e6 * elapsed / max(1, len(replay.frame)))


def _judged(split: Split) -> np.ndarray:
    return np.asarray(np.isfinite(split.judged(np.zeros(len(split.holdout)))))


def _into_rows(frame: pd.DataFrame, rng: np.random.Generator) -> Iterator[Injected]:
    chosen = np.sort(rng.permutation(len(frame))[:MOST_INJECTED])
    for made in injection.into_rows(frame.iloc[chosen].reset_index(drop=True), rng):
        yield Injected(made.kind, made.frame, ())


def _found_rows(scorer: Scorer, replay: Replay, injected: Injected, held: np.ndarray) -> Found:  # noqa: ARG001
    return Found(scores_of(scorer, injected.frame, 0).score, held)


def _found_points(scorer: Scorer, replay: Replay, injected: Injected, held: np.ndarray) -> Found:
    scores = scores_of(scorer, injected.frame, 0).score
    length = len(injected.spans[0]) if injected.spans else 1
    # What has no past yet, a series that is new in the hold-out, has no score: no detector could find it.
    known = [np.isfinite(held[span - replay.first]).all() for span in injected.spans]
    touched = [np.nan_to_num(scores[s]).max() if k else np.nan for s, k in zip(injected.spans, known, strict=True)]
    calm = [held[rows][: len(rows) // length * length].reshape(-1, length) for rows in replay.calm_points]
    return Found(np.array(touched), np.concatenate([part.max(axis=1) for part in calm]))
