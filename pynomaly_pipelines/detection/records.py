"""A frame of records -> scores with reasons: columns encoded, a frozen detector, its calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.calibration import Calibration, score_of_level
from pynomaly_pipelines.detection.card import Evidence, card
from pynomaly_pipelines.detection.columns import Cells, Column, Encoder
from pynomaly_pipelines.detection.explanation import Assessment, Explanation, Scores, explanation
from pynomaly_pipelines.detection.frozen.base import Frozen, nested, restore
from pynomaly_pipelines.detection.scorer import Scorer

BLOCK = 50_000
"""Rows scored at once: bounds the memory of a large partition. Scores do not depend on it."""


def _blocks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    if not isinstance(frame, pd.DataFrame) or len(frame) <= BLOCK:
        yield frame
        return
    for start in range(0, len(frame), BLOCK):
        yield frame.iloc[start : start + BLOCK]


@dataclass(frozen=True, eq=False)
class Range:
    """What training rows covered: low, high, scales float64[d].

    Some raw scores (trees, histograms) stop growing outside it. For these the score's level rises by
    ``log10(1 + excess / scale)`` a column, so that ten and a hundred deviations differ.
    """

    low: Floats
    high: Floats
    scales: Floats

    @classmethod
    def learn(cls, x: Floats) -> Range:
        """From the training matrix, float64[n, d]."""
        quarter, three = np.quantile(x, [0.25, 0.75], axis=0)
        scales = np.where(three > quarter, three - quarter, x.std(axis=0))
        return cls(x.min(axis=0), x.max(axis=0), np.where(scales > 0, scales, 1.0))

    def excess(self, x: Floats) -> Floats:
        """float64[n, d]: levels to add, 0 inside the range."""
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.range_excess(x, self.low, self.high, self.scales)


@dataclass(frozen=True, eq=False)
class RecordScorer(Scorer):
    """A scorer of wide tables; made by `Detector.fit`.

    typical: float64[d], what each feature adds to the raw score of a middling training row: a column explains a
    score by what it adds beyond that.
    """

    encoder: Encoder
    frozen: Frozen
    calibration: Calibration
    range: Range
    typical: Floats
    evidence: Evidence

    kind: ClassVar[str] = "records"

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.encoder.columns

    def raw_score(self, frame: pd.DataFrame) -> Floats:
        return np.concatenate([self.frozen.raw(self.encoder.encode(block)) for block in _blocks(frame)])

    def score(self, frame: pd.DataFrame) -> Floats:
        return self.scores(frame).score

    def scores(self, frame: pd.DataFrame) -> Scores:
        found = [self._scores(self.encoder.encode(block)) for block in _blocks(frame)]
        raw, score = (np.concatenate([getattr(part, name) for part in found]) for name in ("raw_score", "score"))
        return Scores(raw, score)

    def scores_of_cells(self, cells: Cells) -> Scores:
        """As `scores`, of arrays instead of a frame: what `Encoder.cells` makes of one, or a program by itself."""
        return self._scores(self.encoder.encode_cells(cells))

    def _scores(self, x: Floats) -> Scores:
        raw = self.frozen.raw(x)
        return Scores(raw, self._calibrated(x, raw))

    def assess(self, frame: pd.DataFrame, top: int = 3) -> Assessment:
        names = [column.name for column in self.columns]
        found = []
        for block in _blocks(frame):
            x = self.encoder.encode(block)
            found.append(self._assess(x, [block[name] for name in names], top))
        return Assessment.joined(found)

    def explain_cells(self, cells: Cells, values: Sequence[AnyArray], top: int) -> Explanation:
        """As `explain`, of arrays; values: the columns as people are to see them."""
        return self._assess(self.encoder.encode_cells(cells), values, top).explanation

    def _assess(self, x: Floats, values: Sequence[pd.Series | AnyArray], top: int) -> Assessment:
        from pynomaly_pipelines.detection.frozen import kernels

        raw, contributions = self.frozen.explained(x)
        levels = self.calibration.levels_of(raw)
        parts = kernels.divided(levels, contributions, self.typical)
        if self.frozen.saturates:
            excess = self.range.excess(x)
            levels, parts = levels + kernels.row_sums(excess), parts + excess
        names = np.array([column.name for column in self.columns], dtype=object)
        reasons = explanation(self._by_column(parts), names, values, self.encoder.usual(), top)
        return Assessment(raw, score_of_level(levels), reasons)

    def _by_column(self, parts: Floats) -> Floats:
        """float64[n, features] -> float64[n, columns]: a column may have several features or none."""
        if self.encoder.plain is not None:
            return parts
        out = np.zeros((parts.shape[0], len(self.columns)))
        for feature, column in enumerate(self.encoder.owners):
            out[:, column] += parts[:, feature]
        return out

    def card(self) -> str:
        return card(self.encoder, self.calibration, self.evidence)

    def _calibrated(self, x: Floats, raw: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        levels = self.calibration.levels_of(raw)
        if self.frozen.saturates:
            levels = levels + kernels.row_sums(self.range.excess(x))
        return score_of_level(levels)

    def state(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        frozen, frozen_arrays = self.frozen.state()
        calibration, calibration_arrays = self.calibration.state()
        values = {
            "columns": self.encoder.state(),
            "frozen": frozen,
            "calibration": calibration,
            "evidence": self.evidence.state(),
        }
        covered = {"low": self.range.low, "high": self.range.high, "scales": self.range.scales}
        arrays: dict[str, AnyArray] = {f"frozen/{name}": value for name, value in frozen_arrays.items()}
        arrays |= {f"calibration/{name}": value for name, value in calibration_arrays.items()}
        return values, arrays | {"typical": self.typical} | {f"range/{name}": value for name, value in covered.items()}

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        return cls(
            encoder=Encoder.from_state(values["columns"]),
            frozen=restore(values["frozen"], nested("frozen/", arrays)),
            calibration=Calibration.from_state(values["calibration"], nested("calibration/", arrays)),
            range=Range(**nested("range/", arrays)),
            typical=arrays["typical"],
            evidence=Evidence.from_state(values["evidence"]),
        )
