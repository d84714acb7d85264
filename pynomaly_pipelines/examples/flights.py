"""Departures of 2013 -> one CSV a local day, the package's rows unchanged, as an airport's evening export would be.

Dirt is part of it: the 8,255 cancelled flights have no departure time, and 1,175 more never reached their destination.
"""

from __future__ import annotations

from pynomaly_pipelines.examples import nycflights
from pynomaly_pipelines.examples.landing import Arrivals

FILES = nycflights.DAYS


def arrivals() -> Arrivals:
    """`2013-01-01.csv` to `2013-12-31.csv`."""
    for day, text in nycflights.days().items():
        yield f"{day}.csv", text
