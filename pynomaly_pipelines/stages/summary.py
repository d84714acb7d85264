"""A pipeline's tables and registry -> the few figures and pictures a person asks for first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from pynomaly_pipelines.resources.registry import CHAMPION, Registry, Version
from pynomaly_pipelines.resources.scanning import Snapshot
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import plots
from pynomaly_pipelines.stages.scoring import reason_text
from pynomaly_pipelines.stages.stored.pages import top
from pynomaly_pipelines.stages.stored.question import Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Summary:
    """One line of the table that `pynomaly demo` and `pynomaly run` end with."""

    pipeline: str
    rows: int
    quarantined: int
    trained_on: int
    champion: Version | None
    scored: int
    anomalies: int


def summarise(spec: PipelineSpec, lake: Lake, registry: Registry) -> Summary:
    """Count what is in the tables now."""
    champion = registry.aliased(spec.name, CHAMPION)
    scores = _flags(spec, lake)
    return Summary(
        pipeline=spec.name,
        rows=_rows(spec, lake, "raw"),
        quarantined=_rows(spec, lake, "quarantine"),
        trained_on=registry.rows_fitted(champion) if champion is not None else 0,
        champion=champion,
        scored=len(scores),
        anomalies=int(scores.sum()),
    )


def top_scores(
    spec: PipelineSpec, lake: Lake, most: int | None = None, partitions: Sequence[str] | None = None
) -> pd.DataFrame:
    """Stored scores, the most anomalous first; `most` bounds memory, too."""
    snapshot = Snapshot(lake, spec.name, "scores")
    question = Question(partitions=tuple(partitions or ()))
    rows = sum(snapshot.counts.values()) if most is None else most
    nothing = partitions is not None and not partitions
    found: pd.DataFrame = top(spec, snapshot, question, 0 if nothing else max(1, rows)).to_pandas()
    return found


def scored_by_others(spec: PipelineSpec, lake: Lake, version: int) -> list[str]:
    """Partitions whose stored scores another model version made, mostly from the table's log alone."""
    if not lake.exists(spec.name, "scores"):
        return []
    snapshot = Snapshot(lake, spec.name, "scores")
    told = {file: file.bounds.get("model_version", (None, None)) for file in snapshot.files}
    others = {file.partition for file, bounds in told.items() if None not in bounds and bounds != (version, version)}
    silent = sorted({file.partition for file, bounds in told.items() if None in bounds} - others)
    for key, piece in snapshot.pieces(silent, ds.field("model_version") != version, columns=["model_version"]):
        if piece.num_rows:
            others.add(key)
    return sorted(others)


def pictures(spec: PipelineSpec, lake: Lake) -> dict[str, bytes]:
    """Plots over all stored scores."""
    columns = ["_partition", "score", "threshold", "is_anomaly"]
    scores = lake.read(spec.name, "scores", columns=columns).to_pandas()
    if scores.empty:
        return {}
    found = {"scores.png": plots.score_histogram(scores["score"].to_numpy(), float(scores["threshold"].iloc[-1]))}
    if scores["_partition"].nunique() > 1:
        found["anomalies_over_time.png"] = plots.anomalies_over_time(scores.groupby("_partition")["is_anomaly"].sum())
    if spec.kind == "series":
        points = lake.read(spec.name, "scores", columns=[spec.time or "", "series", "value", "score"]).to_pandas()
        points = points.rename(columns={spec.time or "": "timestamp"})
        found["series.png"] = plots.series_scores(
            points, points["score"].to_numpy(), float(scores["threshold"].iloc[-1]), limit=9
        )
    return found


def readable(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores for a terminal: reasons as text, without the ids only programs need."""
    shown = scores.drop(
        columns=["_source", "_row", "model_run_id", "run_id", "scored_at", "raw_score"], errors="ignore"
    )
    return shown.assign(reasons=[reason_text(r) for r in shown["reasons"]])


def as_json_lines(scores: pd.DataFrame) -> Iterable[str]:
    """One JSON object a row."""
    for row in scores.to_dict("records"):
        # JSON has no NaN; a point that could not be scored has no score.
        told = {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
        yield json.dumps(told, default=_plain)


def _flags(spec: PipelineSpec, lake: Lake) -> np.ndarray:
    if not lake.exists(spec.name, "scores"):
        return np.zeros(0, dtype=bool)
    return np.asarray(lake.read(spec.name, "scores", columns=["is_anomaly"]).column("is_anomaly"), dtype=bool)


def _rows(spec: PipelineSpec, lake: Lake, noun: str) -> int:
    return sum(lake.counts(spec.name, noun).values()) if lake.exists(spec.name, noun) else 0


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return None if value is pd.NaT else str(value)
