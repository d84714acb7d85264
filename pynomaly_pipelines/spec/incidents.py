"""What a user may write under `incidents:`; with all defaults."""

from __future__ import annotations

from datetime import date, time
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from pynomaly_pipelines.spec.strict import Strict
from pynomaly_pipelines.spec.types import ColumnNames, Texts

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
GAP_HOURS = {"hourly": 1.0, "daily": 6.0, "weekly": 24.0, "monthly": 72.0, "whole": 6.0}


class QuietTime(Strict):
    """Times at which incidents tell nobody; all that is given must hold. Local times of the pipeline's zone."""

    days: tuple[Weekday, ...] = ()
    """Days of the week; by default all."""
    dates: tuple[date, ...] = ()
    """Single days, holidays for instance; by default all."""
    start: time | None = None
    """From this time of the day on."""
    end: time | None = None
    """Until this time of the day; earlier than `start` means after midnight."""
    reason: str = ""
    """Stands beside the incidents it keeps quiet."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.days or self.dates or self.start or self.end):
            raise ValueError("a quiet time names days, dates, or a start and an end; this one would never end")
        if (self.start is None) != (self.end is None):
            raise ValueError("`start` and `end` of a quiet time go together")
        return self


class Suppression(Strict):
    """Rows of these values tell nobody."""

    where: Annotated[dict[str, Texts], Field(min_length=1)]
    """Column of the entity or the key -> values; `series` names series."""
    reason: str = ""
    """Stands beside the incidents it keeps quiet."""


class Incidents(Strict):
    """How anomalies become incidents, and which of these are kept quiet."""

    entity: ColumnNames = ()
    """Columns that say whose incident it is (records); by default all rows are of one. In series: its ids."""
    gap_hours: PositiveFloat | None = None
    """Anomalies of an entity no further apart than this are one incident; by default 1 (hourly partitions), 6 (daily),
    24 (weekly) or 72 (monthly)."""
    direction: Literal["both", "high", "low"] = "both"
    """Only values above, or below, what is usual."""
    min_anomalies: PositiveInt = 1
    """Fewer are recorded, and tell nobody."""
    min_minutes: NonNegativeFloat = 0
    """Shorter ones are recorded, and tell nobody."""
    quiet: tuple[QuietTime, ...] = ()
    """When nobody is told."""
    suppress: tuple[Suppression, ...] = ()
    """Of what nobody is told."""
    samples: Annotated[int, Field(ge=1, le=50)] = 5
    """How many of its rows are kept with an incident, the most anomalous first."""
