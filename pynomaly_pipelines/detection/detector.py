"""A name, settings and a training frame -> a scorer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pynomaly_pipelines.detection.arrays import Bools, Floats, Ints
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.card import Evidence
from pynomaly_pipelines.detection.columns import Encoder
from pynomaly_pipelines.detection.ensemble import Ensemble
from pynomaly_pipelines.detection.frozen.base import Frozen, typical_parts
from pynomaly_pipelines.detection.members import check_settings, fit_frozen
from pynomaly_pipelines.detection.offered import Offer, offer
from pynomaly_pipelines.detection.records import Range, RecordScorer
from pynomaly_pipelines.detection.semi_supervised import Blend
from pynomaly_pipelines.operations.errors import DetectorError, NotEnoughData

AUTO = Offer(
    "auto",
    "",
    "",
    "Ensemble of neighbours and Mahalanobis distances (`ensemble.py`): each raw score "
    "becomes -log10 of the share of training rows that reach it, and both kinds are added up, neighbours twice.",
    most_rows=20_000,
    least_rows=8,
    limits=(
        "Anomalies among more than three tenths of the training rows count as ordinary.",
        "Anomalies in a dense cluster of more than a twentieth of the training rows count as ordinary.",
    ),
)
FOLDS = 5
PROBES = 500
ENOUGH_SPARE, MOST_SPARE = 1_000, 10_000
ONE_SPLIT = 5_000
"""Rows from which one held-out quarter calibrates as well as five folds, at a fifth of the cost."""


@dataclass(frozen=True)
class Budget:
    """What a fit may use; above it, the detector is fitted on a random sample of the rows."""

    bytes: int = 1 << 30
    seconds: float = 60.0

    def rows(self, offered: Offer, features: int) -> int:
        """Rows of `features` columns that fit, by the offer's measured costs."""
        share = max(features, 1) / 20
        by_memory = self.bytes / (offered.row_bytes * share)
        by_time = self.seconds / (offered.row_seconds * share)
        return max(int(min(by_memory, by_time)), offered.least_rows)


