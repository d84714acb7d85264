"""Candidates -> evidence on rows they were not fitted on, and the one that goes on as challenger.

With labels: ROC AUC, average precision and precision at the threshold, each with a 95 % bootstrap interval. Without:
recall of injected anomalies, stability under refitting, alert rate. Both kinds are always reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.errors import DataError, DetectorError, NotEnoughData
from pynomaly_pipelines.resources.registry import CHALLENGER, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import DetectorChoice, PipelineSpec
from pynomaly_pipelines.stages import plots
from pynomaly_pipelines.stages.features import TIMESTAMP
from pynomaly_pipelines.stages.gate import statistics
from pynomaly_pipelines.stages.gate.replay import Performance, Replay, perform, replay_of
from pynomaly_pipelines.stages.training import Split, Window, fit, read_window

if TYPE_CHECKING:
    from pynomaly_pipelines.detection import Scorer

RESAMPLES = 200
MOST_REFITTED = 10_000
_TABLE_HEAD = (
    "version",
    "detector",
    "evidence",
    "ROC AUC",
    "average precision",
    "precision",
    "alert rate",
    "injected found",
    "stability",
    "ms / 1000 rows",
)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} – {self.high:.3f})"


@dataclass(frozen=True)
class Labelled:
    """What labels say. Rows without a label are left out."""

    rows: int
    anomalies: int
    roc_auc: Interval
    average_precision: Interval
    precision: Interval | None
    """At the threshold; None where nothing was flagged."""
    recall: float


@dataclass(frozen=True)
class Evaluation:
    """The evidence on one version."""

    version: int
    detector: str
    rows: int
    threshold: float
    alert_rate: float
    injected_recall: dict[str, float]
    """Share of injected anomalies over the threshold, by kind."""
    injected_auc: dict[str, float]
    """ROC AUC of injected against untouched rows (series: stretches of the same length), by kind."""
    stability: float | None
    """Rank correlation of hold-out scores after fitting on either half of the training rows; None if not possible."""
    milliseconds_per_1000: float
    labelled: Labelled | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def evidence(self) -> float:
        """One figure to rank candidates by: average precision where there are labels, else ROC AUC of the injected."""
        if self.labelled is not None:
            return self.labelled.average_precision.value
        return float(np.mean(list(self.injected_auc.values()))) if self.injected_auc else 0.0

    @property
    def evidence_name(self) -> str:
        """What `evidence` is."""
        if self.labelled is not None:
            return "average precision"
        return "mean ROC AUC of injected anomalies"

    def metrics(self) -> dict[str, float]:
        """The figures under the names they have in MLflow."""
        found = {
            "holdout_rows": float(self.rows),
            "alert_rate": self.alert_rate,
            "ms_per_1000_rows": self.milliseconds_per_1000,
            **{f"injected_recall_{kind}": value for kind, value in self.injected_recall.items()},
            **{f"injected_auc_{kind}": value for kind, value in self.injected_auc.items()},
        }
        if self.stability is not None:
            found["stability"] = self.stability
        if self.labelled is not None:
            found |= {"roc_auc": self.labelled.roc_auc.value, "recall": self.labelled.recall}
            found |= {"average_precision": self.labelled.average_precision.value}
            if self.labelled.precision is not None:
                found["precision"] = self.labelled.precision.value
        return found

    def to_json(self) -> str:
        """Everything, for the run's artifacts."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class EvaluationReport:
    """All candidates of a training, best first; the first is the challenger."""

    evaluations: tuple[Evaluation, ...]
    challenger: Version
    pictures: dict[str, bytes]

    def markdown(self) -> str:
        """A table of the candidates for the UI."""
        head = f"| {' | '.join(_TABLE_HEAD)} |"
        return "\n".join([head, "|" + " --- |" * len(_TABLE_HEAD), *(_markdown_row(e) for e in self.evaluations)])


def evaluate(
    spec: PipelineSpec, lake: Lake, registry: Registry, report: Callable[[str], None] = lambda _: None
) -> EvaluationReport:
    """Judge the candidates of the last training and point `challenger` at the best.

    Raises:
        NotEnoughData: nothing was trained yet, or the hold-out is empty.
    """
    candidates = registry.candidates(spec.name)
    if not candidates:
        raise NotEnoughData(
            f"pipeline {spec.name!r} has no candidates",
            rule="an evaluation judges the versions of the last training",
            fix=f"materialize `{spec.name}/model` first",
        )
    window = Window.from_json(candidates[0].tags["window"], lake, spec.name)
    split = read_window(spec, lake, window)
    judged = []
    for version in candidates:
        report(f"evaluating version {version.number} ({version.detector})")
        evaluation, pictures = judge(spec, version, registry.load(version), split)
        _record(registry, version, evaluation, pictures)
        judged.append((evaluation, version, pictures))
    judged.sort(key=lambda entry: -entry[0].evidence)
    best = judged[0]
    registry.point(CHALLENGER, best[1])
    return EvaluationReport(tuple(entry[0] for entry in judged), best[1], best[2])


