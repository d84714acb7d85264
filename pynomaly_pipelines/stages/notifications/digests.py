"""A receiver's rhythm -> whether it is its time."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pynomaly_pipelines.spec import PipelineSpec


def last_slot(spec: PipelineSpec, now: datetime) -> datetime:
    """The latest time, up to now, at which news are sent: now, the full hour, or `digest_at` of the pipeline's zone."""
    assert spec.notify is not None
    if spec.notify.digest == "immediate":
        return now
    zone = ZoneInfo(spec.timezone)
    if spec.notify.digest == "hourly":
        # Of the zone: in some the hour begins half an hour after that of UTC.
        return now.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(now.tzinfo)
    today = now.astimezone(zone).date()
    slot = datetime.combine(today, spec.notify.digest_at, zone).astimezone(now.tzinfo)
    if slot <= now:
        return slot
    # By the calendar: a day with a change of the clock has 23 or 25 hours.
    return datetime.combine(today - timedelta(days=1), spec.notify.digest_at, zone).astimezone(now.tzinfo)
