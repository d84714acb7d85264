"""PipelineSpec -> assets, checks, jobs, schedules and sensors, in the order data flows: the only wiring."""

from pynomaly_pipelines.pipeline.building import build_pipeline, standalone
from pynomaly_pipelines.pipeline.data import aggregated_asset, raw_asset, source_asset, validated_assets
from pynomaly_pipelines.pipeline.jobs import PARTS, jobs, latest_schedule, sensors
from pynomaly_pipelines.pipeline.models import champion_asset, evaluation_asset, model_asset
from pynomaly_pipelines.pipeline.scores import drift_asset, scores_asset
from pynomaly_pipelines.pipeline.wiring import (
    CONTRACT_CHECK,
    DRIFTS,
    EXPECTATIONS,
    GATE,
    PARTITIONED,
    RELEASE_REASON,
    RELEASED_BY,
    THRESHOLD,
    TRAINED,
    Wiring,
    code_version,
    note_of,
    partitions_def,
    told,
)

__all__ = [
    "CONTRACT_CHECK",
    "DRIFTS",
    "EXPECTATIONS",
    "GATE",
    "PARTITIONED",
    "PARTS",
    "RELEASED_BY",
    "RELEASE_REASON",
    "THRESHOLD",
    "TRAINED",
    "Wiring",
    "aggregated_asset",
    "build_pipeline",
    "champion_asset",
    "code_version",
    "drift_asset",
    "evaluation_asset",
    "jobs",
    "latest_schedule",
    "model_asset",
    "note_of",
    "partitions_def",
    "raw_asset",
    "scores_asset",
    "sensors",
    "source_asset",
    "standalone",
    "told",
    "validated_assets",
]
