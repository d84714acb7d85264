"""What a user may write under `threshold:`: from which score on a row is an anomaly; with all defaults."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from pynomaly_pipelines.spec.strict import Strict

Share = Annotated[float, Field(ge=0.0, le=1.0)]
OpenShare = Annotated[float, Field(gt=0.0, lt=1.0)]


class AlertBudget(Strict):
    """At most so many alerts in a day, week or month.

    An alert is what a person gets: in records each anomalous row; in series a run of adjacent anomalies of one entity
    (the ids of the series, all its values together).
    """

    alerts: PositiveInt
    """Most alerts in a period."""
    per: Literal["day", "week", "month"] = "week"
    """The period, in the pipeline's time zone; weeks begin on Sunday."""
    confidence: OpenShare = 0.9
    """Share of periods to come that should keep to it, judged by those that passed."""
    history: Annotated[int, Field(ge=4)] = 26
    """Latest complete periods it is tried on."""
    quiet: PositiveInt = 3
    """So many ordinary points of an entity in a row end an alert; the next anomaly is a new one (series)."""


class LabelGoal(Strict):
    """What the threshold is to reach on labelled rows that the model was not fitted on."""

    best: Literal["f1"] | None = None
    """The score with the largest F1, the harmonic mean of precision and recall."""
    precision: OpenShare | None = None
    """The smallest score from which on this share of anomalies are labelled as such."""
    recall: OpenShare | None = None
    """The largest score over which this share of the labelled anomalies lies."""
    min_anomalies: Annotated[int, Field(ge=2)] = 10
    """Fewest labelled anomalies, and as many labelled others, that a choice may rest on."""

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if sum(goal is not None for goal in (self.best, self.precision, self.recall)) != 1:
            raise ValueError("give one of `best: f1`, `precision` and `recall`")
        return self


class Threshold(Strict):
    """The score above which a row is an anomaly."""

    alert_rate: OpenShare | None = None
    """Share of ordinary rows that may alert; 0.001 is one row in a thousand."""
    score: Share | None = None
    """A fixed score instead."""
    budget: AlertBudget | None = None
    """The smallest score that keeps to so many alerts a week, tried on the weeks that passed."""
    labels: LabelGoal | None = None
    """The score that does best on labelled rows."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.alert_rate, self.score, self.budget, self.labels)) > 1:
            raise ValueError("give one of `alert_rate`, `score`, `budget` and `labels`")
        return self

    @property
    def rate(self) -> float:
        """Share of ordinary rows that may alert where nothing else is said."""
        return self.alert_rate or 0.005
