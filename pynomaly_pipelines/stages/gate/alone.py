"""The rules a model meets by itself, each a small function: evidence -> one criterion.

Is it sound: columns, finite scores, varying scores. Is it any good: alert rate, chance, injected anomalies, any alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.gate import statistics
from pynomaly_pipelines.stages.gate.replay import Found, Performance, Replay
from pynomaly_pipelines.stages.gate.verdict import Criterion, judged

if TYPE_CHECKING:
    from pynomaly_pipelines.detection import Scorer

MOST_UNSCORED = 0.5
"""Of a series' points: those without enough past have no score, and a model that scores hardly any is no model."""


@dataclass(frozen=True)
class Side:
    """One model and what it made of the replay."""

    number: int
    threshold: float
    performance: Performance

    @property
    def flags(self) -> np.ndarray:
        """Which held-out rows it flags, bool[n]."""
        return np.asarray(np.nan_to_num(self.performance.scores) > self.threshold)


# ------------------------------------------------------------------------------------------------- is it sound


def columns(scorer: Scorer, expected: Sequence[str]) -> Criterion:
    """The model reads the columns the pipeline gives, no others and all of them."""
    own = [column.name for column in scorer.columns]
    lacking, extra = sorted(set(expected) - set(own)), sorted(set(own) - set(expected))
    parts = [f"it ignores {_names(lacking)}"] if lacking else []
    parts += [f"it wants {_names(extra)}, which the pipeline does not give"] if extra else []
    said = f"its columns are not the pipeline's: {', and '.join(parts)}" if parts else f"reads the {len(own)} columns"
    return judged("columns", "reads exactly the pipeline's columns", not parts, said)


def finite(scores: np.ndarray, kind: str) -> Criterion:
    """Every row has a score from 0 to 1; a point of a series may lack one for want of a past."""
    bad = int((~np.isfinite(scores)).sum())
    outside = int(((scores < 0) | (scores > 1)).sum())
    allowed = MOST_UNSCORED * len(scores) if kind == "series" else 0
    rule = "every row has a score from 0 to 1" if kind == "records" else "at least half of the points have a score"
    said = f"{bad:,} of {len(scores):,} rows have no finite score" if bad > allowed else ""
    said = said or (f"{outside:,} of {len(scores):,} scores lie outside 0 to 1" if outside else "")
    infinite = kind == "series" and bool(np.isinf(scores).any())
    passed = not said and not infinite
    told = said or ("some scores are infinite" if infinite else f"{len(scores) - bad:,} of {len(scores):,} rows scored")
    return judged("finite scores", rule, passed, told, challenger=bad / len(scores))


def varying(scores: np.ndarray) -> Criterion:
    """Scores differ; a model that says the same of every row knows nothing."""
    distinct = len(np.unique(scores[np.isfinite(scores)]))
    said = f"{distinct:,} distinct scores" if distinct > 1 else f"it gives every one of {len(scores):,} rows one score"
    return judged("varying scores", "scores differ between rows", distinct > 1, said, challenger=float(distinct))


# ---------------------------------------------------------------------------------------------- is it any good


def alert_rate(spec: PipelineSpec, replay: Replay, side: Side) -> Criterion:
    """Alerts among ordinary rows stay near the budget; only an excess beyond the noise of the count is one."""
    ordinary = np.isfinite(side.performance.scores)
    if replay.labels is not None:
        ordinary &= replay.labels != 1
    flags = side.flags[ordinary]
    rows, hits = len(flags), int(flags.sum())
    low, high = statistics.clustered_interval(flags, replay.units[ordinary]) if rows else (0.0, 1.0)
    limit = alert_limit(spec)
    said = f"it flags {hits:,} of {rows:,} ordinary rows, {hits / max(1, rows):.2%}"
    if low > limit:
        said += f", surely more than {limit:.2%}"
    rule = f"flags at most {limit:.2%} of ordinary rows, {_budget(spec)}"
    return judged("alert rate", rule, low <= limit, said, challenger=hits / max(1, rows), low=low, high=high)


def alert_limit(spec: PipelineSpec) -> float:
    """The largest alert rate the gate lets through; a score, a budget or labels promise no rate of rows."""
    if not _promises_rate(spec):
        return spec.promotion.max_alert_rate
    return min(spec.promotion.alert_factor * spec.alert_rate, spec.promotion.max_alert_rate)


def _promises_rate(spec: PipelineSpec) -> bool:
    rule = spec.threshold
    return rule.score is None and rule.budget is None and rule.labels is None


def _budget(spec: PipelineSpec) -> str:
    if not _promises_rate(spec):
        return "`promotion.max_alert_rate`"
    return f"{spec.promotion.alert_factor:g} times the budget of {spec.alert_rate:.2%}"


def chance(replay: Replay, side: Side, fewest: int) -> Criterion | None:
    """Labels must not say that it is surely worse than guessing."""
    if replay.labels is None:
        return None
    known = np.isfinite(replay.labels) & np.isfinite(side.performance.scores)
    labels, scores = replay.labels[known], side.performance.scores[known]
    if (labels == 1).sum() < fewest or (labels == 0).sum() == 0:
        return None
    touched, calm = scores[labels == 1], scores[labels == 0]
    against = statistics.compare_auc([(touched, calm)], [(np.zeros(len(touched)), np.zeros(len(calm)))])
    low, high = max(0.0, against.low + 0.5), min(1.0, against.high + 0.5)
    said = f"ROC AUC {against.challenger:.3f} ({low:.3f} … {high:.3f}) on {len(touched)} known anomalies"
    said += "" if high >= 0.5 else ": it ranks them below ordinary rows"
    rule = "ranks known anomalies no worse than chance"
    return judged("chance", rule, high >= 0.5, said, challenger=against.challenger, low=low, high=high)


def separation(spec: PipelineSpec, side: Side) -> Criterion | None:
    """Of the kind of injected anomaly it finds best, most rank above what was not touched."""
    found = {kind: _known(one) for kind, one in side.performance.injected.items()}
    aucs = {kind: statistics.auc(f.touched, f.calm) for kind, f in found.items() if len(f.touched) and len(f.calm)}
    if not aucs:
        return None
    kind, best = max(aucs.items(), key=lambda entry: entry[1])
    least = spec.promotion.min_injected_auc
    said = f"of the injected kind it finds best, {kind}, ROC AUC is {best:.2f}"
    said += "" if best >= least else f", not {least:.2f}"
    rule = f"ROC AUC of the injected kind found best is at least {least:.2f}"
    return judged("injected anomalies by themselves", rule, best >= least, said, challenger=best)


def alarm(side: Side) -> Criterion | None:
    """It raises some alarm: a threshold that nothing reaches is no detector."""
    touched = {kind: _known(found).touched for kind, found in side.performance.injected.items()}
    made = sum(len(scores) for scores in touched.values())
    if not made:
        return None
    found = sum(int((scores > side.threshold).sum()) for scores in touched.values())
    silent = not found and not side.flags.any()
    shown = ", ".join(f"{kind} {np.mean(s > side.threshold):.0%}" for kind, s in touched.items() if len(s))
    said = f"it flags nothing: no row and none of {made:,} injected anomalies reaches its threshold" if silent else ""
    said = said or f"of the injected anomalies it flags: {shown}"
    return judged("any alarm", "flags something", not silent, said, challenger=found / made)


# ------------------------------------------------------------------------------------------------------ helpers


def _known(found: Found) -> Found:
    return Found(found.touched[np.isfinite(found.touched)], found.calm[np.isfinite(found.calm)])


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns))
