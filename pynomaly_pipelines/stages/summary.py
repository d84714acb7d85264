"""A pipeline's tables and registry -> the few figures and pictures a person asks for first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.resources.registry import CHAMPION, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import plots
from pynomaly_pipelines.stages.scoring import reason_text

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
    """Stored scores, the most anomalous first; `most` bounds memory too, since partitions are read one by one."""
    keys = sorted(lake.counts(spec.name, "scores")) if partitions is None else list(partitions)
    kept: list[pd.DataFrame] = []
    for key in keys:
        part = lake.read(spec.name, "scores", partitions=[key]).to_pandas()
        kept.append(part if most is None else part.nlargest(most, "score"))
        if most is not None and len(kept) > 64:
            kept = [pd.concat(kept).nlargest(most, "score")]
    if not kept:
        kept = [lake.read(spec.name, "scores", partitions=[]).to_pandas()]
    everything = pd.concat(kept, ignore_index=True)
    ordered = everything.sort_values("score", ascending=False, kind="stable", na_position="last")
    return (ordered if most is None else ordered.head(most)).reset_index(drop=True)


def scored_by_others(spec: PipelineSpec, lake: Lake, version: int) -> list[str]:
    """Partitions whose stored scores another model version made."""
    if not lake.exists(spec.name, "scores"):
        return []
    rows = lake.read(spec.name, "scores", columns=["_partition", "model_version"]).to_pandas()
    return sorted(rows.loc[rows["model_version"] != version, "_partition"].unique().tolist())


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
