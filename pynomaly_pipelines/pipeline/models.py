"""`model`, `evaluation` and `champion` as Dagster assets: what was learnt, what it is worth, and what scores."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pynomaly_pipelines import presentation
from pynomaly_pipelines.automation import conditions
from pynomaly_pipelines.automation.drift import SINCE_TAG, WHY_TAG, watched
from pynomaly_pipelines.automation.promotions import SOUND_CHECK
from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.pipeline.wiring import GATE, Wiring, fence, told
from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource


def model_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """A window of validated rows -> one registered version per candidate."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__model",
        specs=[
            wiring.spec_of(
                "model",
                deps=["validated"],
                kinds={"pyod", "mlflow"},
                description="The candidates of the last training: one MLflow run and registered version each.",
                skippable=True,
                automation_condition=conditions.train(wiring.key("validated"), spec.automation.retrain),
            )
        ],
        pool="training",
    )
    def model(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]:
        from pynomaly_pipelines.stages.drift.judging import forget
        from pynomaly_pipelines.stages.training import train

        try:
            with told(context, but=NotEnoughData):
                models = registry.open(fence(context))
                since = context.run.tags.get(SINCE_TAG)
                if since is not None:
                    context.log.info(
                        forget(spec, lake.open(fence(context)), since, context.run.tags.get(WHY_TAG, "drift"))
                    )
                versions = train(spec, lake.open(fence(context)), models, context.log.info)
        except NotEnoughData as waiting:
            # Not a failure: the pipeline waits for data. Nothing is made, so nothing downstream runs.
            context.log.warning(str(waiting))
            yield dg.AssetObservation(wiring.key("model"), metadata={"waiting": str(waiting)})
            return
        yield dg.MaterializeResult(asset_key=wiring.key("model"), metadata=presentation.of_models(models, versions))

    return model


def evaluation_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Candidates -> evidence, and a challenger."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__evaluation",
        specs=[
            wiring.spec_of(
                "evaluation",
                deps=["model"],
                kinds={"scikitlearn", "mlflow"},
                description="What each candidate is worth on rows it has not seen. The best becomes challenger.",
                automation_condition=conditions.follow(),
            )
        ],
    )
    def evaluation(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.evaluation import evaluate

        with told(context):
            models = registry.open(fence(context))
            report = evaluate(spec, lake.open(fence(context)), models, context.log.info)
        yield dg.MaterializeResult(
            asset_key=wiring.key("evaluation"), metadata=presentation.of_evaluation(models, report)
        )

    return evaluation


def champion_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Challenger -> champion, through the gate."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__champion",
        specs=[
            wiring.spec_of(
                "champion",
                deps=["evaluation"],
                kinds={"mlflow"},
                description="The version that scores. A challenger takes its place only through the gate.",
                skippable=True,
                automation_condition=conditions.follow(),
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(GATE, asset=wiring.key("champion"), description="The challenger passed the gate."),
            dg.AssetCheckSpec(
                SOUND_CHECK,
                asset=wiring.key("champion"),
                description="The champion, whoever chose it, loads and scores this pipeline's rows.",
            ),
        ],
        retry_policy=wiring.retries,
    )
    def champion(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from pynomaly_pipelines.stages.drift.reference import reference_of
        from pynomaly_pipelines.stages.promotion.registration import register, unsound

        with told(context):
            models = registry.open(fence(context))
            report = register(spec, lake.open(fence(context)), models, run_id=context.run.run_id)
            against = unsound(spec, lake.open(fence(context)), models, report)
            if report.champion is not None and watched(spec):
                reference_of(spec, lake.open(fence(context)), models, report.champion)
        context.log.info(f"version {report.challenger.number} {report.verdict}")
        # A champion that stays is no news: nothing is scored again for it.
        if report.champion is not None and report.champion.number == report.challenger.number:
            yield dg.MaterializeResult(
                asset_key=wiring.key("champion"), metadata=presentation.of_champion(models, report)
            )
        yield presentation.gate_check(models, wiring.key("champion"), GATE, report)
        yield presentation.sound_check(models, wiring.key("champion"), SOUND_CHECK, report.champion, against)

    return champion