class Detector:
    """`auto` or a PyOD detector by its PyOD name and parameters, to be fitted.

    ```python
    Detector("IForest", seed=0, n_estimators=200).fit(frame)
    ```
    """

    def __init__(
        self, kind: str, *, seed: int = 0, budget: Budget | None = None, max_rows: int | None = None, **parameters: Any
    ) -> None:
        """UnknownDetector, DetectorRefused or DetectorError where the name or a parameter is not offered.

        max_rows: fit on a random sample of this many rows at most, instead of the detector's own limit.
        """
        self.offer = AUTO if kind == "auto" else offer(kind)
        self.seed = seed
        self.budget = budget or Budget()
        self.max_rows = max_rows or self.offer.most_rows
        self.parameters = parameters
        if kind == "auto" and parameters:
            raise DetectorError(
                f"auto has no parameter {', '.join(parameters)}",
                rule="auto chooses its own settings.",
                fix="drop the parameters, or name a PyOD detector",
            )
        if kind != "auto":
            check_settings(self.offer, parameters)

    def fit(
        self, frame: pd.DataFrame, labels: ArrayLike | None = None, weights: ArrayLike | None = None
    ) -> RecordScorer:
        """A scorer from training rows, most of them ordinary.

        labels: 1 anomaly, 0 ordinary, NaN unknown, one a row; weights: ≥ 0, one a row, 0 leaves a row out.
        Raises SignatureError for a frame that cannot be read and NotEnoughData for one that is too small.
        """
        rows = _Rows.given(frame, labels, weights)
        kept = frame if rows.kept.all() else frame[rows.kept]
        encoder = Encoder.learn(kept)
        if encoder.features == 0:
            raise NotEnoughData(
                "no column holds a value that could tell rows apart",
                rule="Training needs at least one column with values.",
                fix="check the feature columns of the pipeline",
            )
        chosen, spare = rows.sample(min(self.max_rows, self.budget.rows(self.offer, encoder.features)), self.seed)
        self._check_rows(chosen.size)
        anomalies = frame[rows.labels == 1]
        training = _Training(
            encoder.encode(kept.iloc[chosen]),
            rows.labels[rows.kept][chosen] == 0,
            encoder.encode(anomalies) if len(anomalies) else np.zeros((0, encoder.features)),
        )
        frozen = self._frozen(training)
        held_out, how = self._held_out(training, frozen, encoder.encode(kept.iloc[spare]))
        x = training.x
        typical = typical_parts(frozen, x, self.seed)
        evidence = self._evidence(rows, frozen, x.shape[0], how)
        return RecordScorer(encoder, frozen, Calibration.learn(held_out), Range.learn(x), typical, evidence)

    def _frozen(self, training: _Training) -> Frozen:
        if training.anomalies.shape[0] == 0:
            return self._label_free(training.x)
        return Blend.fit(self._label_free, training.x, training.known, training.anomalies, self.seed)

    def _label_free(self, x: Floats) -> Frozen:
        if self.offer.name == "auto":
            return Ensemble.fit(x, self.seed)
        return fit_frozen(self.offer, x, self.seed, self.parameters)

    def _check_rows(self, rows: int) -> None:
        least = self.offer.needs(self.parameters)
        if rows < least:
            raise NotEnoughData(
                f"{rows} training {'row' if rows == 1 else 'rows'}",
                rule=f"{self.offer.name} with these settings needs at least {least}.",
                fix="wait for more data or widen the training window",
            )

    def _held_out(self, training: _Training, frozen: Frozen, spare: Floats) -> tuple[Floats, str]:
        """Raw scores of rows by detectors that have not seen them, and how they were got."""
        n = training.x.shape[0]
        if spare.shape[0] >= ENOUGH_SPARE:
            return frozen.raw(spare), f"{spare.shape[0]:,} rows that the sample left over"
        if n * (FOLDS - 1) // FOLDS < max(self.offer.needs(self.parameters), 8):
            return frozen.raw(training.x), "the training rows themselves, too few to hold any out"
        order = np.random.default_rng(self.seed).permutation(n)
        probes = _between(training.x, self.seed)
        own = frozen.raw(probes)
        if n >= ONE_SPLIT:
            fold = order[: n // 4]
            return self._unseen(training, fold, frozen, probes, own), f"{fold.size:,} held-out training rows"
        scores = [self._unseen(training, fold, frozen, probes, own) for fold in np.array_split(order, FOLDS)]
        return np.concatenate(scores), f"training rows, held out in {FOLDS} folds"

    def _unseen(self, training: _Training, fold: Ints, frozen: Frozen, probes: Floats, own: Floats) -> Floats:
        """float64[fold]: scores by a detector fitted on the other rows, on the scale of the one fitted on all.

        Raw scales move with the number of rows (OCSVM, LODA). `own` are the final detector's scores of `probes`,
        rows that neither has seen; the fold's are brought to the same marks.
        """
        apart = self._frozen(training.without(fold))
        low, mark, high = _marks(apart, apart.raw(probes))
        own_low, own_mark, own_high = _marks(frozen, own)
        stretch = (own_high - own_low) / (high - low) if high > low and own_high > own_low else 1.0
        aligned: Floats = own_mark + (apart.raw(training.x[fold]) - mark) * stretch
        return aligned

    def _evidence(self, rows: _Rows, frozen: Frozen, fitted: int, held_out: str) -> Evidence:
        notes: list[str] = []
        if fitted < rows.kept.sum():
            notes.append(f"Fitted on a random sample of {fitted:,} of {int(rows.kept.sum()):,} rows.")
        anomalies = int((rows.labels == 1).sum())
        if isinstance(frozen, Blend):
            notes.append(
                f"Blended with a classifier on the {anomalies:,} labelled anomalies, weight {frozen.weight:.2f}."
            )
        return Evidence(
            detector=self.offer.name,
            method=self.offer.method,
            parameters=self.parameters,
            seed=self.seed,
            rows_given=rows.kept.size,
            rows_fitted=fitted,
            rows_excluded=int((~rows.kept).sum()),
            labelled_anomalies=anomalies,
            labelled_ordinary=int((rows.labels == 0).sum()),
            held_out=held_out,
            notes=tuple(notes),
            limits=self.offer.limits,
        )


@dataclass(frozen=True, eq=False)
class _Training:
    """x: float64[n, d], ordinary or unlabelled rows; known: bool[n], labelled ordinary; anomalies: float64[m, d]."""

    x: Floats
    known: Bools
    anomalies: Floats

    def without(self, rows: Ints) -> _Training:
        """The same without these rows of x."""
        others = np.setdiff1d(np.arange(self.x.shape[0]), rows)
        return _Training(self.x[others], self.known[others], self.anomalies)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Which training rows count, and how much. labels, weights: float64[n]; kept: bool[n]."""

    labels: Floats
    weights: Floats
    kept: Bools = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", (self.weights > 0) & (self.labels != 1))
        if not self.kept.any():
            raise NotEnoughData(
                f"of {self.kept.size} rows none is left: {int((self.labels == 1).sum())} are labelled anomalies, "
                f"{int((self.weights == 0).sum())} have weight 0",
                rule="Training needs ordinary or unlabelled rows.",
                fix="widen the training window or exclude less",
            )

    @classmethod
    def given(cls, frame: pd.DataFrame, labels: ArrayLike | None, weights: ArrayLike | None) -> _Rows:
        n = len(frame)
        known = np.full(n, np.nan) if labels is None else _one_a_row("labels", labels, n)
        weight = np.ones(n) if weights is None else _one_a_row("weights", weights, n)
        if not np.isin(known[~np.isnan(known)], (0.0, 1.0)).all():
            raise DetectorError(
                "labels hold other values than 0, 1 and NaN", rule="1 anomaly, 0 ordinary, NaN unknown."
            )
        if not (np.isfinite(weight) & (weight >= 0)).all():
            raise DetectorError("weights hold negative, infinite or missing values", rule="Weights are finite and ≥ 0.")
        return cls(known, weight)

    def sample(self, most: int, seed: int) -> tuple[Ints, Ints]:
        """Indices into the kept rows to fit on, and up to `MOST_SPARE` of those left over, to calibrate with.

        All rows where they fit and weigh the same, else a draw in proportion to weight.
        """
        chosen = self._drawn(most, seed)
        left = np.setdiff1d(np.arange(int(self.kept.sum())), chosen)
        return chosen, np.sort(np.random.default_rng(seed + 1).permutation(left)[:MOST_SPARE])

    def _drawn(self, most: int, seed: int) -> Ints:
        weights = self.weights[self.kept]
        same = bool((weights == weights[0]).all())
        if same and weights.size <= most:
            return np.arange(weights.size)
        generator = np.random.default_rng(seed)
        if same:
            return np.sort(generator.choice(weights.size, most, replace=False))
        # systematic resampling: a row comes up in proportion to its weight, with the least variance
        size = min(weights.size, most)
        marks = (np.arange(size) + generator.random()) * weights.sum() / size
        places: Ints = np.searchsorted(np.cumsum(weights), marks, side="right")
        return np.minimum(places, weights.size - 1)


def _between(x: Floats, seed: int) -> Floats:
    """float64[≤ 500, d]: rows whose cells lie around those of two training rows each, so that no detector saw them."""
    generator = np.random.default_rng(seed)
    rows = min(x.shape[0], PROBES)
    first, second = (np.take_along_axis(x, generator.integers(0, len(x), (rows, x.shape[1])), axis=0) for _ in "ab")
    cells: Floats = first + (second - first) * generator.uniform(-0.5, 1.5, (rows, x.shape[1]))
    return cells


def _marks(frozen: Frozen, raw: Floats) -> tuple[float, float, float]:
    """Low end, mark and high end of a raw scale, by the scores of probes: quartile, median, 0.95 quantile.

    A scale with a ceiling is held by it: many rows share the ceiling, and folds whose ceilings lay side by side would
    make of these a ranking that says nothing.
    """
    low, middle, high = (float(q) for q in np.quantile(raw, [0.25, 0.5, 0.95]))
    return (low, middle, high) if frozen.ceiling == np.inf else (low, frozen.ceiling, frozen.ceiling)


def _one_a_row(name: str, values: ArrayLike, rows: int) -> Floats:
    array: Floats = pd.Series(np.asarray(values)).to_numpy(dtype=np.float64, na_value=np.nan)
    if array.shape != (rows,):
        raise DetectorError(
            f"{name} of shape {array.shape} for {rows} rows", rule=f"There is one value a row, shape ({rows},)."
        )
    return array
