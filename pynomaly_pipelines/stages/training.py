"""A window of validated partitions -> one fitted scorer, MLflow run and registered version per candidate."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.cache import announce, tags
from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.resources.registry import CANDIDATE_PREFIX, Registry, TrainedModel, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import DetectorChoice, PipelineSpec
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.features import SERIES, TIMESTAMP, VALUE, detector_frame, labels_of, needed_columns
from pynomaly_pipelines.stages.incidents import labels as feedback
from pynomaly_pipelines.stages.sides import held_out

if TYPE_CHECKING:
    import pyarrow as pa

    from pynomaly_pipelines.detection import Scorer

HOLDOUT_SHARE = 0.2
RANDOM_HOLDOUT_SHARE = 0.3
FEWEST_PARTITIONS_TO_SPLIT_BY = 5
EXCLUDED = "_excluded"
"""Column of a series' frame: points that keep their place in time and are not learnt from."""
_ENVIRONMENT = ("pynomaly-pipelines", "pyod", "scikit-learn", "numpy", "pandas")


@dataclass(frozen=True)
class Window:
    """Which validated rows a training uses; enough to read the same rows again later."""

    partitions: tuple[str, ...]
    holdout: tuple[str, ...]
    """The latest of `partitions`, kept from fitting; empty where rows are split instead."""
    table_version: int
    max_rows: int
    seed: int
    exclusions: int | None = None
    """Version of the table of exclusions; None where there was none."""
    without: tuple[str, ...] = ()
    """Partitions between the first and the last that are left out as a whole."""
    feedback: int | None = None
    """Version of the table of people's verdicts; None where there was none."""

    def to_json(self) -> str:
        """One tag's worth of text."""
        first_held = self.holdout[0] if self.holdout else ""
        return json.dumps(
            {
                "first": self.partitions[0],
                "last": self.partitions[-1],
                "count": len(self.partitions),
                "holdout_from": first_held,
                "table_version": self.table_version,
                "max_rows": self.max_rows,
                "seed": self.seed,
                "exclusions": self.exclusions,
                "without": self.without,
                "feedback": self.feedback,
            }
        )

    @classmethod
    def from_json(cls, text: str, lake: Lake, pipeline: str) -> Window:
        """The window a version's tag `window` tells of."""
        told = json.loads(text)
        found = sorted(lake.counts(pipeline, "validated", version=told["table_version"]))
        without = tuple(told.get("without", ()))
        inside = tuple(key for key in found if told["first"] <= key <= told["last"] and key not in without)
        held = tuple(key for key in inside if told["holdout_from"] and key >= told["holdout_from"])
        known = told.get("exclusions")
        verdict = told.get("feedback")
        return cls(inside, held, told["table_version"], told["max_rows"], told["seed"], known, without, verdict)


@dataclass(frozen=True)
class Split:
    """The rows of a window: those a model is fitted on and those it is judged by."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    train_labels: np.ndarray | None
    holdout_labels: np.ndarray | None
    history: pd.DataFrame
    """Points before the hold-out, which a series needs as its past; empty for records."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Known incident -> rows of the window that it left out. Points of series stay in the frames, marked."""

    def judged(self, scores: np.ndarray) -> np.ndarray:
        """Scores of the hold-out, NaN at points of known incidents: they are no evidence, for or against."""
        if EXCLUDED not in self.holdout:
            return scores
        return np.where(self.holdout[EXCLUDED].to_numpy(), np.nan, scores)


def choose_window(spec: PipelineSpec, lake: Lake) -> Window:
    """The latest validated partitions, as many as `training.window` allows.

    Raises:
        NotEnoughData: fewer than `training.min_rows` valid rows.
    """
    counts = {key: rows for key, rows in lake.counts(spec.name, "validated").items() if rows}
    known = exclusions.sync(spec, lake)
    usable = exclusions.uncovered(spec, sorted(counts), exclusions.read(spec, lake, known))
    partitions = tuple(usable[-spec.training.window :])
    rows = sum(counts[key] for key in partitions)
    if rows < spec.training.min_rows:
        raise NotEnoughData(
            f"pipeline {spec.name!r} has {rows} valid rows in {len(partitions)} partitions",
            rule=f"training needs at least {spec.training.min_rows} (`training.min_rows`)",
            fix=_more_rows(spec, len(counts) - len(usable)),
        )
    by_partition = len(partitions) >= FEWEST_PARTITIONS_TO_SPLIT_BY
    held = partitions[-max(1, round(HOLDOUT_SHARE * len(partitions))) :] if by_partition else ()
    table_version = lake.version(spec.name, "validated")
    without = tuple(key for key in sorted(counts) if partitions[0] <= key <= partitions[-1] and key not in partitions)
    most, seed = spec.training.max_rows, spec.training.seed
    verdict = feedback.table_version(spec, lake)
    return Window(partitions, held, table_version, most, seed, known, without, verdict)


