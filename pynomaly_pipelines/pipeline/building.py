"""PipelineSpec -> Dagster definitions."""

import dagster as dg

from pynomaly_pipelines.automation.drift import watched
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.pipeline.data import aggregated_asset, raw_asset, source_asset, validated_assets
from pynomaly_pipelines.pipeline.incidents import has_incidents, incidents_asset
from pynomaly_pipelines.pipeline.jobs import jobs, latest_schedule, sensors
from pynomaly_pipelines.pipeline.models import champion_asset, evaluation_asset, model_asset
from pynomaly_pipelines.pipeline.scores import drift_asset, scores_asset
from pynomaly_pipelines.pipeline.wiring import Wiring
from pynomaly_pipelines.resources.configurable import resources
from pynomaly_pipelines.spec import PipelineSpec


def build_pipeline(spec: PipelineSpec, settings: Settings | None = None) -> dg.Definitions:
    """Everything Dagster needs to know of one pipeline."""
    live = (settings or Settings.from_environment()).live
    wiring = Wiring(spec)
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        source_asset(spec),
        raw_asset(wiring),
        *([aggregated_asset(wiring)] if spec.aggregate else []),
        validated_assets(wiring),
        model_asset(wiring),
        evaluation_asset(wiring),
        champion_asset(wiring),
        scores_asset(wiring),
        *([drift_asset(wiring)] if watched(spec) else []),
        *([incidents_asset(wiring)] if has_incidents(spec) else []),
    ]
    parts = jobs(spec)
    return dg.Definitions(
        assets=assets,
        jobs=list(parts.values()),
        schedules=[latest_schedule(wiring, parts["ingest"], live=live)] if spec.automation.schedule else [],
        sensors=[*sensors(spec, live=live)],
    )


def standalone(spec: PipelineSpec, settings: Settings) -> dg.Definitions:
    """One pipeline with the resources it needs, apart from all others: what a command runs."""
    shared = dg.Definitions(resources=resources(settings), executor=dg.in_process_executor)
    return dg.Definitions.merge(build_pipeline(spec, settings), shared)
