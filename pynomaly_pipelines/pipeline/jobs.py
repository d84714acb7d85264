"""Jobs, schedules and sensors of a pipeline: what runs on its own."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pynomaly_pipelines.automation.alerts import build_alerts
from pynomaly_pipelines.automation.arrivals import build_arrivals
from pynomaly_pipelines.automation.drift import build_drift, watched
from pynomaly_pipelines.automation.feedback import build_feedback
from pynomaly_pipelines.automation.promotions import build_promotions
from pynomaly_pipelines.automation.reruns import build_reruns
from pynomaly_pipelines.partitions import WHOLE, Calendar
from pynomaly_pipelines.pipeline.incidents import has_incidents
from pynomaly_pipelines.pipeline.wiring import PARTITIONED, TRAINED, Wiring
from pynomaly_pipelines.spec import PipelineSpec

PARTS = ("ingest", "validate", "train", "score")
"""The parts of a pipeline that run on their own; each is a job, `<pipeline>_<part>`."""


def jobs(spec: PipelineSpec) -> dict[str, Any]:
    """The parts of a pipeline that run on their own: bring data in, judge it again, make a model, score."""
    score = ("scores", *(["drift"] if watched(spec) else []), *(["incidents"] if has_incidents(spec) else []))
    judged = PARTITIONED[1:3]
    parts = {"ingest": (*spec.incoming, *judged), "validate": judged, "train": TRAINED, "score": score}
    return {
        verb: dg.define_asset_job(
            f"{spec.name}_{verb}",
            selection=dg.AssetSelection.assets(*[[spec.name, noun] for noun in nouns]),
            tags={"pipeline": spec.name},
            description=f"{', '.join(nouns)} of {spec.name}",
        )
        for verb, nouns in parts.items()
    }


def latest_schedule(wiring: Wiring, ingest: Any, *, live: bool) -> dg.ScheduleDefinition:
    """Ingest the latest complete partition at the times of `automation.schedule`; scoring follows by itself."""
    spec = wiring.spec
    assert spec.automation.schedule is not None

    @dg.schedule(
        name=f"{spec.name}_schedule",
        job=ingest,
        cron_schedule=spec.automation.schedule,
        execution_timezone=spec.timezone,
        description=f"Ingests and validates the latest partition of {spec.name}.",
        default_status=status(live, dg.DefaultScheduleStatus),
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        latest = Calendar(spec).latest_complete(context.scheduled_execution_time)
        if latest is None:
            return dg.SkipReason(f"no partition of {spec.name} is complete yet; the first starts on {spec.start}")
        key = None if latest.key == WHOLE else latest.key
        return dg.RunRequest(partition_key=key, tags={"pynomaly/trigger": "schedule"})

    return schedule


def sensors(spec: PipelineSpec, *, live: bool) -> Iterator[dg.SensorDefinition]:
    """Arrivals, declarative automation, promotions by hand and reruns."""
    if spec.automation.arrivals:
        yield build_arrivals(spec, live=live)
    yield dg.AutomationConditionSensorDefinition(
        f"{spec.name}_automation",
        target=dg.AssetSelection.groups(spec.name),
        description=f"Trains, evaluates, registers and scores {spec.name} when its conditions hold.",
        minimum_interval_seconds=15,
        run_tags={"pipeline": spec.name, "pynomaly/trigger": "automation"},
        default_status=status(live, dg.DefaultSensorStatus),
    )
    yield build_promotions(spec, live=live)
    if watched(spec) and spec.drift.retrain:
        yield build_drift(spec, TRAINED, live=live)
    if spec.automation.retrain_verdicts is not None and has_incidents(spec):
        yield build_feedback(spec, TRAINED, live=live)
    yield build_reruns(spec, live=live)
    if spec.notify is not None:
        yield build_alerts(spec, live=live)


def status(live: bool, kind: Any) -> Any:
    return kind.RUNNING if live else kind.STOPPED
