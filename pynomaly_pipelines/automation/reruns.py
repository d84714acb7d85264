"""Runs that failed or got stuck -> what is launched again, when, and what is set aside.

Steps retry transient faults themselves, and Dagster resumes runs whose worker died. This sensor is the third layer.

| the failure | what is done |
| --- | --- |
| transient, or a lost process | again after `rerun_delay_seconds`, doubled each time, `reruns` times; then in halves |
| bad data in some partitions | the others of the range are run; what was refused is reported |
| too little memory | never at the same size: in halves |
| a bug | not retried; a range is halved to find the partition it is about |
| a setting | reported; every partition would meet it |

A single partition that is left at the end of this is set aside, so that the queue goes on (`setting_aside`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import BaseModel, ConfigDict

from pynomaly_pipelines.automation.arrivals import partition_tags, stretches
from pynomaly_pipelines.automation.failures import ATTEMPT_TAG, OF_TAG, FailedRun, read_failure
from pynomaly_pipelines.automation.setting_aside import observation
from pynomaly_pipelines.automation.stuck_runs import BEATS_MISSED, Beat, look_for_stuck_runs
from pynomaly_pipelines.operations.faults import Fault
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.spec import PipelineSpec

LONGEST_DELAY = timedelta(hours=1)
LOOK_BACK = timedelta(days=1)
"""How far back the first look goes, and the length of the budget's day."""
RERUN = "rerun"
COMMAND = "command"
_MOST_FAILURES = 200


class Cursor(BaseModel):
    """What the sensor remembers between two looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: datetime
    """All failures up to here are settled."""
    settled: tuple[str, ...] = ()
    """Runs after that which are settled too."""
    beats: dict[str, Beat] = {}
    """The last sign of life of each run, and when it was first seen."""

    @classmethod
    def read(cls, text: str | None, now: datetime) -> Cursor:
        """What an earlier look left."""
        return cls.model_validate_json(text) if text else cls(after=now - LOOK_BACK)


@dataclass(frozen=True)
class Decision:
    """What comes next for one failed run."""

    why: str
    requests: Sequence[dg.RunRequest] = ()
    aside: tuple[str, ...] = ()
    """Partitions that are set aside."""
    until: datetime | None = None
    """Not settled before this time."""


@dataclass
class Look:
    """What one look came to."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    observations: list[dg.AssetObservation] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def build_reruns(spec: PipelineSpec, *, live: bool) -> dg.SensorDefinition:
    """The sensor that looks after the runs of one pipeline."""

    @dg.sensor(
        name=f"{spec.name}_reruns",
        description=f"Finds stuck runs of {spec.name}, launches failed ones again by its policy, sets poison aside.",
        asset_selection=dg.AssetSelection.groups(spec.name),
        default_status=dg.DefaultSensorStatus.RUNNING if live else dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=spec.automation.reruns_interval_seconds,
        tags={"pipeline": spec.name},
    )
    def reruns(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = datetime.now(UTC)
        cursor = Cursor.read(context.cursor, now)
        lease = BEATS_MISSED * timedelta(seconds=Settings.from_environment().heartbeat_seconds)
        beats, lost = look_for_stuck_runs(context.instance, spec.name, cursor.beats, now, lease)
        look, cursor = look_at_failures(context.instance, spec, cursor.model_copy(update={"beats": beats}), now)
        said = "; ".join([*lost, *look.said]) or "no run failed"
        return dg.SensorResult(
            run_requests=look.requests,
            asset_events=look.observations,
            skip_reason=None if look.requests else said,
            cursor=cursor.model_dump_json(),
        )

    return reruns


def look_at_failures(
    instance: dg.DagsterInstance, spec: PipelineSpec, cursor: Cursor, now: datetime
) -> tuple[Look, Cursor]:
    """Decide on every failed run that is not settled yet."""
    filters = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={"pipeline": spec.name}, updated_after=cursor.after
    )
    records = instance.get_run_records(filters, limit=_MOST_FAILURES, order_by="update_timestamp", ascending=True)
    look, settled, waiting = Look(), set(cursor.settled), False
    after, left = cursor.after, reruns_left(instance, spec, now)
    for record in records:
        run = record.dagster_run
        decision = Decision("settled") if run.run_id in settled else None
        if decision is None:
            decision = _decision(instance, spec, record, now, left)
            left -= len(decision.requests)
            look.requests += decision.requests
            look.observations += [observation(spec, key, run.run_id, decision.why) for key in decision.aside]
            look.said.append(f"run {run.run_id[:8]}: {decision.why}")
        waiting = waiting or decision.until is not None
        if decision.until is None:
            settled.add(run.run_id)
        if not waiting:
            after = record.update_timestamp.replace(tzinfo=UTC)
    known = {record.dagster_run.run_id for record in records}
    return look, cursor.model_copy(update={"after": after, "settled": tuple(sorted(settled & known))})


