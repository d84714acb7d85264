"""New files in the landing folder -> runs that ingest, validate and, once there is a champion, score them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from pynomaly_pipelines.automation.setting_aside import SetAside, releases, set_aside
from pynomaly_pipelines.operations.errors import SourceMissing
from pynomaly_pipelines.partitions import WHOLE, Calendar
from pynomaly_pipelines.resources.configurable import LakeResource
from pynomaly_pipelines.spec import PipelineSpec

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
PARTITION_TAG = "dagster/partition"


def build_arrivals(spec: PipelineSpec, *, live: bool) -> dg.SensorDefinition:
    """The sensor that looks for new and changed files of one pipeline."""

    @dg.sensor(
        name=f"{spec.name}_arrivals",
        description=f"Ingests what is new in {spec.source.place}.",
        asset_selection=dg.AssetSelection.groups(spec.name),
        minimum_interval_seconds=spec.automation.arrivals_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if live else dg.DefaultSensorStatus.STOPPED,
        tags={"pipeline": spec.name},
    )
    def arrivals(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        from pynomaly_pipelines.stages.sources import landing

        try:
            waiting = landing.pending(spec, lake.open(), lake.project_folder)
        except SourceMissing as error:
            return dg.SkipReason(str(error))
        if not waiting:
            return dg.SkipReason(f"nothing new at {spec.source.place}")
        early = not_begun(spec, waiting, datetime.now(UTC))
        if len(early) == len(waiting):
            return dg.SkipReason(f"all new rows lie in the future: {', '.join(early[:3])}")
        waiting = {key: digest for key, digest in waiting.items() if key not in set(early)}
        taken_back = releases(context.instance, spec)
        waiting = {key: digest + taken_back.get(key, "") for key, digest in waiting.items()}
        waiting, cursor = without_set_aside(waiting, set_aside(context.instance, spec), context.cursor)
        if not waiting:
            left = ", ".join(sorted(json.loads(cursor))[:3])
            return dg.SensorResult(skip_reason=f"set aside until its data changes: {left}", cursor=cursor)
        scored = context.instance.get_latest_materialization_event(dg.AssetKey([spec.name, "champion"])) is not None
        nouns = (*spec.incoming, "validated", "quarantine", *(("scores",) if scored else ()))
        selection = [dg.AssetKey([spec.name, noun]) for noun in nouns]
        return dg.SensorResult(run_requests=list(requests(spec, waiting, selection)), cursor=cursor)

    return arrivals


def without_set_aside(
    waiting: Mapping[str, str], aside: Sequence[SetAside], cursor: str | None
) -> tuple[dict[str, str], str]:
    """Leave out what was set aside, unless its data has changed since.

    Args:
        waiting: partition key -> digest of its files.
        cursor: from the last look: the digests that the partitions set aside had when they were first left out.

    Returns:
        What is left, and the cursor for the next look.
    """
    known: dict[str, str] = json.loads(cursor) if cursor else {}
    left_out = {entry.partition: known.get(entry.partition, waiting.get(entry.partition, "")) for entry in aside}
    kept = {key: digest for key, digest in waiting.items() if left_out.get(key, "") != digest}
    return kept, json.dumps(left_out)


def not_begun(spec: PipelineSpec, keys: Iterable[str], now: datetime) -> list[str]:
    """The partitions that begin after `now`: Dagster has them only when their time has come."""
    calendar = Calendar(spec)
    parts = [calendar.partition(key) for key in sorted(keys)]
    return [part.key for part in parts if part.start is not None and part.start > now]


def requests(
    spec: PipelineSpec, waiting: Mapping[str, str], selection: Sequence[dg.AssetKey]
) -> Iterator[dg.RunRequest]:
    """One run per stretch of neighbouring partitions.

    Args:
        waiting: partition key -> digest of its files. The run key holds both, so that the same files never start two
            runs, and a changed file starts another.
    """
    for stretch in stretches(spec, waiting):
        digest = hashlib.sha256("".join(waiting[key] for key in stretch).encode()).hexdigest()[:16]
        yield dg.RunRequest(
            run_key=f"{spec.name}/{stretch[0]}/{stretch[-1]}/{digest}",
            asset_selection=list(selection),
            tags={"pipeline": spec.name, "pynomaly/trigger": "arrivals", **partition_tags(stretch)},
        )


def stretches(spec: PipelineSpec, keys: Iterable[str]) -> Iterator[list[str]]:
    """Keys as runs of neighbours, each at most `automation.partitions_per_run` long."""
    calendar = Calendar(spec)
    current: list[str] = []
    for key in sorted(keys):
        neighbour = bool(current) and calendar.partition(current[-1]).end == calendar.partition(key).start
        if current and (not neighbour or len(current) >= spec.automation.partitions_per_run):
            yield current
            current = []
        current.append(key)
    if current:
        yield current


def partition_tags(stretch: Sequence[str]) -> dict[str, str]:
    """The run tags by which Dagster knows one partition or a range; none for the whole."""
    if list(stretch) == [WHOLE]:
        return {}
    if len(stretch) == 1:
        return {PARTITION_TAG: stretch[0]}
    return {RANGE_START: stretch[0], RANGE_END: stretch[-1]}
