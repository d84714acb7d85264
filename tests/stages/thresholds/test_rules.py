"""Thresholds by rule: from a budget tried on weeks, from the tail where there are too few, from labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

from pynomaly_pipelines.detection.calibration import score_at_tail
from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.spec.threshold import AlertBudget, LabelGoal, Threshold
from pynomaly_pipelines.stages.thresholds.rules import History, from_budget, from_labels, in_words, setting, try_out
from tests.small_pipelines import spec

SUNDAY = pd.Timestamp("2025-01-05", tz="UTC")
SHOP = spec()


class Tail:
    """A scorer of which only the calibration is asked."""

    score_at_tail = staticmethod(score_at_tail)


def history(weeks: int, highest: list[list[float]]) -> History:
    """One row an entry: its week's scores."""
    entries = [(week, score) for week, scores in enumerate(highest) for score in scores]
    rows = pd.DataFrame(
        {
            "entity": "",
            "time": [SUNDAY + pd.Timedelta(days=7 * week + 1) for week, _ in entries],
            "place": 0,
            "score": [score for _, score in entries],
        }
    )
    return History(rows, 1000 * weeks, SUNDAY, SUNDAY + pd.Timedelta(days=7 * weeks), 1.0, None)


def test_all_weeks_keep_to_the_budget_where_few_have_passed() -> None:
    found = history(5, [[0.9, 0.8, 0.7], [0.95], [0.85, 0.84, 0.83], [0.6], []])
    score, basis, fallback = from_budget(SHOP, AlertBudget(alerts=2), found, Tail())  # type: ignore[arg-type]
    assert (score, fallback) == (0.83, False)
    assert basis == (
        "median 1, most 2 alerts a week in 5 weeks from 2025-01-05, 0 over the budget of 2; "
        "confidence 83% (of 90%: it takes more weeks)"
    )


def test_one_week_in_twenty_may_be_over() -> None:
    # 19 weeks, 90 %: ceil(0.9 * 20) = 18 weeks must keep to it, one need not.
    found = history(19, [[0.9, 0.89, 0.88], [0.8, 0.79, 0.78]] + [[0.7]] * 17)
    score, basis, _ = from_budget(SHOP, AlertBudget(alerts=2), found, Tail())  # type: ignore[arg-type]
    assert score == 0.78
    assert "1 over the budget of 2; confidence 90%" in basis


def test_the_latest_periods_count() -> None:
    found = history(8, [[0.9] * 9, [0.9] * 9, [0.9] * 9, [0.9] * 9, [0.6], [], [], []])
    score, _, _ = from_budget(SHOP, AlertBudget(alerts=2, history=4), found, Tail())  # type: ignore[arg-type]
    assert score == 0.5


def test_a_short_history_falls_back_on_the_tail_and_says_so() -> None:
    score, basis, fallback = from_budget(SHOP, AlertBudget(alerts=5), history(3, [[0.9]]), Tail())  # type: ignore[arg-type]
    assert fallback
    assert basis.startswith("3 complete weeks of history, fewer than 4: taken from the calibration's tail")
    # 1,000 rows a week, each alerting with the tail's probability: five alerts or fewer with confidence 0.9.
    level = score / (1 - score)
    assert poisson.cdf(5, 1000 * 10**-level) == pytest.approx(0.9, abs=1e-9)


def test_trying_counts_alerts_of_each_week() -> None:
    tried = try_out(SHOP, AlertBudget(alerts=1), history(4, [[0.9, 0.8], [0.7]]), 0.65)
    assert tried.alerts.tolist() == [2, 1, 0, 0]
    assert tried.over == 1
    assert (
        str(try_out(SHOP, None, history(4, [[0.9]]), 0.65))
        == "median 0, most 1 alerts a week in 4 weeks from 2025-01-05"
    )


SCORES = np.array([0.99, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
LABELS = np.array([1, 1, 0, 1, 1, 0, 0, 0, 0, 0], dtype=float)


@pytest.mark.parametrize(
    ("goal", "score", "told"),
    [
        # F1 after k rows: 0.4, 0.67, 0.57, 0.75, 0.89 at k = 5, then less.
        ({"best": "f1"}, 0.55, "precision 0.80"),
        ({"precision": 0.9}, 0.85, "precision 1.00"),
        ({"precision": 0.8}, 0.55, "precision 0.80"),
        ({"recall": 0.75}, 0.65, "recall 0.75"),
    ],
)
def test_labels_choose_the_threshold(goal: dict[str, Any], score: float, told: str) -> None:
    found, basis = from_labels(LabelGoal(**goal, min_anomalies=4), SCORES, LABELS, seed=0)
    assert found == pytest.approx(score)
    assert told in basis
    assert "10 labelled rows, 4 anomalies" in basis


def test_rows_without_label_or_score_do_not_count() -> None:
    scores, labels = np.r_[SCORES, 0.95, np.nan], np.r_[LABELS, np.nan, 1.0]
    assert from_labels(LabelGoal(best="f1", min_anomalies=4), scores, labels, 0)[0] == pytest.approx(0.55)


def test_the_interval_widens_with_fewer_labels() -> None:
    def width(times: int) -> float:
        basis = from_labels(LabelGoal(best="f1", min_anomalies=4), np.tile(SCORES, times), np.tile(LABELS, times), 0)[1]
        low, high = basis.split("(")[1].split(")")[0].split(" – ")
        return float(high) - float(low)

    assert width(1) > 2 * width(30) > 0


def test_too_few_labels_are_told() -> None:
    with pytest.raises(NotEnoughData, match=r"4 labelled anomalies and 6 labelled others .* at least 10 of each"):
        from_labels(LabelGoal(best="f1"), SCORES, LABELS, 0)


def test_a_goal_out_of_reach_is_told() -> None:
    with pytest.raises(NotEnoughData, match=r"largest precision any score has on labelled rows is 0.50"):
        from_labels(
            LabelGoal(precision=0.9, min_anomalies=2), SCORES, 1 - np.eye(10)[0] * 1.0 - np.eye(10)[2:7].sum(0), 0
        )


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "alert rate 0.005"),
        ({"alert_rate": 0.02}, "alert rate 0.02"),
        ({"score": 0.9}, "fixed score"),
        ({"budget": {"alerts": 5}}, "budget of 5 alerts a week"),
        ({"labels": {"best": "f1"}}, "best F1 on labels"),
        ({"labels": {"precision": 0.8}}, "precision 0.8 on labels"),
        ({"labels": {"recall": 0.8}}, "recall 0.8 on labels"),
    ],
)
def test_rules_in_words_and_as_settings(rule: dict[str, Any], words: str) -> None:
    made = Threshold.model_validate(rule)
    assert in_words(made) == words
    assert Threshold.model_validate_json(setting(made)) == made
