"""Candidates -> evidence on rows they were not fitted on, and the one that goes on as challenger.

With labels: ROC AUC, average precision and precision at the threshold, each with a 95 % bootstrap interval. Without:
recall of injected anomalies, stability under refitting, alert rate. Both kinds are always reported.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.errors import DataError, DetectorError, NotEnoughData, RegistryError
from pynomaly_pipelines.resources.registry import CHALLENGER, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import DetectorChoice, PipelineSpec
from pynomaly_pipelines.stages import injection, plots
from pynomaly_pipelines.stages.features import SERIES, TIMESTAMP, VALUE
from pynomaly_pipelines.stages.training import Split, Window, fit, read_window

if TYPE_CHECKING:
    from pynomaly_pipelines.detection import Scorer

RESAMPLES = 200
MOST_INJECTED = 2_000
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
POINT_COLUMNS = [TIMESTAMP, SERIES, VALUE]


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
        """Everything, for the run's artifacts and the version's tag."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, version: int) -> Evaluation:
        """What `to_json` wrote.

        Raises:
            RegistryError: the text is not an evaluation.
        """
        try:
            told = json.loads(text)
            labelled = told.pop("labelled")
            if labelled is not None:
                for name in ("roc_auc", "average_precision", "precision"):
                    labelled[name] = None if labelled[name] is None else Interval(**labelled[name])
            notes = tuple(told.pop("notes"))
            return cls(**told, labelled=None if labelled is None else Labelled(**labelled), notes=notes)
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise RegistryError(
                f"version {version} carries no readable evaluation",
                rule="the gate decides on the evidence the evaluation stored in the tag `evaluation`",
                fix="materialize the evaluation again",
            ) from error


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


def judge(
    spec: PipelineSpec, version: Version, scorer: Scorer, split: Split, *, refit: bool = True
) -> tuple[Evaluation, dict[str, bytes]]:
    """The evidence on one scorer over a hold-out, and the plots a person would look at; `refit` measures stability."""
    threshold = version.threshold
    frame, first = _with_history(spec, split)
    started = time.perf_counter()
    scores = scorer.score(frame)
    elapsed = time.perf_counter() - started
    held = split.judged(scores[first:])
    if not np.isfinite(held).any():
        raise NotEnoughData(
            f"none of the {len(held)} hold-out rows of {spec.name!r} could be scored",
            rule="the hold-out needs rows with enough history",
            fix="train on a longer window (`training.window`)",
        )
    labelled = _labelled(held, split.holdout_labels, threshold, spec.training.seed)
    recall, auc = _injected(spec, scorer, frame, first, held, threshold)
    stability, notes = _stability(spec, version, split, frame, first) if refit else (None, ())
    evaluation = Evaluation(
        version=version.number,
        detector=version.detector,
        rows=len(held),
        threshold=threshold,
        alert_rate=float(np.mean(np.nan_to_num(held) > threshold)),
        injected_recall=recall,
        injected_auc=auc,
        stability=stability,
        milliseconds_per_1000=1e6 * elapsed / max(1, len(frame)),
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


def _with_history(spec: PipelineSpec, split: Split) -> tuple[pd.DataFrame, int]:
    """The hold-out as a scorer wants it, and the position of its first row."""
    if spec.kind == "records":
        return split.holdout, 0
    frame = pd.concat([split.history, split.holdout], ignore_index=True)[POINT_COLUMNS]
    return frame, len(split.history)


def _injected(
    spec: PipelineSpec, scorer: Scorer, frame: pd.DataFrame, first: int, held: np.ndarray, threshold: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Recall at the threshold and ROC AUC, by kind of injected anomaly."""
    rng = np.random.default_rng(spec.training.seed)
    found = _found_points if spec.kind == "series" else _found_rows
    recall, auc = {}, {}
    for kind, touched, untouched in found(scorer, frame, first, held, rng):
        recall[kind] = float(np.mean(touched > threshold))
        auc[kind] = _separation(touched, untouched)
    return recall, auc


def _found_rows(
    scorer: Scorer, frame: pd.DataFrame, first: int, held: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Kind, scores of injected rows, scores of untouched ones."""
    rows = first + np.sort(rng.permutation(len(frame) - first)[:MOST_INJECTED])
    for injected in injection.into_rows(frame.iloc[rows].reset_index(drop=True), rng):
        yield injected.kind, scorer.score(injected.frame), held


def _found_points(
    scorer: Scorer, frame: pd.DataFrame, first: int, held: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Kind, highest score of each injected stretch, highest of each untouched stretch of the same length."""
    groups = list(frame.iloc[first:].groupby(SERIES, sort=True).indices.values())
    for injected in injection.into_series(frame, first, rng):
        # What has no past yet, a series that is new in the hold-out, has no score: no detector could find it.
        spans = [span for span in injected.spans if np.isfinite(held[span - first]).all()]
        if not spans:
            continue
        scores, length = np.nan_to_num(scorer.score(injected.frame)), len(spans[0])
        touched = np.array([scores[span].max() for span in spans])
        calm = [held[rows][: len(rows) // length * length].reshape(-1, length) for rows in groups]
        highest = np.concatenate([part.max(axis=1) for part in calm])
        yield injected.kind, touched, highest[np.isfinite(highest)]


def _separation(touched: np.ndarray, untouched: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.r_[np.zeros(len(untouched)), np.ones(len(touched))]
    return float(roc_auc_score(truth, np.nan_to_num(np.r_[untouched, touched])))


def _stability(
    spec: PipelineSpec, version: Version, split: Split, frame: pd.DataFrame, first: int
) -> tuple[float | None, tuple[str, ...]]:
    choice = _choice(spec, version)
    rng = np.random.default_rng(spec.training.seed)
    try:
        scores = [fit(spec, choice, half).raw_score(frame)[first:] for half in _halves(spec, split.train, rng)]
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
    registry.tag(version, {"evaluation": evaluation.to_json()})


def _markdown_row(e: Evaluation) -> str:
    found = ", ".join(f"{kind} {share:.0%}" for kind, share in e.injected_recall.items()) or "–"
    labelled: Sequence[str] = ("–", "–", "–")
    if e.labelled is not None:
        labelled = (str(e.labelled.roc_auc), str(e.labelled.average_precision), str(e.labelled.precision or "–"))
    stability = "–" if e.stability is None else f"{e.stability:.3f}"
    cells = [f"{e.version}", e.detector, f"{e.evidence:.3f} {e.evidence_name}", *labelled, f"{e.alert_rate:.2%}", found]
    return "| " + " | ".join([*cells, stability, f"{e.milliseconds_per_1000:.1f}"]) + " |"
