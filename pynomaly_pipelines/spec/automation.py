"""What a user may write under `automation:`; with all defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
)

from pynomaly_pipelines.spec.strict import Strict
from pynomaly_pipelines.spec.types import Cron


class Automation(Strict):
    """When things happen without a hand on them."""

    arrivals: bool = True
    """Look for new files and ingest the partitions they belong to."""
    arrivals_interval_seconds: PositiveInt = 15
    """Seconds between two looks."""
    promotions_interval_seconds: PositiveInt = 30
    """Seconds between two looks at who is champion in the registry."""
    schedule: Cron | None = None
    """Also ingest and validate the latest complete partition at these times (local); scoring follows by automation."""
    retrain: Cron | None = "0 3 * * 0"
    """Train a challenger at these times (UTC)."""
    retrain_verdicts: PositiveInt | None = 10
    """Train a challenger after so many new verdicts on incidents; null: never for that."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """How often a step is tried again after a transient fault."""
    reruns: Annotated[int, Field(ge=0, le=10)] = 3
    """How often a run that failed on a transient fault is launched again by the failed-run sensor."""
    rerun_delay_seconds: PositiveInt = 60
    """Wait before the first of these; doubled each time, an hour at most."""
    reruns_interval_seconds: PositiveInt = 15
    """Seconds between two looks for failed and silent runs."""
    rerun_budget: Annotated[int, Field(ge=0)] = 50
    """Most runs of the failed-run sensor in 24 hours."""
    freshness_hours: PositiveFloat | None = None
    """Scores older than this make the freshness of `scores` fail, and warn after three quarters of it."""
    partitions_per_run: PositiveInt = 31
    """Most partitions one run works on; what bounds a backfill's memory."""
