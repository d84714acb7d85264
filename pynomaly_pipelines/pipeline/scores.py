"""`scores` and `drift` as Dagster assets: what new rows are worth a look, and whether they are like the old ones."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pynomaly_pipelines import presentation
from pynomaly_pipelines.automation import conditions
from pynomaly_pipelines.pipeline.wiring import DRIFTS, THRESHOLD, Wiring, fence, freshness, told
from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource


def scores_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Validated rows -> scores by the champion."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__scores",
        specs=[
            wiring.spec_of(
                "scores",
                deps=["validated", "champion"],
                kinds={"deltalake", "pyod"},
                description="A calibrated score and the reasons for it, for each row; replaced when scored again.",
                automation_condition=conditions.score(wiring.key("validated"), wiring.key("champion"), spec.partition),
                freshness_policy=freshness(spec),
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                THRESHOLD,
                asset=wiring.key("scores"),
                description="The threshold follows its rule, and the period so far keeps to the alert budget.",
            )
        ],
        backfill_policy=wiring.backfill,
        retry_policy=wiring.retries,
    )
    def scores(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.scoring import score
        from pynomaly_pipelines.stages.thresholds.budget_kept import budget_kept

        with told(context):
            tables, models, partitions = (
                lake.open(fence(context)),
                registry.open(fence(context)),
                wiring.partitions(context),
            )
            report = score(spec, partitions, tables, models, run_id=context.run.run_id)
            kept = budget_kept(spec, tables, report.version, partitions)
        figures = {key: {"rows": rows, "anomalies": found} for key, (rows, found) in report.per_partition.items()}
        presentation.counted(context, wiring.key("scores"), figures)
        yield dg.MaterializeResult(
            asset_key=wiring.key("scores"),
            metadata=presentation.of_scores(spec, tables, models, report),
            check_results=[presentation.threshold_check(kept, THRESHOLD)],
        )

    return scores


def drift_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Scored partitions -> how they differ from those the champion was trained on."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__drift",
        specs=[
            wiring.spec_of(
                "drift",
                deps=["validated", "quarantine", "scores"],
                kinds={"deltalake"},
                description="How each partition differs from those the champion was trained on, more than they differ.",
                automation_condition=conditions.watch(wiring.key("scores")),
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                name, asset=wiring.key("drift"), description=f"No {kind} drift in the latest partition judged."
            )
            for kind, name in DRIFTS.items()
        ],
        backfill_policy=wiring.backfill,
        retry_policy=wiring.retries,
    )
    def drift(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.drift.judging import watch

        with told(context):
            tables = lake.open(fence(context))
            report = watch(spec, wiring.partitions(context), tables, registry.open(fence(context)))
        presentation.counted(context, wiring.key("drift"), presentation.drift_figures(report))
        yield dg.MaterializeResult(
            asset_key=wiring.key("drift"),
            metadata=presentation.of_drift(spec, tables, report),
            check_results=presentation.drift_checks(report, DRIFTS),
        )

    return drift
