"""What a user may write under `training:`, `labels:` and `promotion:`; with all defaults."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    PositiveInt,
    model_validator,
)

from pynomaly_pipelines.spec.strict import Strict
from pynomaly_pipelines.spec.types import Share, Short, Texts


class DetectorChoice(Short, Strict):
    """A candidate detector by its PyOD name, or `auto`; `- IForest: {n_estimators: 200}` sets parameters."""

    name: str
    """`auto`, or a detector's name in PyOD."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Its parameters there."""

    @model_validator(mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict) or "name" in value:
            return value
        if len(value) != 1:
            raise ValueError("a detector is a name or one mapping: `- IForest: {n_estimators: 200}`")
        ((name, parameters),) = value.items()
        return {"name": name, "parameters": {} if parameters is None else parameters}

    @model_validator(mode="after")
    def _own_parameters(self) -> Self:
        if "seed" in self.parameters:
            raise ValueError(f"{self.name} takes its seed from `training.seed`, so that one seed repeats a training")
        return self


class Excluded(Strict):
    """A stretch of time that is not learnt from: `[start, end)`, in the pipeline's zone where it has none."""

    start: datetime
    """Its first moment, or day."""
    end: datetime
    """The first moment, or day, after it."""
    where: dict[str, Texts] = Field(default_factory=dict)
    """Only rows with one of these values in these columns; by default all rows."""
    reason: str = ""
    """Why, for whoever reads the model card."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end.replace(tzinfo=None) <= self.start.replace(tzinfo=None):
            raise ValueError(f"`end` ({self.end}) must be later than `start` ({self.start})")
        return self


class Training(Strict):
    """What the next model is trained on, and which candidates compete."""

    window: PositiveInt = 90
    """Latest validated partitions to train on."""
    detectors: Annotated[tuple[DetectorChoice, ...], Field(min_length=1)] = ()
    """Candidates; by default `auto` and one plain detector to hold it against."""
    min_rows: PositiveInt = 200
    """Fewest valid rows (or points a series) before a model is trained at all."""
    max_rows: PositiveInt = 200_000
    """Most rows used for training; more are sampled with the seed."""
    seed: int = 0
    """Of every random choice in a training, so that it can be repeated."""
    exclude: tuple[Excluded, ...] = ()
    """Known incidents to leave out, beside those that `pynomaly exclude PIPELINE` names."""
    exclude_events: bool = False
    """Also leave out the events of `labels.events`."""
    min_verdicts: PositiveInt = 5
    """Fewest confirmed rows in a window from which on a candidate that learns from people's verdicts competes
    (records)."""


class Labels(Strict):
    """What is known to be an anomaly: a column of the data, or a file of known events."""

    column: str | None = None
    """Column with 1 for an anomaly, 0 for none, empty for unknown. Never a feature."""
    events: str | None = None
    """CSV file of known events with columns `start`, `end` (exclusive) and, if wanted, the series' id columns."""
    train: bool = False
    """Use them in training, too: records learn from both kinds, series leave known anomalies out."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.column is None) == (self.events is None):
            raise ValueError("give `column` or `events`, one of the two")
        return self


class Promotion(Strict):
    """The gate between challenger and champion."""

    automatic: bool = True
    """Promote a challenger that passes; otherwise it waits for a person."""
    tolerance: Share = 0.02
    """How much worse than the champion a challenger might be, by the 95 % interval of the paired difference."""
    min_gain: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    """How much better than the champion it must be, on the deciding figure; below 0, a newer equal takes over."""
    injected_tolerance: Share = 0.1
    """How much less of the injected anomalies it may find, where something else decides."""
    alert_factor: Annotated[float, Field(ge=1.0)] = 4.0
    """Most alerts among ordinary rows, in multiples of the budget that `threshold` sets; noise is allowed for."""
    max_alert_rate: Share = 0.1
    """Largest share of ordinary rows that may alert, whatever the budget."""
    min_injected_auc: Share = 0.7
    """Smallest ROC AUC, against untouched rows, of the injected kind a challenger finds best; 0.5 is guessing."""
    min_labelled: PositiveInt = 5
    """Fewest known anomalies among the replayed rows for labels to decide; with fewer, injected anomalies do."""
    min_agreement: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.2
    """Smallest rank correlation with the champion's scores; below it a person decides, unless labels do."""
    same_ranking: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.95
    """Rank correlation from which a challenger counts as the version that was rolled back; a person decides."""
    max_cost_ratio: Annotated[float, Field(ge=1.0)] = 10.0
    """How many times the champion's processor time a challenger's scoring may take."""
    free_cost_ms: Annotated[float, Field(ge=0.0)] = 1000.0
    """Processor time per 1,000 rows below which scoring is cheap enough at any ratio."""