def _more_rows(spec: PipelineSpec, left_out: int) -> str:
    fix = "ingest more partitions, look into the quarantine, or lower `training.min_rows`"
    more = f"; {left_out} more partitions are left out, `pynomaly exclude {spec.name} --list` says why"
    return fix + (more if left_out else "")


def read_window(spec: PipelineSpec, lake: Lake, window: Window, *, learn: bool = False) -> Split:
    """The window's rows, split into fitting and hold-out; the same window gives the same rows.

    Records: at most `max_rows`, drawn per partition. Series are read whole: a gap would be a lie about time.
    Known incidents are left out of both: rows are dropped, points of series marked. What is labelled an anomaly stays
    in the hold-out, to be found, and in training where `labels.train` lets it be learnt as one. With `learn` the labels
    are people's verdicts alone, and learnt.
    """
    out = () if window.exclusions is None else exclusions.read(spec, lake, window.exclusions)
    judged = None if window.feedback is None else feedback.read(spec, lake, window.feedback)
    more = [*exclusions.columns_of(out), *(() if judged is None else feedback.ROW_COLUMNS)]
    tables = list(read_sampled(spec, lake, window, more))
    frames = [(key, table, _marked(spec, table, out)) for key, table in tables]
    labelled = [(key, frame, _labels(spec, table, frame, judged, learn)) for key, table, frame in frames]
    if window.holdout:
        fit = [entry for entry in labelled if entry[0] not in set(window.holdout)]
        held = [entry for entry in labelled if entry[0] in set(window.holdout)]
        (train, train_labels), (holdout, holdout_labels) = _joined(fit), _joined(held)
    else:
        kept = _held_rows(spec, [table for _, table in tables], [frame for _, frame, _ in labelled], window.seed)
        train, holdout, train_labels, holdout_labels = _split_rows(*_joined(labelled), kept)
    learnt = learn or (spec.labels is not None and spec.labels.train)
    (train, train_labels), missed = _forgiven(spec, train, train_labels, out, keep_known=learnt)
    (holdout, holdout_labels), unjudged = _forgiven(spec, holdout, holdout_labels, out, keep_known=True)
    if spec.kind == "series":
        # Files need not be in the order of time, and a stretch of points has to be one.
        (train, train_labels), (holdout, holdout_labels) = (
            _by_time(train, train_labels),
            _by_time(holdout, holdout_labels),
        )
    history = train if spec.kind == "series" else train.iloc[:0]
    return Split(train, holdout, train_labels, holdout_labels, history, dict(missed + unjudged))


def _labels(
    spec: PipelineSpec, table: pa.Table, frame: pd.DataFrame, judged: pd.DataFrame | None, learn: bool
) -> np.ndarray | None:
    """What the data, the events file and people say, people last; to learn from verdicts, those alone."""
    labels = None if learn else labels_of(spec, table, frame)
    return labels if judged is None else feedback.with_verdicts(table, frame, labels, judged)


def _marked(spec: PipelineSpec, table: pa.Table, out: Sequence[exclusions.Exclusion]) -> pd.DataFrame:
    """The detector's frame, with a column that says which known incident a row belongs to, if there are any."""
    frame = detector_frame(spec, table)
    return frame.assign(**{EXCLUDED: exclusions.mark(spec, table, frame, out)}) if out else frame


def _forgiven(
    spec: PipelineSpec,
    frame: pd.DataFrame,
    labels: np.ndarray | None,
    out: Sequence[exclusions.Exclusion],
    *,
    keep_known: bool,
) -> tuple[tuple[pd.DataFrame, np.ndarray | None], Counter[str]]:
    """Rows without known incidents, points with a mark on them, and how many each incident took."""
    if EXCLUDED not in frame:
        return (frame, labels), Counter()
    marks = frame[EXCLUDED].to_numpy()
    if keep_known and labels is not None:
        marks = np.where(labels == 1, -1, marks)
    taken = Counter({str(out[mark]): int((marks == mark).sum()) for mark in np.unique(marks[marks >= 0])})
    if spec.kind == "series":
        return (frame.assign(**{EXCLUDED: marks >= 0}), labels), taken
    kept = frame[marks < 0].drop(columns=EXCLUDED).reset_index(drop=True)
    return (kept, None if labels is None else labels[marks < 0]), taken


