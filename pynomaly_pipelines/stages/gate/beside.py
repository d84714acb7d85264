"""The rules a challenger meets beside another model on the same rows, each a small function: a pair -> one criterion.

Labels decide, or injected anomalies where labels are too few; flags, ranks and cost may object. Beside a version that
a person took back, likeness objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.gate import statistics
from pynomaly_pipelines.stages.gate.alone import Side
from pynomaly_pipelines.stages.gate.replay import Found, Replay
from pynomaly_pipelines.stages.gate.statistics import Difference
from pynomaly_pipelines.stages.gate.verdict import Criterion, Outcome, judged

FEWEST_AT_TOP = 10


@dataclass(frozen=True)
class Pair:
    """Both models on the same replay."""

    spec: PipelineSpec
    replay: Replay
    challenger: Side
    champion: Side
    failing: tuple[Criterion, ...] = ()
    """Rules the champion itself breaks on these rows."""
    outlived: str = ""
    """Since when the data is another than all the champion was fitted on; empty while it is not."""

    @cached_property
    def labelled(self) -> statistics.Labelled | None:
        """What labels say of both; None where too few rows are labelled anomalies, or none is labelled otherwise."""
        labels = self.replay.labels
        if labels is None:
            return None
        known = np.isfinite(labels) & self.scored
        anomalies = int((labels[known] == 1).sum())
        if anomalies < self.spec.promotion.min_labelled or anomalies == known.sum():
            return None
        sides = (self.challenger, self.champion)
        units = np.unique(self.replay.units[known], return_inverse=True)[1]
        scores, flags = (s.performance.scores[known] for s in sides), (s.flags[known] for s in sides)
        return statistics.compare_labelled(
            labels[known], (next(scores), next(scores)), (next(flags), next(flags)), units, self.spec.training.seed
        )

    @cached_property
    def scored(self) -> np.ndarray:
        """Held-out rows that both models have a score of, bool[n]."""
        return np.asarray(
            np.isfinite(self.challenger.performance.scores) & np.isfinite(self.champion.performance.scores)
        )

    @cached_property
    def injected(self) -> list[tuple[Found, Found]]:
        """By kind, what both models found of the injected anomalies that both have scores of."""
        mine, theirs = self.challenger.performance.injected, self.champion.performance.injected
        pairs = [_both_known(mine[kind], theirs[kind]) for kind in mine]
        return [(one, other) for one, other in pairs if len(one.touched) and len(one.calm)]


# ----------------------------------------------------------------------------------------- beside the champion


def labels(pair: Pair) -> Criterion | None:
    """Average precision on known anomalies: better, and surely not worse by more than the tolerance."""
    told = pair.labelled
    if told is None:
        return None
    what = f"average precision on {told.anomalies} known anomalies"
    return _deciding(pair, "labels", what, told.average_precision)


def injected(pair: Pair) -> Criterion | None:
    """Mean ROC AUC of injected anomalies: decides where labels can't, else it must not be surely worse."""
    if not pair.injected:
        return None
    mine, theirs = ([(f[side].touched, f[side].calm) for f in pair.injected] for side in (0, 1))
    difference = statistics.compare_auc(mine, theirs)
    if pair.labelled is None:
        return _deciding(pair, "injected anomalies", "mean ROC AUC of injected anomalies", difference)
    tolerance = pair.spec.promotion.injected_tolerance
    return _not_worse("injected anomalies", "mean ROC AUC of injected anomalies", difference, tolerance)


def injected_recall(pair: Pair) -> Criterion | None:
    """The share of the same injected anomalies that each flags."""
    if not pair.injected:
        return None
    mine = [one.touched > pair.challenger.threshold for one, _ in pair.injected]
    theirs = [other.touched > pair.champion.threshold for _, other in pair.injected]
    found, tolerance = statistics.compare_recall(mine, theirs), pair.spec.promotion.injected_tolerance
    return _not_worse("injected recall", "share of injected anomalies flagged", found, tolerance)


def precision(pair: Pair) -> Criterion | None:
    """Of what each flags, the share that is a known anomaly."""
    if pair.labelled is None or pair.labelled.precision is None:
        return None
    return _not_worse("precision", "precision at the threshold", pair.labelled.precision, pair.spec.promotion.tolerance)


def recall(pair: Pair) -> Criterion | None:
    """Of the known anomalies, the share each flags."""
    if pair.labelled is None:
        return None
    return _not_worse("recall", "recall at the threshold", pair.labelled.recall, pair.spec.promotion.tolerance)


def rank_agreement(pair: Pair) -> Criterion | None:
    """Two models of the same data rank rows alike; a wildly different order needs labels or a person to be believed."""
    mine, theirs = (side.performance.scores[pair.scored] for side in (pair.challenger, pair.champion))
    agreement = statistics.rank_agreement(mine, theirs)
    if agreement is None:
        return None
    most = max(FEWEST_AT_TOP, round(pair.spec.alert_rate * len(mine)))
    overlap = statistics.top_overlap(mine, theirs, most)
    least = pair.spec.promotion.min_agreement
    said = f"ranks agree with the champion's by {agreement:.2f} (Spearman); of the top {most}, {overlap:.0%} are shared"
    strange = agreement < least and pair.labelled is None
    outcome: Outcome = "held" if strange else "passed"
    said += f"; without labels a person has to look at an agreement below {least:g}" if strange else ""
    rule = f"rank correlation with the champion is at least {least:g}, unless labels decide"
    return Criterion("rank agreement", rule, outcome, said, challenger=agreement)


