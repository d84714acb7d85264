"""Scored rows -> alerts, what a person gets, and how many of them each day, week or month had.

In records each anomalous row is an alert. In series an alert is a run of adjacent anomalies of one entity: the ids of
the series, all its values together, so that an airport whose departures and delays go wrong in one hour alerts once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from pynomaly_pipelines.stages.features import SERIES_SEPARATOR

Period = Literal["day", "week", "month"]
ENTITY, TIME, PLACE, SCORE, PERIOD, KNOWN = "entity", "time", "place", "score", "period", "known"


def entities(series: pd.Series) -> pd.Series:
    """The entity of each series: its ids, without the name of the value; empty for a series without ids."""
    ids = {name: name.rpartition(SERIES_SEPARATOR)[0] for name in series.unique()}
    return series.map(ids).astype("object")


@dataclass
class Places:
    """Numbers the times of each entity as they come, so that adjacent ones differ by one."""

    seen: dict[str, int] = field(default_factory=dict)

    def of(self, entity: pd.Series, time: pd.Series) -> np.ndarray:
        """int64[n]: the place of each row; rows of one entity at one time share it. Times go on from earlier calls."""
        rank = time.groupby(entity.to_numpy()).rank(method="dense").to_numpy()
        known = entity.map(self.seen).fillna(0)
        places: np.ndarray = (known.to_numpy() + rank).astype(np.int64)
        latest = pd.Series(places).groupby(entity.to_numpy()).max()
        self.seen |= {str(name): int(place) for name, place in latest.items()}
        return places


def alerts_of(rows: pd.DataFrame, quiet: int | None) -> pd.DataFrame:
    """Anomalous rows -> alerts: columns entity, time (of the first), end (time of the last), rows, score (the highest).

    Args:
        rows: entity, time, place and score of anomalies only, in any order; with a column `known` so has the result,
            true where any row's is.
        quiet: ordinary places between two anomalies of an entity that make them two alerts; None: each row is one.
    """
    marked = [KNOWN] if KNOWN in rows.columns else []
    if quiet is None:
        alone = rows[[ENTITY, TIME, SCORE, *marked]].sort_values(TIME, kind="stable", ignore_index=True)
        return alone.assign(end=alone[TIME], rows=1)[[ENTITY, TIME, "end", "rows", SCORE, *marked]]
    ordered = rows.sort_values([ENTITY, PLACE], kind="stable", ignore_index=True)
    new = (ordered[ENTITY] != ordered[ENTITY].shift()) | (ordered[PLACE].diff() > quiet)
    runs = ordered.groupby(new.cumsum().to_numpy())
    found = pd.DataFrame(
        {
            ENTITY: runs[ENTITY].first(),
            TIME: runs[TIME].min(),
            "end": runs[TIME].max(),
            "rows": runs.size(),
            SCORE: runs[SCORE].max(),
            **{name: runs[name].any() for name in marked},
        }
    )
    return found.sort_values(TIME, kind="stable", ignore_index=True)


# ----------------------------------------------------------------------------------------------------- periods


def period_of(times: pd.Series, per: Period, zone: str) -> pd.Series:
    """First day of the period each UTC time falls into, as a naive local date; weeks begin on Sunday."""
    day = times.dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
    since = {"day": 0 * day.dt.day, "week": (day.dt.day_of_week + 1) % 7, "month": day.dt.day - 1}[per]
    begun: pd.Series = day - pd.to_timedelta(since, unit="D")
    return begun


def periods_within(first: pd.Timestamp, end: pd.Timestamp, per: Period, zone: str) -> pd.DatetimeIndex:
    """First days of the periods that lie wholly within `[first, end)`, UTC times; a day begun counts as whole."""
    start = first.tz_convert(zone).tz_localize(None).normalize()
    stop = end.tz_convert(zone).tz_localize(None).normalize()
    frequency = {"day": "D", "week": "W-SUN", "month": "MS"}[per]
    return pd.DatetimeIndex([p for p in pd.date_range(start, stop, freq=frequency) if next_period(p, per) <= stop])


def next_period(start: pd.Timestamp, per: Period) -> pd.Timestamp:
    """First day of the period after the one that begins on a day."""
    steps = {"day": pd.DateOffset(days=1), "week": pd.DateOffset(days=7), "month": pd.DateOffset(months=1)}
    following: pd.Timestamp = start + steps[per]
    return following


def alerts_per_period(
    alerts: pd.DataFrame, periods: pd.DatetimeIndex, per: Period, zone: str, weight: float = 1.0
) -> pd.Series:
    """Alerts that began in each of these periods, 0 where none did; each stands for `weight` of them."""
    counts = period_of(alerts[TIME], per, zone).value_counts()
    return (counts.reindex(periods, fill_value=0) * weight).rename("alerts")


# ------------------------------------------------------------------------------------------------ the smallest score


def smallest_score(
    rows: pd.DataFrame, periods: Sequence[object], *, most: float, over: int, quiet: int | None, floor: float
) -> float:
    """The smallest score at which no more than `over` periods have more than `most` alerts, nor above it.

    Fewer alerts may come of a lower score, where two runs grow together; so the search goes down from the highest
    score and stops at the first that breaks the rule.

    Args:
        rows: entity, place, score and period of every row that scored at least `floor`; a row's weight in `weight`.
        periods: those that count.
    """
    counting = _Counting(set(periods), most, quiet)
    ordered = rows.sort_values(SCORE, ascending=False, kind="stable")
    for score, block in _blocks(ordered):
        for entity, place, period, weight in block:
            counting.add(entity, place, period, weight)
        if len(counting.over) > over:
            return score
    return floor


def _blocks(ordered: pd.DataFrame) -> Iterator[tuple[float, list[tuple[str, int, object, float]]]]:
    """Rows of the same score together, the highest first."""
    columns = (ordered[name].tolist() for name in (SCORE, ENTITY, PLACE, PERIOD, "weight"))
    block: list[tuple[str, int, object, float]] = []
    current = float("nan")
    for score, entity, place, period, weight in zip(*columns, strict=True):
        if block and score != current:
            yield current, block
            block = []
        current = score
        block.append((entity, place, period, weight))
    if block:
        yield current, block


class _Counting:
    """Alerts of each period while rows are added one by one: a row may start a run, prolong one or join two."""

    def __init__(self, periods: set[object], most: float, quiet: int | None) -> None:
        self._periods = periods
        self._most = most
        self._quiet = quiet
        self._counts: dict[object, float] = defaultdict(float)
        self._places: dict[str, list[int]] = defaultdict(list)
        self._period_at: dict[tuple[str, int], object] = {}
        self.over: set[object] = set()

    def add(self, entity: str, place: int, period: object, weight: float) -> None:
        if self._quiet is None:
            self._change(period, weight)
            return
        places = self._places[entity]
        at = bisect_left(places, place)
        if at < len(places) and places[at] == place:
            return
        left = places[at - 1] if at else None
        right = places[at] if at < len(places) else None
        if left is None or place - left > self._quiet:
            self._change(period, weight)
        began = right is not None and (left is None or right - left > self._quiet)
        if began and right is not None and right - place <= self._quiet:
            self._change(self._period_at[entity, right], -weight)
        insort(places, place)
        self._period_at[entity, place] = period

    def _change(self, period: object, by: float) -> None:
        if period not in self._periods:
            return
        self._counts[period] += by
        if self._counts[period] > self._most:
            self.over.add(period)
        else:
            self.over.discard(period)