def train(
    spec: PipelineSpec, lake: Lake, registry: Registry, report: Callable[[str], None] = lambda _: None
) -> tuple[Version, ...]:
    """Fit every candidate on the same rows and register each as a version with an alias `candidate-…`.

    Raises:
        NotEnoughData: too few valid rows in the window.
        DetectorError: a candidate's name or parameters are not accepted.
    """
    # The other way round thresholds are derived from windows.
    from pynomaly_pipelines.stages.thresholds.in_force import derive_or_fall_back, rule_of, tags_of

    window = choose_window(spec, lake)
    split = read_window(spec, lake, window)
    schema = lake.schema(spec.name, "validated")
    rule, _ = rule_of(spec, registry)
    made = []
    for choice, rows, labels in _candidates(spec, lake, window, split):
        report(f"fitting {choice.name} on {len(rows.train):,} rows" + (_labels_in_words(labels)))
        started = time.perf_counter()
        scorer = fit(spec, choice, rows.train, labels)
        seconds = time.perf_counter() - started
        threshold = tags_of(rule, derive_or_fall_back(spec, rule, scorer, lake, window))
        made.append(registry.register(spec.name, _described(spec, scorer, rows, window, schema, seconds, threshold)))
    _point_candidates(spec, registry, made)
    announce(tags.champion(spec.name))
    return tuple(made)


def _candidates(
    spec: PipelineSpec, lake: Lake, window: Window, split: Split
) -> Iterator[tuple[DetectorChoice, Split, np.ndarray | None]]:
    """Each candidate with its rows and the labels it sees: those of the YAML, and one that learns from verdicts."""
    shown = shown_labels(spec, split.train_labels)
    for choice in spec.detectors:
        yield choice, split, shown
    if shown is not None or window.feedback is None or spec.kind != "records":
        return
    taught = read_window(spec, lake, window, learn=True)
    labels = taught.train_labels
    if labels is not None and (labels == 1).sum() >= spec.training.min_verdicts and (labels == 0).any():
        yield DetectorChoice(name="auto"), taught, labels


def shown_labels(spec: PipelineSpec, labels: np.ndarray | None) -> np.ndarray | None:
    """What a candidate of the YAML sees of labels: all where `labels.train` allows, none elsewhere."""
    return labels if spec.labels is not None and spec.labels.train else None


def _labels_in_words(labels: np.ndarray | None) -> str:
    if labels is None:
        return ""
    return f", {int((labels == 1).sum()):,} of them known anomalies, {int((labels == 0).sum()):,} known to be none"


def fit(spec: PipelineSpec, choice: DetectorChoice, frame: pd.DataFrame, labels: np.ndarray | None = None) -> Scorer:
    """One candidate fitted on a detector frame, with the labels it may see."""
    from pynomaly_pipelines.detection import Detector, SeriesDetector
    from pynomaly_pipelines.detection.gross import gross_rows

    if spec.kind == "series":
        detector = SeriesDetector(choice.name, seed=spec.training.seed, timezone=spec.timezone, **choice.parameters)
        return detector.fit(frame[[TIMESTAMP, SERIES, VALUE]], labels=labels, exclude=frame.get(EXCLUDED))
    weights = np.where(gross_rows(frame), 0.0, 1.0)
    return Detector(choice.name, seed=spec.training.seed, **choice.parameters).fit(frame, labels, weights)


def read_sampled(
    spec: PipelineSpec, lake: Lake, window: Window, more: Sequence[str] = ()
) -> list[tuple[str, pa.Table]]:
    """The tables of a window's partitions; of records at most `max_rows`, drawn per partition, the same each time."""
    schema = lake.schema(spec.name, "validated")
    own = needed_columns(spec, schema)
    key = spec.key if spec.kind == "records" else ()
    columns = [*own, *(name for name in dict.fromkeys((*key, *more)) if name in schema.names and name not in own)]
    counts = lake.counts(spec.name, "validated", version=window.table_version)
    share = min(1.0, window.max_rows / max(1, sum(counts[key] for key in window.partitions)))
    return [(key, _read_share(spec, lake, window, key, columns, share)) for key in window.partitions]


def _read_share(
    spec: PipelineSpec, lake: Lake, window: Window, key: str, columns: Sequence[str], share: float
) -> pa.Table:
    table = lake.read(spec.name, "validated", partitions=[key], columns=columns, version=window.table_version)
    if share >= 1.0 or spec.kind == "series":
        return table
    # Seeded by the partition's key as well, so that a partition's sample does not depend on its neighbours.
    digest = int.from_bytes(hashlib.blake2b(f"{window.seed}/{key}".encode(), digest_size=8).digest())
    chosen = np.random.default_rng(digest).permutation(table.num_rows)[: int(share * table.num_rows + 1e-9)]
    return table.take(np.sort(chosen))


