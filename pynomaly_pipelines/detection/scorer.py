"""A saved folder -> a scorer: what records and series scorers share."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, cast

import pandas as pd

from pynomaly_pipelines.detection import storage
from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.calibration import score_at_tail
from pynomaly_pipelines.detection.columns import Column
from pynomaly_pipelines.detection.explanation import Assessment, Explanation, Scores
from pynomaly_pipelines.operations.errors import ScorerFileError

KINDS = {
    "records": "pynomaly_pipelines.detection.records:RecordScorer",
    "series": "pynomaly_pipelines.detection.series:SeriesScorer",
}
"""What a saved scorer's `kind` is loaded by; imported only when such a scorer is."""


class Trained(Protocol):
    """What records' and series' evidence have in common."""

    @property
    def detector(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any]: ...

    @property
    def rows_fitted(self) -> int: ...


class Scorer(ABC):
    """The frozen form of a detector: deterministic, row-independent, arrays and JSON.

    Subclasses set `kind` and give `state` and `from_state`, the values and arrays they are saved as.
    """

    kind: ClassVar[str]

    evidence: Trained
    """What is known of it since it was fitted."""

    @property
    def detector(self) -> str:
        """`auto` or the PyOD name."""
        return self.evidence.detector

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings it was trained with, as JSON values."""
        return dict(self.evidence.parameters)

    @property
    def rows_fitted(self) -> int:
        """Rows the detector was fitted on."""
        return self.evidence.rows_fitted

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The signature: names and kinds of the columns it reads."""

    @abstractmethod
    def score(self, frame: pd.DataFrame) -> Floats:
        """Calibrated scores in [0, 1), float64[n]."""

    @abstractmethod
    def raw_score(self, frame: pd.DataFrame) -> Floats:
        """The detector's own scores, float64[n], higher = more anomalous."""

    @abstractmethod
    def scores(self, frame: pd.DataFrame) -> Scores:
        """Raw scores and scores together, the rows encoded once: the same bits as each by itself."""

    def explain(self, frame: pd.DataFrame, top: int = 3) -> Explanation:
        """The `top` columns of each row's score."""
        return self.assess(frame, top).explanation

    @abstractmethod
    def assess(self, frame: pd.DataFrame, top: int = 3) -> Assessment:
        """Raw score, score and explanation together, encoding the rows once."""

    def score_at_tail(self, p: float) -> float:
        """The score that a share `p` of ordinary rows exceeds: the threshold of an alert budget."""
        return score_at_tail(p)

    @abstractmethod
    def card(self) -> str:
        """The model card, Markdown."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """JSON values and arrays that `from_state` rebuilds the scorer from."""

    @classmethod
    @abstractmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self: ...

    def save(self, folder: str | Path) -> None:
        """Write ``scorer.json`` and ``arrays.npz`` into `folder`, made where missing."""
        values, arrays = self.state()
        storage.write(Path(folder), self.kind, values, arrays)

    @staticmethod
    def load(folder: str | Path) -> Scorer:
        """The scorer that `save` wrote; ScorerFileError where files are missing, altered or unknown."""
        kind, values, arrays = storage.read(Path(folder))
        if kind not in KINDS:
            raise ScorerFileError(
                f"the saved scorer is of kind '{kind}'",
                rule=f"Known kinds are {', '.join(KINDS)}.",
                fix="load it with the version of the package that saved it",
                where=str(folder),
            )
        module, name = KINDS[kind].split(":")
        family = cast(type[Scorer], getattr(importlib.import_module(module), name))
        return family.from_state(values, arrays)
