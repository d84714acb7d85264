"""Departures of 2013 -> one CSV a local day: what each airport did in each hour.

Every hour of the day has one row per airport, also at night, and all columns speak of the flights *scheduled* in that
hour: `departures` counts those that left, `mean_departure_delay` is their mean delay in minutes, `cancelled_share` the
share that never left. Where there is nothing to average the cell is empty: no departure, no delay; no flight scheduled,
no share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynomaly_pipelines.examples import nycflights
from pynomaly_pipelines.examples.landing import Arrivals

if TYPE_CHECKING:
    import pandas as pd

FILES = nycflights.DAYS


def arrivals() -> Arrivals:
    """`2013-01-01.csv` to `2013-12-31.csv`."""
    for day, rows in _by_day(hourly(nycflights.table())):
        yield f"{day}.csv", rows.to_csv(index=False, lineterminator="\n").encode()


def hourly(flights: pd.DataFrame) -> pd.DataFrame:
    """Columns hour (UTC), airport, departures, mean_departure_delay, cancelled_share; a full grid of hours."""
    import pandas as pd

    groups = flights.groupby(["time_hour", "origin"])
    scheduled, departures = groups.size(), groups["dep_time"].count()
    hours = pd.DataFrame(
        {
            "departures": departures,
            "mean_departure_delay": groups["dep_delay"].mean().round(2),
            "cancelled_share": (1 - departures / scheduled).round(4),
        }
    )
    grid = pd.MultiIndex.from_product([_every_hour(), sorted(flights["origin"].unique())], names=["hour", "airport"])
    hours = hours.rename_axis(["hour", "airport"]).reindex(grid).reset_index()
    return hours.assign(departures=hours["departures"].fillna(0).astype("int64"))


def _every_hour() -> pd.DatetimeIndex:
    import pandas as pd

    local = pd.date_range("2013-01-01", "2014-01-01", freq="h", inclusive="left", tz=nycflights.TIMEZONE)
    return local.tz_convert("UTC")


def _by_day(hours: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    local_day = hours["hour"].dt.tz_convert(nycflights.TIMEZONE).dt.strftime("%Y-%m-%d")
    text = hours.assign(hour=hours["hour"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return [(str(day), rows) for day, rows in text.groupby(local_day)]
