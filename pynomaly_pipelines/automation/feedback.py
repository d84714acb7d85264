"""Enough new verdicts -> one training, with what people said."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from pynomaly_pipelines.resources.configurable import LakeResource
from pynomaly_pipelines.spec import PipelineSpec


def build_feedback(spec: PipelineSpec, trained: Sequence[str], *, live: bool) -> dg.SensorDefinition:
    """The sensor that trains when people have said enough; its cursor is the number of verdicts it last trained for."""
    selection = [dg.AssetKey([spec.name, noun]) for noun in trained]

    @dg.sensor(
        name=f"{spec.name}_feedback",
        description=f"Trains {spec.name} after {spec.automation.retrain_verdicts} new verdicts on its incidents.",
        asset_selection=dg.AssetSelection.assets(*selection),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if live else dg.DefaultSensorStatus.STOPPED,
        tags={"pipeline": spec.name},
    )
    def feedback(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        from pynomaly_pipelines.stages.incidents import states

        assert spec.automation.retrain_verdicts is not None
        verdicts = states.verdicts(spec, lake.open())
        new = verdicts - int(context.cursor or "0")
        if new < spec.automation.retrain_verdicts:
            wanted = f"{spec.automation.retrain_verdicts} (`automation.retrain_verdicts`)"
            return dg.SkipReason(f"{new} verdicts since the last training for them; {wanted} are waited for")
        request = dg.RunRequest(
            run_key=f"{spec.name}/feedback/{verdicts}",
            asset_selection=selection,
            tags={"pipeline": spec.name, "pynomaly/trigger": "feedback", "pynomaly/reason": f"{new} new verdicts"},
        )
        return dg.SensorResult(run_requests=[request], cursor=str(verdicts))

    return feedback
