"""What a user may write under `notify:`; with all defaults.

Addresses hold passwords, so only the names of the variables or secrets that hold them are written here.
"""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from pynomaly_pipelines.spec.source import Variable
from pynomaly_pipelines.spec.strict import Strict
from pynomaly_pipelines.spec.types import Share

FRESH_HOURS = {"hourly": 12.0, "daily": 48.0, "weekly": 336.0, "monthly": 1488.0, "whole": 48.0}
About = Literal["incidents", "failures", "drift", "promotions"]
ReceiverName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]


class Notify(Strict):
    """Who is told of what, and when."""

    receivers: Annotated[dict[ReceiverName, Variable], Field(min_length=1, max_length=20)]
    """Name of a receiver -> variable or secret that holds its Apprise URL, `mailtos://…` or `slack://…` for
    instance."""
    about: Annotated[tuple[About, ...], Field(min_length=1)] = ("incidents", "failures")
    """`incidents`: open ones. `failures`: runs that are not tried again, and partitions that were set aside. `drift`:
    drift that lasts. `promotions`: challengers that the gate refused or holds for a person, and champions that do not
    score."""
    digest: Literal["immediate", "hourly", "daily"] = "immediate"
    """At once (what is found within a minute is one message), on the full hour, or once a day; local time of the
    pipeline's zone. Failures are told at once."""
    digest_at: time = time(8)
    """When the daily message is sent; local time of the pipeline's zone."""
    min_score: Share = 0.0
    """Only incidents that reach this score."""
    fresh_hours: PositiveFloat | None = None
    """Only incidents that end within so many hours before the latest scored data, by default 12 (hourly partitions),
    48 (daily, whole), 336 (weekly) or 1488 (monthly); so that history brought in late tells nobody."""
