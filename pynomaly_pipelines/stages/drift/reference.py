"""A champion and the partitions it was trained on -> what later ones are held against, stored with the model.

Records are counted column by column. Of a series what counts is its value less what is usual at that hour, so that
neither a night nor a partition of mornings is drift. Scores are counted as the champion gives them; those of
partitions it was fitted on are a little too good, which the statistics allow for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.drift.cells import Cells
from pynomaly_pipelines.detection.drift.reference import Reference, Subject, build
from pynomaly_pipelines.operations.errors import RegistryError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.features import SERIES, TIMESTAMP, VALUE, detector_frame
from pynomaly_pipelines.stages.training import Window, read_sampled

if TYPE_CHECKING:
    import pyarrow as pa

    from pynomaly_pipelines.detection import Scorer
    from pynomaly_pipelines.detection.series import SeriesScorer

FOLDER, FILE = "drift", "reference.json"
VALUES, SCORE, ALERTS, MISSING, NEW, ROWS, QUARANTINED = (
    "values", "scores", "alert rate", "missing", "rare or new values", "rows", "quarantined",
)  # fmt: skip
WHOLE_PIPELINE = "all rows"
"""Name of what is said of a partition as a whole."""


@dataclass(frozen=True)
class Observed:
    """What is looked at of one partition: values and scores by column or series, and how many rows there were."""

    values: Mapping[str, pd.Series]
    scores: Mapping[str, pd.Series]
    rows: int
    quarantined: int
    strangers: int = 0
    """Points of series the model does not know."""
    columns: Sequence[str] = field(default=())
    """Names whose missing values count; none for series, whose points without a value are gone before."""

    @property
    def looked_at(self) -> int:
        """Rows or points that the values are of."""
        return max((len(values) for values in self.values.values()), default=0)


def reference_of(spec: PipelineSpec, lake: Lake, registry: Registry, version: Version) -> Reference:
    """The reference stored with a version; made and stored if it has none yet.

    Raises:
        RegistryError: what is stored can't be read.
    """
    stored = registry.file(version, f"{FOLDER}/{FILE}")
    if not stored:
        made = learn(spec, lake, version, registry.load(version))
        registry.log_files(version, FOLDER, {FILE: made.to_json().encode()})
        return made
    try:
        return Reference.from_json(stored)
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"version {version.number} of {spec.name!r} carries no readable drift reference ({error})",
            rule=f"its run has it as {FOLDER}/{FILE}, as it was written",
            fix="delete that artifact, and it is made anew; or train again",
        ) from error


def learn(spec: PipelineSpec, lake: Lake, version: Version, scorer: Scorer) -> Reference:
    """Count the training partitions of a version; the same window gives the same reference."""
    window = Window.from_json(version.tags["window"], lake, spec.name)
    seen = _observed_window(spec, lake, window, scorer)
    subjects = subjects_of(spec, list(seen.values()))
    size = float(np.median([one.looked_at for one in seen.values()])) if seen else 0.0
    return build(
        subjects,
        {key: tally(subjects, one, version.threshold) for key, one in seen.items()},
        {key: phase_of(spec, key) for key in seen},
        [key for key in window.partitions if key not in window.holdout],
        version.threshold,
        _pooled(spec, size, len(seen)),
    )


def subjects_of(spec: PipelineSpec, parts: Sequence[Observed]) -> list[Subject]:
    """What may drift, with the cells the training partitions give."""
    subjects: list[Subject] = []
    for name in dict.fromkeys(name for part in parts for name in part.values):
        cells = Cells.learn([part.values[name] for part in parts if name in part.values], name)
        subjects.append(Subject("features", name, VALUES, "distribution", cells))
        if spec.kind == "series":
            subjects.append(Subject("quality", name, ROWS, "count"))
            continue
        subjects.append(Subject("quality", name, MISSING, "share"))
        if cells.family == "categories":
            subjects.append(Subject("quality", name, NEW, "share"))
    for name in dict.fromkeys(name for part in parts for name in part.scores):
        cells = Cells.learn([part.scores[name] for part in parts if name in part.scores], name)
        subjects.append(Subject("scores", name, SCORE, "distribution", cells, learnt=True))
    subjects.append(Subject("scores", WHOLE_PIPELINE, ALERTS, "share", as_ratio=True, learnt=True))
    subjects.append(Subject("quality", WHOLE_PIPELINE, ROWS, "count"))
    subjects.append(Subject("quality", WHOLE_PIPELINE, QUARANTINED, "share"))
    if spec.kind == "series":
        subjects.append(Subject("quality", WHOLE_PIPELINE, NEW, "share"))
    return subjects


def tally(subjects: Sequence[Subject], seen: Observed, threshold: float) -> dict[str, np.ndarray]:
    """Counts int64 of one partition by subject; subjects that nothing can be said of are left out."""
    found: dict[str, np.ndarray] = {}
    for subject in subjects:
        counts = _counts(subject, seen, threshold)
        if counts is not None:
            found[subject.key] = np.asarray(counts, dtype=np.int64)
            if subject.cells is not None and subject.what == VALUES:
                found |= _beside(subject, found[subject.key], len(seen.values[subject.name]))
    return found


def phase_of(spec: PipelineSpec, key: str) -> int:
    """What recurs: the weekday of a day, the hour of an hour; 0 for longer partitions."""
    start = Calendar(spec).partition(key).start
    if start is None or spec.partition not in ("daily", "hourly"):
        return 0
    local = start.astimezone(Calendar(spec).zone)
    return local.weekday() if spec.partition == "daily" else local.hour


def observe_records(frame: pd.DataFrame, scores: np.ndarray | None, rows: int, quarantined: int) -> Observed:
    """A partition of records: `frame` as the detector sees it, the champion's scores of the rows if there are any."""
    told = {} if scores is None else {"score": pd.Series(scores).dropna()}
    names = [str(name) for name in frame.columns]
    return Observed({name: frame[name] for name in names}, told, rows, quarantined, columns=names)