def cost(pair: Pair) -> Criterion:
    """Processor time of scoring, as a multiple of the champion's."""
    mine, theirs = (s.performance.milliseconds_per_1000 for s in (pair.challenger, pair.champion))
    rules = pair.spec.promotion
    ratio = mine / max(theirs, 1e-9)
    passed = mine <= rules.free_cost_ms or ratio <= rules.max_cost_ratio
    said = f"scoring 1,000 rows takes {mine:.3g} ms of processor time, the champion {theirs:.3g} ms"
    said += "" if passed else f": {ratio:.3g} times as much"
    rule = f"at most {rules.max_cost_ratio:g} times the champion's time, or {rules.free_cost_ms:g} ms per 1,000 rows"
    return judged("scoring cost", rule, passed, said, champion=theirs, challenger=mine)


BESIDE_CHAMPION: tuple[Callable[[Pair], Criterion | None], ...] = (
    labels,
    injected,
    precision,
    recall,
    injected_recall,
    rank_agreement,
    cost,
)


# ------------------------------------------------------------------------------------ beside what was taken back


def not_taken_back(pair: Pair, reason: str) -> Criterion:
    """It is not the version a person took back under another number, nor worse than it.

    Args:
        pair: the challenger, and the version taken back in the champion's place.
        reason: why it was taken back, in the person's words.
    """
    number = pair.champion.number
    both = (side.performance.scores[pair.scored] for side in (pair.challenger, pair.champion))
    agreement = statistics.rank_agreement(next(both), next(both))
    same = agreement is not None and agreement >= pair.spec.promotion.same_ranking
    better = _gain(labels(pair) or injected(pair)) > 0
    why = f" ({reason})" if reason else ""
    shown = "" if agreement is None else f" (Spearman {agreement:.2f})"
    if same:
        said = f"it ranks rows as version {number} does{shown}, which was rolled back{why}"
    elif not better:
        said = f"it is no better than version {number}, which was rolled back{why}"
    else:
        said = f"unlike version {number}{shown}, which was rolled back, and better"
    outcome: Outcome = "passed" if better and not same else "held"
    rule = f"is not version {number} again, which a person took back"
    return Criterion("rolled back", rule, outcome, said, challenger=agreement)


# ------------------------------------------------------------------------------------------------------ helpers


def _deciding(pair: Pair, name: str, what: str, found: Difference) -> Criterion:
    """Better and not worse beyond noise; not worse beyond noise is enough against a champion that breaks a rule."""
    if pair.outlived:
        return _deciding_after_drift(pair, name, what, found)
    tolerance = pair.spec.promotion.tolerance
    within, better = found.low >= -tolerance, found.value > pair.spec.promotion.min_gain
    said = f"{what} {found.challenger:.3f}, champion {found.champion:.3f}, difference {found}"
    if not within:
        said += f"; it may be worse by more than {tolerance:g}"
    elif not better and pair.failing:
        said += f"; not worse, and the champion breaks a rule: {pair.failing[0].sentence}"
    elif not better:
        said += "; no better, so the champion stays"
    passed = within and (better or bool(pair.failing))
    rule = f"{what} is higher, and by its 95 % interval not lower by more than {tolerance:g}"
    return _compared(name, rule, passed, said, found, decides=True)


def _deciding_after_drift(pair: Pair, name: str, what: str, found: Difference) -> Criterion:
    """What the champion knows is past, and the few rows since then leave wide intervals: the figure itself decides."""
    tolerance = pair.spec.promotion.tolerance
    passed = found.value >= -tolerance
    said = f"{what} {found.challenger:.3f}, champion {found.champion:.3f}, difference {found}"
    said += "" if passed else f"; worse by more than {tolerance:g}"
    said += f"; the champion was fitted on what came before the drift of {pair.outlived} alone"
    rule = f"{what} is not lower by more than {tolerance:g}, against a champion from before a drift"
    return _compared(name, rule, passed, said, found, decides=True)


def _gain(criterion: Criterion | None) -> float:
    if criterion is None or criterion.challenger is None or criterion.champion is None:
        return 0.0
    return criterion.challenger - criterion.champion


def _not_worse(name: str, what: str, found: Difference, tolerance: float) -> Criterion:
    passed = found.high >= -tolerance
    said = f"{what} {found.challenger:.3f}, champion {found.champion:.3f}, difference {found}"
    said += "" if passed else f"; surely worse by more than {tolerance:g}"
    return _compared(name, f"{what} is not surely lower by more than {tolerance:g}", passed, said, found)


def _compared(name: str, rule: str, passed: bool, said: str, found: Difference, *, decides: bool = False) -> Criterion:
    made = judged(name, rule, passed, said, found.challenger, found.low, found.high, found.champion)
    return replace(made, decides=decides)


def _both_known(one: Found, other: Found) -> tuple[Found, Found]:
    touched = np.isfinite(one.touched) & np.isfinite(other.touched)
    calm = np.isfinite(one.calm) & np.isfinite(other.calm)
    return Found(one.touched[touched], one.calm[calm]), Found(other.touched[touched], other.calm[calm])
