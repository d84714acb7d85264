"""`incidents` as a Dagster asset: anomalies that belong together, for people to act on."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pynomaly_pipelines import presentation
from pynomaly_pipelines.automation import conditions
from pynomaly_pipelines.pipeline.wiring import Wiring, fence, told
from pynomaly_pipelines.resources.configurable import LakeResource
from pynomaly_pipelines.spec import PipelineSpec


def has_incidents(spec: PipelineSpec) -> bool:
    """Whether the pipeline's anomalies have a time, without which none belong together."""
    return spec.time is not None


def incidents_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Scored partitions -> the incidents in and around them."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__incidents",
        specs=[
            wiring.spec_of(
                "incidents",
                deps=["scores"],
                kinds={"deltalake"},
                description="Anomalies of one entity near in time, with reasons; what people are told of.",
                automation_condition=conditions.watch(wiring.key("scores")),
            )
        ],
        backfill_policy=wiring.backfill,
        retry_policy=wiring.retries,
        # Incidents reach over partitions: one round at a time sees what the one before it wrote.
        pool=f"{spec.name}_incidents",
    )
    def incidents(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.incidents.following import follow

        with told(context):
            tables, partitions = lake.open(fence(context)), wiring.partitions(context)
            report = follow(spec, partitions, tables)
        presentation.counted(
            context,
            wiring.key("incidents"),
            {part.key: {"rows": sum(i.partitions[0] == part.key for i in report.found)} for part in partitions},
        )
        yield dg.MaterializeResult(
            asset_key=wiring.key("incidents"), metadata=presentation.of_incidents(spec, tables, report)
        )

    return incidents
