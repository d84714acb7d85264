"""A rule and the evidence -> a threshold: from an alert budget, from labels, from a share of rows, or fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.threshold import AlertBudget, LabelGoal, Threshold
from pynomaly_pipelines.stages.thresholds.alerts import (
    ENTITY,
    PERIOD,
    PLACE,
    SCORE,
    TIME,
    alerts_of,
    alerts_per_period,
    period_of,
    periods_within,
    smallest_score,
)

if TYPE_CHECKING:
    from pynomaly_pipelines.detection import Scorer

LOWEST = 0.5
"""No budget, however large, brings the threshold below what one ordinary row in ten exceeds."""
FEWEST_PERIODS = 4
"""Complete periods that a budget must have been tried on; with fewer, the calibration's tail decides."""
RESAMPLES = 200


@dataclass(frozen=True, eq=False)
class History:
    """Scored rows of a stretch of time, as far as they could ever alert."""

    rows: pd.DataFrame
    """Columns entity, time, place, score: every row that scored at least `floor`."""
    scored: int
    """Rows that have a score."""
    first: pd.Timestamp
    """The first time that has a score, UTC."""
    end: pd.Timestamp
    """End of the last partition, UTC."""
    weight: float
    """Rows that each one stands for, where only a share was read."""
    quiet: int | None
    """As in `alerts_of`."""
    floor: float = LOWEST
    known: int | None = None
    """Labelled anomalies, or known events, among the scored rows; None where nobody looked. A row's own is in the
    column `event` of `rows`: the number of its event, or of its own if labels are a column; -1 for none."""

    def caught(self, threshold: float) -> int:
        """How many of the known ones have a row over a threshold."""
        over = self.rows[(self.rows[SCORE] > threshold) & (self.rows["event"] >= 0)]
        return int(over["event"].nunique())


@dataclass(frozen=True)
class Tried:
    """A budget held against the periods that passed, at one threshold."""

    alerts: pd.Series
    """Alerts of each complete period, by its first day."""
    per: str
    budget: float | None

    @property
    def over(self) -> int:
        """Periods with more alerts than the budget."""
        return 0 if self.budget is None else int((self.alerts > self.budget).sum())

    def __str__(self) -> str:
        if self.alerts.empty:
            return f"no complete {self.per} yet"
        told = f"median {self.alerts.median():g}, most {self.alerts.max():g} alerts a {self.per}"
        more = "" if self.budget is None else f", {self.over} over the budget of {self.budget:g}"
        return f"{told} in {len(self.alerts)} {self.per}s from {self.alerts.index[0]:%Y-%m-%d}{more}"


@dataclass(frozen=True)
class Derived:
    """A threshold, the rule it follows from, and how."""

    score: float
    rule: str
    basis: str
    fallback: bool = False
    """Whether the rule could not be followed, so that something else decided; `basis` says why."""


def setting(rule: Threshold) -> str:
    """A rule as one line of JSON, to be compared and stored."""
    return rule.model_dump_json(exclude_none=True)


def in_words(rule: Threshold) -> str:
    """A rule as a person would say it."""
    if rule.score is not None:
        return "fixed score"
    if rule.budget is not None:
        return f"budget of {rule.budget.alerts} alerts a {rule.budget.per}"
    if rule.labels is not None:
        goal = rule.labels
        aim = "best F1" if goal.best else f"precision {goal.precision}" if goal.precision else f"recall {goal.recall}"
        return f"{aim} on labels"
    return f"alert rate {rule.rate:g}"


# ------------------------------------------------------------------------------------------------- from a budget


def from_budget(spec: PipelineSpec, budget: AlertBudget, history: History, scorer: Scorer) -> tuple[float, str, bool]:
    """The smallest score that keeps to the budget; the basis; whether the calibration's tail had to decide.

    With n periods that passed, the next is the k-th largest of n + 1 with equal chance where they are alike
    (Vovk et al. 2005): that ``confidence`` of the periods to come keep to the budget, all but
    ``n - ceil(confidence (n + 1))`` of those that passed have to.
    """
    periods = recent_periods(spec, budget, history)
    if len(periods) < FEWEST_PERIODS:
        return *_from_tail(budget, history, scorer, len(periods)), True
    n = len(periods)
    allowed = max(0, n - ceil(budget.confidence * (n + 1) - 1e-9))
    rows = history.rows.assign(period=period_of(history.rows[TIME], budget.per, spec.timezone), weight=history.weight)
    counted = rows[[ENTITY, PLACE, SCORE, PERIOD, "weight"]]
    score = smallest_score(
        counted, list(periods), most=budget.alerts, over=allowed, quiet=history.quiet, floor=history.floor
    )
    tried = try_out(spec, budget, history, score)
    reached = 1 - (allowed + 1) / (n + 1)
    short = "" if reached >= budget.confidence else f" (of {budget.confidence:.0%}: it takes more {budget.per}s)"
    return score, f"{tried}; confidence {reached:.0%}{short}", False


