"""The alias `champion` moved outside the product -> checked, recorded, and told to Dagster, so that scoring follows."""

from collections.abc import Iterator

import dagster as dg

from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource
from pynomaly_pipelines.resources.registry import CHAMPION, Registry, Version
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.promotion.noticing import OutsideMove

GATE_CHECK, SOUND_CHECK = "gate", "sound"


def build_promotions(spec: PipelineSpec, *, live: bool) -> dg.SensorDefinition:
    """The sensor that notices when a person moves the alias in the MLflow UI.

    Its cursor is the champion it last saw. A move is believed when it is seen twice: at the first sight it may be one
    the gate is about to write down.
    """
    key = dg.AssetKey([spec.name, "champion"])

    @dg.sensor(
        name=f"{spec.name}_promotions",
        description=f"Notices, checks and records champions of {spec.name} that were chosen in the MLflow UI.",
        asset_selection=dg.AssetSelection.assets(key),
        minimum_interval_seconds=spec.automation.promotions_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if live else dg.DefaultSensorStatus.STOPPED,
        tags={"pipeline": spec.name},
    )
    def promotions(
        context: dg.SensorEvaluationContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.SensorResult | dg.SkipReason:
        from pynomaly_pipelines.stages.promotion.noticing import recorded, take_note, unrecorded

        models, tables = registry.open(), lake.open()
        champion = models.aliased(spec.name, CHAMPION)
        seen = f"version {champion.number}" if champion is not None else "none"
        if context.cursor == f"settled: {seen}":
            return dg.SkipReason(f"the champion is {seen}, as at the last look")
        if not unrecorded(spec, tables, models):
            context.update_cursor(f"settled: {seen}")
            return dg.SkipReason(f"the champion is {seen}, as recorded")
        if context.cursor != f"moved: {seen}":
            context.update_cursor(f"moved: {seen}")
            known = recorded(tables, spec.name)
            return dg.SkipReason(f"the champion is {seen}, recorded is {known}; it is looked at once more")
        move = take_note(spec, tables, models)
        context.log.info(str(move))
        return dg.SensorResult(asset_events=list(events(spec, models, move)), cursor=f"settled: {seen}")

    return promotions


def events(
    spec: PipelineSpec, registry: Registry, move: OutsideMove
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """A champion that scores is news to all that depends on it; one that does not is an alarm and nothing else."""
    if move.version is not None and move.accepted:
        yield champion_event(spec, registry, move.version, str(move))
    link = {} if move.version is None else {"mlflow": dg.MetadataValue.url(registry.version_url(move.version))}
    yield dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey([spec.name, "champion"]),
        check_name=SOUND_CHECK,
        passed=move.accepted,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(move),
        metadata={"rules": dg.MetadataValue.md(_rules(move)), **link},
    )


def announce(instance: dg.DagsterInstance, spec: PipelineSpec, registry: Registry, how: str) -> Version:
    """Tell Dagster of the champion as it is now, so that what depends on it follows; the champion.

    While Dagster runs live, the latest partitions are scored again by themselves.
    """
    champion = registry.champion(spec.name)
    instance.report_runless_asset_event(champion_event(spec, registry, champion, how))
    return champion


def champion_event(spec: PipelineSpec, registry: Registry, version: Version, how: str) -> dg.AssetMaterialization:
    """The new champion as Dagster's event log tells it, when no run of the gate made it."""
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey([spec.name, "champion"]),
        description=how,
        metadata={
            "version": version.number,
            "detector": version.detector,
            "threshold": version.threshold,
            "how": how,
            "gate": version.tags.get("gate_reason", "it was never asked"),
            "mlflow_version": dg.MetadataValue.url(registry.version_url(version)),
            "mlflow_run": dg.MetadataValue.url(registry.run_url(version)),
        },
    )


def _rules(move: OutsideMove) -> str:
    return "\n".join(f"- {c.rule}: {c.sentence}" for c in move.against) or "loads, and scores the pipeline's rows"
