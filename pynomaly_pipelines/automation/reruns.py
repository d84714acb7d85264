"""A failed run -> one more run of what failed, unless the failure is the data's.

Steps retry transient faults themselves, and Dagster resumes runs whose worker died. This sensor is the third layer:
it launches the failed assets again, as often as the pipeline's `automation.reruns` says. Bad data is not retried, but
a range of partitions of which some were refused is run again without those.
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from pynomaly_pipelines.automation.arrivals import PARTITION_TAG, RANGE_END, RANGE_START, partition_tags, stretches
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.spec import PipelineSpec

ATTEMPT_TAG, OF_TAG = "pynomaly/attempt", "pynomaly/rerun_of"
ACCEPTED, READABLE = "accepted", "readable"
REFUSED = "refused_partitions"
BAD_DATA = "bad_data"
NOT_RETRIED = "bad data is reported, not retried"


def build_reruns(spec: PipelineSpec, *, live: bool) -> dg.SensorDefinition:
    """The failed-run sensor of one pipeline."""

    @dg.run_failure_sensor(
        name=f"{spec.name}_reruns",
        description=f"Launches failed runs of {spec.name} again, by its policy.",
        default_status=dg.DefaultSensorStatus.RUNNING if live else dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=15,
        request_jobs=None,
        monitor_all_code_locations=False,
    )
    def reruns(context: dg.RunFailureSensorContext) -> list[dg.RunRequest] | dg.SkipReason:
        run = context.dagster_run
        selected = planned_assets(context.instance, run.run_id, spec.name)
        if not selected:
            return dg.SkipReason(f"run {run.run_id} is not of {spec.name}")
        if run.tags.get("dagster/will_retry") == "true":
            return dg.SkipReason(f"run {run.run_id} is retried by Dagster")
        refused = list(refused_partitions(context.instance, run.run_id))
        if refused:
            return _without(spec, run, selected, refused) or dg.SkipReason(NOT_RETRIED)
        if is_bad_data(context):
            return dg.SkipReason(NOT_RETRIED)
        return _again(spec, run.run_id, run.tags, failed_assets(context, selected))

    return reruns


def keys_of_run(spec: PipelineSpec, tags: Mapping[str, str]) -> list[str]:
    """The partitions a run worked on, from its tags; none for the whole."""
    if PARTITION_TAG in tags:
        return [tags[PARTITION_TAG]]
    if RANGE_START in tags:
        return [part.key for part in Calendar(spec).range(tags[RANGE_START], tags[RANGE_END])]
    return []


def planned_assets(instance: dg.DagsterInstance, run_id: str, pipeline: str) -> list[dg.AssetKey]:
    """The pipeline's assets that a run set out to make; a run of a job has no asset selection of its own."""
    planned = _assets_in(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    return [key for key in planned if key.path[0] == pipeline]


def _assets_in(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> list[dg.AssetKey]:
    events = (record.dagster_event for record in instance.all_logs(run_id, of_type=kind))
    return list(dict.fromkeys(event.asset_key for event in events if event is not None and event.asset_key is not None))


def refused_partitions(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    """Partitions that a blocking check refused in this run, and why."""
    found: dict[str, str] = {}
    for record in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        event = record.dagster_event
        evaluation = event.asset_check_evaluation_data if event else None
        if evaluation is not None and evaluation.check_name in (ACCEPTED, READABLE) and not evaluation.passed:
            told = evaluation.metadata[REFUSED].value
            found |= told if isinstance(told, dict) else {}
    return found


def is_bad_data(context: dg.RunFailureSensorContext) -> bool:
    """Whether every failed step failed on data, not on the world."""
    events = context.get_step_failure_events()
    failures = [event.step_failure_data.user_failure_data for event in events]
    return bool(failures) and all(f is not None and _says_bad_data(f.metadata) for f in failures)


def _says_bad_data(metadata: Mapping[str, dg.MetadataValue]) -> bool:
    return BAD_DATA in metadata and bool(metadata[BAD_DATA].value)


def failed_assets(context: dg.RunFailureSensorContext, selected: Sequence[dg.AssetKey]) -> list[dg.AssetKey]:
    """The assets of the run that it did not make."""
    made = _assets_in(context.instance, context.dagster_run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return [key for key in selected if key not in made] or list(selected)


def _again(
    spec: PipelineSpec, run_id: str, tags: Mapping[str, str], assets: Sequence[dg.AssetKey]
) -> list[dg.RunRequest] | dg.SkipReason:
    attempt = int(tags.get(ATTEMPT_TAG, "0"))
    if attempt >= spec.automation.reruns:
        return dg.SkipReason(
            f"run {run_id} failed {attempt + 1} times; `automation.reruns` is {spec.automation.reruns}"
        )
    kept = {key: tags[key] for key in (PARTITION_TAG, RANGE_START, RANGE_END) if key in tags}
    own = {"pipeline": spec.name, "pynomaly/trigger": "rerun", OF_TAG: run_id, ATTEMPT_TAG: str(attempt + 1)}
    return [
        dg.RunRequest(run_key=run_id, asset_selection=list(assets), tags={**kept, **own, "dagster/max_retries": "0"})
    ]


def _without(
    spec: PipelineSpec, run: dg.DagsterRun, selected: Sequence[dg.AssetKey], refused: Sequence[str]
) -> list[dg.RunRequest]:
    """Runs of the accepted partitions of a range; none when all were refused."""
    run_id = run.run_id
    good = [key for key in keys_of_run(spec, run.tags) if key not in set(refused)]
    selection = [key for key in selected if key.path[-1] != "raw"]
    own = {"pipeline": spec.name, "pynomaly/trigger": "rerun", OF_TAG: run_id}
    return [
        dg.RunRequest(
            run_key=f"{run_id}/{stretch[0]}", asset_selection=selection, tags={**own, **partition_tags(stretch)}
        )
        for stretch in stretches(spec, good)
    ]