def observe_points(
    frame: pd.DataFrame, scores: pd.DataFrame | None, scorer: SeriesScorer, rows: int, quarantined: int
) -> Observed:
    """A partition of series.

    Args:
        frame: points with `timestamp`, `series`, `value`.
        scores: `series`, `score` of the points, if they were scored by this champion.
    """
    values, strangers = {}, 0
    for name, points in frame.groupby(SERIES, sort=True):
        model = scorer.models.get(str(name))
        if model is None:
            strangers += len(points)
            continue
        times = np.asarray(pd.DatetimeIndex(points[TIMESTAMP]).tz_convert("UTC").tz_localize(None).as_unit("ns").asi8)
        values[str(name)] = pd.Series(points[VALUE].to_numpy() - model.season.at(times))
    told = {} if scores is None else {str(n): part["score"].dropna() for n, part in scores.groupby(SERIES, sort=True)}
    known = {name: part for name, part in told.items() if name in scorer.models}
    return Observed(values, known, rows, quarantined, strangers)


def quarantined_rows(spec: PipelineSpec, lake: Lake, version: int | None = None) -> dict[str, int]:
    """Rows set aside of each partition."""
    return lake.counts(spec.name, "quarantine", version=version) if lake.exists(spec.name, "quarantine") else {}


def _observed_window(spec: PipelineSpec, lake: Lake, window: Window, scorer: Scorer) -> dict[str, Observed]:
    out = () if window.exclusions is None else exclusions.read(spec, lake, window.exclusions)
    tables = dict(read_sampled(spec, lake, window, exclusions.columns_of(out)))
    kept = {key: _ordinary(spec, table, out) for key, table in tables.items()}
    frames = {key: frame for key, frame in kept.items() if 2 * len(frame) >= len(detector_frame(spec, tables[key]))}
    rows = lake.counts(spec.name, "validated", version=window.table_version)
    aside = quarantined_rows(spec, lake)
    if spec.kind == "records":
        return {
            key: observe_records(frame, scorer.score(frame), rows.get(key, 0), aside.get(key, 0))
            for key, frame in frames.items()
        }
    return _observed_series(frames, cast("SeriesScorer", scorer), rows, aside)


def _ordinary(spec: PipelineSpec, table: pa.Table, out: Sequence[exclusions.Exclusion]) -> pd.DataFrame:
    """Rows without known incidents: they must not make a difference look usual."""
    frame = detector_frame(spec, table)
    return frame[exclusions.mark(spec, table, frame, out) < 0].reset_index(drop=True)


def _observed_series(
    frames: Mapping[str, pd.DataFrame], scorer: SeriesScorer, rows: Mapping[str, int], aside: Mapping[str, int]
) -> dict[str, Observed]:
    points = pd.concat([frame.assign(_key=key) for key, frame in frames.items()], ignore_index=True)
    points["score"] = scorer.score(points[[TIMESTAMP, SERIES, VALUE]])
    return {
        str(key): observe_points(part, part[[SERIES, "score"]], scorer, rows.get(str(key), 0), aside.get(str(key), 0))
        for key, part in points.groupby("_key", sort=True)
    }


def _counts(subject: Subject, seen: Observed, threshold: float) -> Sequence[int] | np.ndarray | None:
    if subject.kind == "scores":
        return _score_counts(subject, seen, threshold)
    if subject.what == VALUES:
        assert subject.cells is not None
        return subject.cells.count(seen.values[subject.name])[0] if subject.name in seen.values else None
    if subject.name != WHOLE_PIPELINE:
        return [len(seen.values.get(subject.name, ()))] if subject.measure == "count" else None
    return {
        ROWS: [seen.rows],
        QUARANTINED: [seen.quarantined, seen.rows + seen.quarantined],
        NEW: [seen.strangers, seen.strangers + sum(len(values) for values in seen.values.values())],
    }[subject.what]


def _score_counts(subject: Subject, seen: Observed, threshold: float) -> Sequence[int] | np.ndarray | None:
    if subject.what == ALERTS:
        scores = np.concatenate([part.to_numpy() for part in seen.scores.values()] or [np.zeros(0)])
        return [int((scores > threshold).sum()), len(scores)]
    assert subject.cells is not None
    return subject.cells.count(seen.scores[subject.name])[0] if subject.name in seen.scores else None


def _beside(subject: Subject, cells: np.ndarray, rows: int) -> dict[str, np.ndarray]:
    """Missing and new values of a column, which its cells tell as well."""
    known = int(cells.sum())
    found = {f"quality/{subject.name}/{MISSING}": np.array([rows - known, rows])}
    assert subject.cells is not None
    if subject.cells.family == "categories":
        found[f"quality/{subject.name}/{NEW}"] = np.array([cells[-1], known])
    return found


def _pooled(spec: PipelineSpec, size: float, partitions: int) -> int:
    """How many partitions are judged together: enough rows, while there are twice as many to compare as are needed."""
    wanted = int(np.ceil(spec.drift.min_rows / max(size, 1.0)))
    return max(1, min(wanted, partitions // (2 * spec.drift.min_partitions)))