def try_out(spec: PipelineSpec, budget: AlertBudget | None, history: History, threshold: float) -> Tried:
    """The alerts of each of the latest complete periods at a threshold; by the week where there is no budget."""
    shown = budget or AlertBudget(alerts=1)
    rows = history.rows[history.rows[SCORE] > threshold]
    periods = recent_periods(spec, shown, history)
    counts = alerts_per_period(alerts_of(rows, history.quiet), periods, shown.per, spec.timezone, history.weight)
    return Tried(counts, shown.per, None if budget is None else float(budget.alerts))


def recent_periods(spec: PipelineSpec, budget: AlertBudget, history: History) -> pd.DatetimeIndex:
    """First days of the complete periods that a budget is tried on."""
    return periods_within(history.first, history.end, budget.per, spec.timezone)[-budget.history :]


def _from_tail(budget: AlertBudget, history: History, scorer: Scorer, periods: int) -> tuple[float, str]:
    """The calibration's tail: so rare that, were alerts independent, a period keeps to the budget with confidence."""
    from scipy.stats import chi2

    days = max(1.0, (history.end - history.first) / pd.Timedelta(days=1))
    per_period = history.scored * history.weight / days * {"day": 1.0, "week": 7.0, "month": 30.44}[budget.per]
    # P(Poisson(m) <= N) = 1 - chi2(2 N + 2).cdf(2 m): the largest m that keeps to N with confidence
    mean = float(chi2.ppf(1 - budget.confidence, 2 * budget.alerts + 2)) / 2
    score = float(scorer.score_at_tail(min(0.1, mean / max(per_period, mean))))
    what = f"{periods} complete {budget.per}s" if periods != 1 else f"1 complete {budget.per}"
    return score, (
        f"{what} of history, fewer than {FEWEST_PERIODS}: taken from the calibration's tail, "
        f"{mean:.2g} of about {per_period:,.0f} ordinary rows a {budget.per}"
    )


# ------------------------------------------------------------------------------------------------- from labels


def from_labels(goal: LabelGoal, scores: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, str]:
    """The score that reaches the goal on labelled rows, and its precision and recall with 95 % bootstrap intervals.

    Args:
        scores, labels: float64[n], of rows the model was not fitted on; NaN is unknown.

    Raises:
        NotEnoughData: too few labels, or no score reaches the goal.
    """
    known = np.isfinite(scores) & ~np.isnan(labels)
    scores, truth = scores[known], labels[known] == 1
    few = min(int(truth.sum()), int((~truth).sum()))
    if few < goal.min_anomalies:
        raise NotEnoughData(
            f"{int(truth.sum())} labelled anomalies and {int((~truth).sum())} labelled others among rows not fitted on",
            rule=f"a threshold from labels rests on at least {goal.min_anomalies} of each (`min_anomalies`)",
            fix="label more rows, or give a `budget` instead",
        )
    score = _reaching(goal, scores, truth)
    precision = _interval(truth, scores > score, _precision, seed)
    recall = _interval(truth, scores > score, _recall, seed)
    return score, f"precision {precision}, recall {recall} on {len(truth):,} labelled rows, {truth.sum():,} anomalies"


def _reaching(goal: LabelGoal, scores: np.ndarray, truth: np.ndarray) -> float:
    """A threshold halfway between the last score that is flagged and the next lower one."""
    values, first = np.unique(-scores, return_index=False, return_inverse=True)
    hits = np.cumsum(np.bincount(first, weights=truth))
    flagged = np.cumsum(np.bincount(first))
    precision, recall = hits / flagged, hits / truth.sum()
    if goal.best is not None:
        last = int(np.argmax(2 * hits / (flagged + truth.sum())))
    elif goal.recall is not None:
        last = int(np.argmax(recall >= goal.recall))
    else:
        reached = np.flatnonzero(precision >= (goal.precision or 0.0))
        if not len(reached):
            raise NotEnoughData(
                f"the largest precision any score has on labelled rows is {precision.max():.2f}",
                rule=f"the goal is precision {goal.precision}",
                fix="ask for less, use `best: f1`, or label more rows",
            )
        last = int(reached[-1])
    lower = -values[last + 1] if last + 1 < len(values) else 0.0
    return float((-values[last] + lower) / 2)


def _interval(
    truth: np.ndarray, flagged: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], float], seed: int
) -> str:
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    drawn = (np.concatenate([rng.choice(group, len(group)) for group in groups]) for _ in range(RESAMPLES))
    values = [measure(truth[rows], flagged[rows]) for rows in drawn]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return f"{measure(truth, flagged):.2f} ({low:.2f} – {high:.2f})"


def _precision(truth: np.ndarray, flagged: np.ndarray) -> float:
    return float(truth[flagged].mean()) if flagged.any() else float("nan")


def _recall(truth: np.ndarray, flagged: np.ndarray) -> float:
    return float(flagged[truth].mean())