def _joined(
    entries: Sequence[tuple[str, pd.DataFrame, np.ndarray | None]],
) -> tuple[pd.DataFrame, np.ndarray | None]:
    frame = pd.concat([frame for _, frame, _ in entries], ignore_index=True)
    if entries[0][2] is None:
        return frame, None
    return frame, np.concatenate([labels for _, _, labels in entries if labels is not None])


def _by_time(frame: pd.DataFrame, labels: np.ndarray | None) -> tuple[pd.DataFrame, np.ndarray | None]:
    order = frame[TIMESTAMP].argsort(kind="stable").to_numpy()
    return frame.iloc[order].reset_index(drop=True), None if labels is None else labels[order]


def _held_rows(spec: PipelineSpec, tables: Sequence[pa.Table], frames: Sequence[pd.DataFrame], seed: int) -> np.ndarray:
    """Which rows are held out where there are too few partitions: of a series the latest, of records a lasting draw."""
    if spec.kind == "series":
        times = pd.concat([frame[TIMESTAMP] for frame in frames], ignore_index=True)
        return (times > times.quantile(1 - HOLDOUT_SHARE)).to_numpy()
    return np.concatenate([held_out(spec, table, RANDOM_HOLDOUT_SHARE, seed) for table in tables])


def _split_rows(
    frame: pd.DataFrame, labels: np.ndarray | None, held: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray | None, np.ndarray | None]:
    pick = [None, None] if labels is None else [labels[~held], labels[held]]
    return frame[~held].reset_index(drop=True), frame[held].reset_index(drop=True), pick[0], pick[1]


def _described(
    spec: PipelineSpec,
    scorer: Scorer,
    split: Split,
    window: Window,
    schema: pa.Schema,
    seconds: float,
    threshold_tags: Mapping[str, str],
) -> TrainedModel:
    from pynomaly_pipelines.stages import plots

    threshold = float(threshold_tags["threshold"])
    tags = {
        "detector": scorer.detector,
        "kind": spec.kind,
        **threshold_tags,
        "window": window.to_json(),
        "data_version": f"{spec.name}/validated@{window.table_version}",
        "schema_hash": schema_hash(schema),
        "code_version": distribution_version("pynomaly-pipelines"),
        "spec_hash": hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:8],
    }
    parameters = {
        **{f"detector.{key}": value for key, value in scorer.parameters.items()},
        "seed": spec.training.seed,
        "rows": len(split.train),
        "rows_holdout": len(split.holdout),
        "rows_excluded": sum(split.excluded.values()),
        "partitions": f"{window.partitions[0]} … {window.partitions[-1]}",
        **{f"env.{name}": distribution_version(name) for name in _ENVIRONMENT},
        "env.python": platform.python_version(),
    }
    return TrainedModel(
        scorer=scorer,
        example=example_rows(spec, split.train),
        parameters=parameters,
        tags=tags,
        metrics={"fit_seconds": seconds, "threshold": threshold, "rows_fitted": float(scorer.rows_fitted)},
        notes=_notes(split),
        plots={"training_scores.png": plots.score_histogram(_some_scores(spec, scorer, split), threshold)},
    )


def _notes(split: Split) -> str:
    """What the model card says of known incidents."""
    if not split.excluded:
        return ""
    lines = [f"- {incident}: {rows:,} rows" for incident, rows in sorted(split.excluded.items())]
    return "\n".join(["", "## Left out as known incidents", "", *lines, ""])


def example_rows(spec: PipelineSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """A few rows for the model's signature; a series shows one series' last points."""
    if spec.kind == "series":
        one: pd.DataFrame = frame[frame[SERIES] == frame[SERIES].iloc[0]]
        return one[[TIMESTAMP, SERIES, VALUE]].tail(5).reset_index(drop=True)
    return frame.head(5)


def schema_hash(schema: pa.Schema) -> str:
    """A digest of column names and types, in table order."""
    text = "\n".join(f"{field.name}: {field.type}" for field in schema)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _some_scores(spec: PipelineSpec, scorer: Scorer, split: Split) -> np.ndarray:
    frame = split.train if spec.kind == "series" else split.train.head(20_000)
    columns = [TIMESTAMP, SERIES, VALUE] if spec.kind == "series" else list(frame.columns)
    return scorer.score(frame[columns])


def _point_candidates(spec: PipelineSpec, registry: Registry, made: Sequence[Version]) -> None:
    for old in registry.candidates(spec.name):
        for alias in old.aliases:
            if alias.startswith(CANDIDATE_PREFIX):
                registry.unpoint(alias, spec.name)
    for index, version in enumerate(made, start=1):
        registry.point(f"{CANDIDATE_PREFIX}{index}-{version.detector.lower()}", version)