def reruns_left(instance: dg.DagsterInstance, spec: PipelineSpec, now: datetime) -> int:
    """How many more runs the pipeline's budget of a day allows."""
    tags = {"pipeline": spec.name, "pynomaly/trigger": RERUN}
    used = instance.get_runs_count(dg.RunsFilter(tags=tags, created_after=now - LOOK_BACK))
    return spec.automation.rerun_budget - used


def _decision(
    instance: dg.DagsterInstance, spec: PipelineSpec, record: dg.RunRecord, now: datetime, left: int
) -> Decision:
    run = record.dagster_run
    if run.tags.get("pynomaly/trigger") == COMMAND:
        return Decision("a command ran it, and told its user")
    if run.tags.get("dagster/will_retry") == "true":
        return Decision("it is retried by Dagster")
    failed = read_failure(instance, record, spec)
    if failed is None:
        return Decision(f"it made nothing of {spec.name}")
    decision = decide(spec, failed, now)
    if len(decision.requests) > max(0, left):
        budget = spec.automation.rerun_budget
        return Decision(
            f"{decision.why}, but {budget} runs in 24 hours are the budget (`automation.rerun_budget`)",
            until=now + timedelta(minutes=1),
        )
    return decision


def decide(spec: PipelineSpec, failed: FailedRun, now: datetime) -> Decision:
    """What comes next for a failure; the same answer whenever it is asked, but for the waiting."""
    if failed.refused:
        return _without_refused(spec, failed)
    if failed.fault is Fault.SETTING:
        return Decision(f"{_sentence(failed.why)} A setting is reported, not retried")
    if failed.fault in (Fault.TRANSIENT, Fault.LOST) and failed.attempt < spec.automation.reruns:
        return _again(spec, failed, now)
    if len(failed.keys) > 1:
        return _in_halves(spec, failed)
    if failed.fault is Fault.DATA:
        return Decision(f"{_sentence(failed.why)} Bad data is reported, not retried")
    why = f"{_sentence(failed.why)} {_why_no_more(spec, failed)}"
    return Decision(f"{failed.keys[0]} is set aside: {why}" if failed.keys else why, aside=failed.keys)


def delay(spec: PipelineSpec, attempt: int) -> timedelta:
    """How long after its end a failed run is launched again: doubled each time, an hour at most."""
    return min(timedelta(seconds=spec.automation.rerun_delay_seconds << attempt), LONGEST_DELAY)


def _again(spec: PipelineSpec, failed: FailedRun, now: datetime) -> Decision:
    due = failed.ended + delay(spec, failed.attempt)
    times = f"attempt {failed.attempt + 1} of {spec.automation.reruns}"
    if now < due:
        return Decision(f"{failed.fault}: {times} at {due:%H:%M:%S}", until=due)
    return Decision(f"{failed.fault}: {times}", [_request(failed, failed.keys, failed.attempt + 1)])


def _in_halves(spec: PipelineSpec, failed: FailedRun) -> Decision:
    middle = len(failed.keys) // 2
    halves = (failed.keys[:middle], failed.keys[middle:])
    why = f"{failed.fault}: {len(failed.keys)} partitions are run in halves, to find the one it is about"
    # They have no more attempts of their own: what fails again is halved at once.
    return Decision(why, [_request(failed, half, max(failed.attempt, spec.automation.reruns)) for half in halves])


def _without_refused(spec: PipelineSpec, failed: FailedRun) -> Decision:
    """Runs of the accepted partitions of a range; none when all were refused."""
    good = [key for key in failed.keys if key not in set(failed.refused)]
    assets = tuple(key for key in failed.assets if key.path[-1] != "raw")
    why = f"{len(failed.refused)} of {len(failed.keys)} partitions were refused; bad data is reported, not retried"
    return Decision(why, [_request(failed, stretch, failed.attempt, assets) for stretch in stretches(spec, good)])


def _request(
    failed: FailedRun, keys: Sequence[str], attempt: int, assets: Sequence[dg.AssetKey] | None = None
) -> dg.RunRequest:
    pipeline = failed.assets[0].path[0]
    own = {"pipeline": pipeline, "pynomaly/trigger": RERUN, OF_TAG: failed.run_id, ATTEMPT_TAG: str(attempt)}
    return dg.RunRequest(
        # The same failure never starts the same rerun twice, whoever looks.
        run_key=f"{failed.run_id}/{keys[0]}" if keys else failed.run_id,
        asset_selection=list(assets or failed.assets),
        # Attempts are counted here; Dagster's own would multiply them.
        tags={**own, **(partition_tags(keys) if keys else {}), "dagster/max_retries": "0"},
    )


def _sentence(said: str) -> str:
    """What an exception said, as a sentence that another may follow."""
    said = said.strip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _why_no_more(spec: PipelineSpec, failed: FailedRun) -> str:
    if failed.fault is Fault.MEMORY:
        return "It is not run again at the same size"
    if failed.fault is Fault.BUG:
        return "A bug is reported, not retried"
    return f"It failed {failed.attempt + 1} times; `automation.reruns` is {spec.automation.reruns}"