def judge(spec: PipelineSpec, version: Version, scorer: Scorer, split: Split) -> tuple[Evaluation, dict[str, bytes]]:
    """The evidence on one scorer over a hold-out, and the plots a person would look at."""
    threshold, replay = version.threshold, replay_of(spec, split)
    performance = perform(replay, scorer)
    held = performance.scores
    if not np.isfinite(held).any():
        raise NotEnoughData(
            f"none of the {len(held)} hold-out rows of {spec.name!r} could be scored",
            rule="the hold-out needs rows with enough history",
            fix="train on a longer window (`training.window`)",
        )
    labelled = _labelled(held, split.holdout_labels, threshold, spec.training.seed)
    recall, auc = _found(performance, threshold)
    stability, notes = _stability(spec, version, split, replay)
    evaluation = Evaluation(
        version=version.number,
        detector=version.detector,
        rows=len(held),
        threshold=threshold,
        alert_rate=float(np.mean(held[np.isfinite(held)] > threshold)),
        injected_recall=recall,
        injected_auc=auc,
        stability=stability,
        milliseconds_per_1000=performance.milliseconds_per_1000,
        labelled=labelled,
        notes=notes,
    )
    pictures = {"holdout_scores.png": plots.score_histogram(held, threshold, split.holdout_labels)}
    if labelled is not None and split.holdout_labels is not None:
        pictures["precision_recall.png"] = plots.precision_recall(split.holdout_labels, held, threshold)
    if spec.kind == "series":
        pictures["holdout_series.png"] = plots.series_scores(
            split.holdout, held, threshold, split.holdout_labels, limit=6
        )
    return evaluation, pictures


def bootstrap(
    labels: np.ndarray, scores: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], float], seed: int
) -> Interval:
    """A measure with its percentile interval over resamples of anomalies and others apart (Efron & Tibshirani 1993)."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)]
    values = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rng.choice(group, len(group)) for group in groups])
        values.append(measure(labels[drawn], scores[drawn]))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Interval(measure(labels, scores), float(low), float(high))


def _labelled(scores: np.ndarray, labels: np.ndarray | None, threshold: float, seed: int) -> Labelled | None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    if labels is None:
        return None
    known = ~np.isnan(labels) & np.isfinite(scores)
    labels, scores = labels[known], scores[known]
    if labels.sum() == 0 or labels.sum() == len(labels):
        return None
    flagged = scores > threshold
    precision = bootstrap(labels, flagged.astype(float), _precision, seed) if flagged.any() else None
    return Labelled(
        rows=len(labels),
        anomalies=int(labels.sum()),
        roc_auc=bootstrap(labels, scores, lambda y, s: float(roc_auc_score(y, s)), seed),
        average_precision=bootstrap(labels, scores, lambda y, s: float(average_precision_score(y, s)), seed),
        precision=precision,
        recall=float(labels[flagged].sum() / labels.sum()),
    )


def _precision(labels: np.ndarray, flagged: np.ndarray) -> float:
    return float(labels[flagged > 0].mean()) if flagged.any() else float("nan")


def _found(performance: Performance, threshold: float) -> tuple[dict[str, float], dict[str, float]]:
    """Recall at the threshold and ROC AUC, by kind of injected anomaly."""
    recall, auc = {}, {}
    for kind, found in performance.injected.items():
        touched, calm = found.touched[np.isfinite(found.touched)], found.calm[np.isfinite(found.calm)]
        if len(touched) and len(calm):
            recall[kind] = float(np.mean(touched > threshold))
            auc[kind] = statistics.auc(touched, calm)
    return recall, auc


def _stability(
    spec: PipelineSpec, version: Version, split: Split, replay: Replay
) -> tuple[float | None, tuple[str, ...]]:
    choice = _choice(spec, version)
    rng = np.random.default_rng(spec.training.seed)
    try:
        halves = [fit(spec, choice, half) for half in _halves(spec, split.train, rng)]
        scores = [half.raw_score(replay.frame)[replay.first :] for half in halves]
    except (DataError, DetectorError) as error:
        return None, (f"stability not measured: {error}",)
    ranks = [pd.Series(s).rank() for s in scores]
    if any(rank.nunique() < 2 for rank in ranks):
        return None, ("stability not measured: all rows of the hold-out score the same",)
    return float(ranks[0].corr(ranks[1])), ()


def _halves(spec: PipelineSpec, train: pd.DataFrame, rng: np.random.Generator) -> list[pd.DataFrame]:
    if spec.kind == "series":
        middle = train[TIMESTAMP].quantile(0.5)
        return [train[train[TIMESTAMP] <= middle], train[train[TIMESTAMP] > middle]]
    order = rng.permutation(len(train))[: 2 * MOST_REFITTED]
    return [train.iloc[np.sort(part)].reset_index(drop=True) for part in np.array_split(order, 2)]


def _choice(spec: PipelineSpec, version: Version) -> DetectorChoice:
    same = [choice for choice in spec.detectors if choice.name.lower() == version.detector.lower()]
    return same[0] if same else DetectorChoice(name=version.detector)


def _record(registry: Registry, version: Version, evaluation: Evaluation, pictures: dict[str, bytes]) -> None:
    registry.log_metrics(version, evaluation.metrics())
    registry.log_files(version, "plots", pictures)
    registry.log_files(version, "evaluation", {"evaluation.json": evaluation.to_json().encode()})
    registry.tag(version, {"evaluation": f"{evaluation.evidence_name} {evaluation.evidence:.3f}"})


def _markdown_row(e: Evaluation) -> str:
    found = ", ".join(f"{kind} {share:.0%}" for kind, share in e.injected_recall.items()) or "–"
    labelled: Sequence[str] = ("–", "–", "–")
    if e.labelled is not None:
        labelled = (str(e.labelled.roc_auc), str(e.labelled.average_precision), str(e.labelled.precision or "–"))
    stability = "–" if e.stability is None else f"{e.stability:.3f}"
    cells = [f"{e.version}", e.detector, f"{e.evidence:.3f} {e.evidence_name}", *labelled, f"{e.alert_rate:.2%}", found]
    return "| " + " | ".join([*cells, stability, f"{e.milliseconds_per_1000:.1f}"]) + " |"
