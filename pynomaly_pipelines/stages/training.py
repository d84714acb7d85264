"""A window of validated partitions -> one fitted scorer, MLflow run and registered version per candidate."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.resources.registry import CANDIDATE_PREFIX, Registry, TrainedModel, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import DetectorChoice, PipelineSpec
from pynomaly_pipelines.stages.features import SERIES, TIMESTAMP, VALUE, detector_frame, labels_of, needed_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from pynomaly_pipelines.detection import Scorer

HOLDOUT_SHARE = 0.2
RANDOM_HOLDOUT_SHARE = 0.3
FEWEST_PARTITIONS_TO_SPLIT_BY = 5
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
            }
        )

    @classmethod
    def from_json(cls, text: str, lake: Lake, pipeline: str) -> Window:
        """The window a version's tag `window` tells of."""
        told = json.loads(text)
        found = sorted(lake.counts(pipeline, "validated", version=told["table_version"]))
        inside = tuple(key for key in found if told["first"] <= key <= told["last"])
        held = tuple(key for key in inside if told["holdout_from"] and key >= told["holdout_from"])
        return cls(inside, held, told["table_version"], told["max_rows"], told["seed"])


@dataclass(frozen=True)
class Split:
    """The rows of a window: those a model is fitted on and those it is judged by."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    train_labels: np.ndarray | None
    holdout_labels: np.ndarray | None
    history: pd.DataFrame
    """Points before the hold-out, which a series needs as its past; empty for records."""


def choose_window(spec: PipelineSpec, lake: Lake) -> Window:
    """The latest validated partitions, as many as `training.window` allows.

    Raises:
        NotEnoughData: fewer than `training.min_rows` valid rows.
    """
    counts = {key: rows for key, rows in lake.counts(spec.name, "validated").items() if rows}
    partitions = tuple(sorted(counts)[-spec.training.window :])
    rows = sum(counts[key] for key in partitions)
    if rows < spec.training.min_rows:
        raise NotEnoughData(
            f"pipeline {spec.name!r} has {rows} valid rows in {len(partitions)} partitions",
            rule=f"training needs at least {spec.training.min_rows} (`training.min_rows`)",
            fix="ingest more partitions, look into the quarantine, or lower `training.min_rows`",
        )
    by_partition = len(partitions) >= FEWEST_PARTITIONS_TO_SPLIT_BY
    held = partitions[-max(1, round(HOLDOUT_SHARE * len(partitions))) :] if by_partition else ()
    table_version = lake.version(spec.name, "validated")
    return Window(partitions, held, table_version, spec.training.max_rows, spec.training.seed)


def read_window(spec: PipelineSpec, lake: Lake, window: Window) -> Split:
    """The window's rows, split into fitting and hold-out; the same window gives the same rows.

    Records: at most `max_rows`, drawn per partition. Series are read whole: a gap would be a lie about time.
    """
    tables = list(read_sampled(spec, lake, window))
    frames = [(key, table, detector_frame(spec, table)) for key, table in tables]
    labelled = [(key, frame, labels_of(spec, table, frame)) for key, table, frame in frames]
    if window.holdout:
        fit = [entry for entry in labelled if entry[0] not in set(window.holdout)]
        held = [entry for entry in labelled if entry[0] in set(window.holdout)]
        (train, train_labels), (holdout, holdout_labels) = _joined(fit), _joined(held)
    else:
        train, holdout, train_labels, holdout_labels = _split_rows(spec, *_joined(labelled), window.seed)
    if spec.kind == "series":
        # Files need not be in the order of time, and a stretch of points has to be one.
        (train, train_labels), (holdout, holdout_labels) = (
            _by_time(train, train_labels),
            _by_time(holdout, holdout_labels),
        )
    history = train if spec.kind == "series" else train.iloc[:0]
    return Split(train, holdout, train_labels, holdout_labels, history)


def train(
    spec: PipelineSpec, lake: Lake, registry: Registry, report: Callable[[str], None] = lambda _: None
) -> tuple[Version, ...]:
    """Fit every candidate on the same rows and register each as a version with an alias `candidate-…`.

    Raises:
        NotEnoughData: too few valid rows in the window.
        DetectorError: a candidate's name or parameters are not accepted.
    """
    # The other way round thresholds are derived from windows.
    from pynomaly_pipelines.stages.thresholding import derive_or_fall_back, rule_of, tags_of

    window = choose_window(spec, lake)
    split = read_window(spec, lake, window)
    schema = lake.schema(spec.name, "validated")
    rule, _ = rule_of(spec, registry)
    made = []
    for choice in spec.detectors:
        report(f"fitting {choice.name} on {len(split.train):,} rows")
        started = time.perf_counter()
        scorer = fit(spec, choice, split.train, split.train_labels)
        seconds = time.perf_counter() - started
        threshold = tags_of(rule, derive_or_fall_back(spec, rule, scorer, lake, window))
        made.append(registry.register(spec.name, _described(spec, scorer, split, window, schema, seconds, threshold)))
    _point_candidates(spec, registry, made)
    return tuple(made)


def fit(spec: PipelineSpec, choice: DetectorChoice, frame: pd.DataFrame, labels: np.ndarray | None = None) -> Scorer:
    """One candidate fitted on a detector frame; it sees labels only where `labels.train` allows."""
    from pynomaly_pipelines.detection import Detector, SeriesDetector

    shown = labels if spec.labels is not None and spec.labels.train else None
    if spec.kind == "series":
        detector = SeriesDetector(choice.name, seed=spec.training.seed, timezone=spec.timezone, **choice.parameters)
        return detector.fit(frame[[TIMESTAMP, SERIES, VALUE]], labels=shown)
    return Detector(choice.name, seed=spec.training.seed, **choice.parameters).fit(frame, labels=shown)


def read_sampled(spec: PipelineSpec, lake: Lake, window: Window) -> list[tuple[str, pa.Table]]:
    """The tables of a window's partitions; of records at most `max_rows`, drawn per partition, the same each time."""
    columns = needed_columns(spec, lake.schema(spec.name, "validated"))
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


def _split_rows(
    spec: PipelineSpec, frame: pd.DataFrame, labels: np.ndarray | None, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray | None, np.ndarray | None]:
    if spec.kind == "series":
        border = frame[TIMESTAMP].quantile(1 - HOLDOUT_SHARE)
        held = (frame[TIMESTAMP] > border).to_numpy()
    else:
        held = _drawn(len(frame), labels, seed)
    pick = [None, None] if labels is None else [labels[~held], labels[held]]
    return frame[~held].reset_index(drop=True), frame[held].reset_index(drop=True), pick[0], pick[1]


def _drawn(rows: int, labels: np.ndarray | None, seed: int) -> np.ndarray:
    """A random hold-out, drawn from anomalies and others alike so that neither side is left without any."""
    strata = np.zeros(rows) if labels is None else np.nan_to_num(labels, nan=0.0)
    rng = np.random.default_rng(seed)
    held = np.zeros(rows, dtype=bool)
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        held[members[: round(RANDOM_HOLDOUT_SHARE * len(members))]] = True
    return held


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
    }
    parameters = {
        **{f"detector.{key}": value for key, value in scorer.parameters.items()},
        "seed": spec.training.seed,
        "rows": len(split.train),
        "rows_holdout": len(split.holdout),
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
        plots={"training_scores.png": plots.score_histogram(_some_scores(spec, scorer, split), threshold)},
    )


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
