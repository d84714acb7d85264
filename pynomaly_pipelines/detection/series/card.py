"""A fitted series scorer -> its model card in Markdown (Mitchell et al. 2019)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from pynomaly_pipelines.detection.series.model import LEAST_POINTS, SeriesModel
from pynomaly_pipelines.detection.series.reasons import between
from pynomaly_pipelines.detection.series.season import DAY, HOUR, WEEK
from pynomaly_pipelines.detection.series.stranger import LEAST

if TYPE_CHECKING:
    from pynomaly_pipelines.detection.series.scorer import SeriesScorer

MEMORY = (
    "Points after a surprise remember it, half of it after a third of a cycle, and rank below every point that "
    "surprises by itself. Only the past is read."
)
CALIBRATION = (
    "Score = L / (1 + L) with L = -log10 of the share of a series' ordinary points above: 0.5 is 1 in 10, 0.75 is 1 in "
    "1000. Learnt for each series on its own held-out points, in blocks of time that the model judging them had not "
    "seen. Beyond the most surprising ordinary point the tail is extrapolated."
)
CLOCK = (
    "- Daily and weekly patterns follow the clock of {timezone}. Where people's habits follow another clock, they are "
    "an hour off after a change of the clocks, until the model is trained again."
)
MOST_LISTED = 20
_PERIODS = {0: "none", HOUR: "hourly", DAY: "daily", WEEK: "weekly"}


def card(scorer: SeriesScorer) -> str:
    """The card of one fitted model; at most `MOST_LISTED` series are listed by name."""
    sections = {
        "Data": _data(scorer),
        "Method": _method(scorer),
        "Series": _series(scorer.models),
        "Calibration": _calibration(scorer),
        "Limits": _limits(scorer),
    }
    parts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join([f"# Model card: {scorer.detector} (series)", *parts]) + "\n"


def _data(scorer: SeriesScorer) -> list[str]:
    evidence = scorer.evidence
    used = f"{evidence.rows_fitted:,} of {evidence.rows_given:,} points of {len(scorer.models):,} series"
    excluded = f"{evidence.rows_excluded:,} points excluded as known anomalies or incidents"
    gross = f"{evidence.rows_gross:,} left out as gross outliers"
    return [f"Fitted on {used}, {evidence.start} to {evidence.end}; {excluded}, {gross}."]


def _method(scorer: SeriesScorer) -> list[str]:
    return [
        f"{scorer.recipe.method} {MEMORY}",
        "",
        f"A score looks back at most {scorer.history_points:,} points and {scorer.history}.",
        "",
        "| setting | value |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in scorer.parameters.items()),
        f"| seed | {scorer.evidence.seed} |",
    ]


def _series(models: dict[str, SeriesModel]) -> list[str]:
    counts = Counter(_PERIODS[model.season.period] for model in models.values())
    lines = [
        "Seasonal patterns: "
        + ", ".join(f"{counts[name]} {name}" for name in _PERIODS.values() if name in counts)
        + ".",
        "",
        "| series | step | pattern | usual values | points looked back at |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {pd.Timedelta(model.step, unit='ns')} | {_PERIODS[model.season.period]} | "
        f"{between(model.low, model.high)} | {model.history_points} |"
        for name, model in list(models.items())[:MOST_LISTED]
    ]
    more = len(models) - MOST_LISTED
    return [*lines, "", f"… and {more:,} more."] if more > 0 else lines


def _calibration(scorer: SeriesScorer) -> list[str]:
    rows = sum(calibration.rows for calibration in scorer.calibrations.values())
    return [f"{CALIBRATION} Held-out points in all: {rows:,}."]


def _limits(scorer: SeriesScorer) -> list[str]:
    short = scorer.evidence.short
    lines = [
        f"- A series unknown at training is judged by its last cycle alone, after {LEAST} points.",
        CLOCK.format(**scorer.parameters),
        "- A missing value is judged only by how long it lasts.",
    ]
    if short:
        named = ", ".join(short[:MOST_LISTED])
        lines.append(f"- {len(short)} series had fewer than {LEAST_POINTS} points and count as unknown: {named}.")
    return lines
