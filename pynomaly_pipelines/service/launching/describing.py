"""Dagster's runs -> what is told of them: pipeline, kind, partitions, times, place in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from pynomaly_pipelines.automation.arrivals import PARTITION_TAG, RANGE_END, RANGE_START
from pynomaly_pipelines.pipeline import PARTS
from pynomaly_pipelines.service.launching.answers import DagsterRun, RunDetails, Step
from pynomaly_pipelines.service.launching.planning import ACCOUNT_TAG, LAUNCH_TAG, PRIORITY_TAG
from pynomaly_pipelines.service.launching.requests import Span
from pynomaly_pipelines.service.launching.states import RunState, StepState, run_state, step_state
from pynomaly_pipelines.service.launching.views import (
    Failure,
    LaunchedRun,
    Links,
    Progress,
    RunDetailsView,
    RunView,
    StepView,
)

ASSETS = "assets"


def pipeline_of_run(run: DagsterRun) -> str:
    """The pipeline a run belongs to; empty for a run of none, such as one of assets of several."""
    if "pipeline" in run.tags:
        return run.tags["pipeline"]
    owners = {key[0] for key in run.assets}
    return owners.pop() if len(owners) == 1 else ""


def kind_of(run: DagsterRun) -> str:
    """The part of the pipeline it runs."""
    part = run.job.rpartition("_")[2]
    return part if part in PARTS and not run.assets else ASSETS


def partitions_of(run: DagsterRun) -> str | Span | None:
    """What its tags say."""
    if RANGE_START in run.tags and RANGE_END in run.tags:
        return Span(first=run.tags[RANGE_START], last=run.tags[RANGE_END])
    return run.tags.get(PARTITION_TAG)


def priority_of(run: DagsterRun) -> int:
    """As Dagster reads it: what is no number counts as 0."""
    try:
        return int(run.tags.get(PRIORITY_TAG, "0"))
    except ValueError:
        return 0


def links_of(run_id: str, dagster_url: str) -> Links:
    """Paths of this API, and the address on Dagster's pages."""
    here = f"/v1/runs/{quote(run_id, safe='')}"
    return Links(
        self=here, events=f"{here}/events", cancel=f"{here}/cancel", dagster=f"{dagster_url}/runs/{quote(run_id)}"
    )


def launched_run(run: DagsterRun, dagster_url: str) -> LaunchedRun:
    """A run just launched."""
    return LaunchedRun(
        id=run.id,
        state=run_state(run.status),
        partitions=partitions_of(run),
        links=links_of(run.id, dagster_url),
    )


def run_view(run: DagsterRun, dagster_url: str, now: datetime | None = None) -> RunView:
    """A run as lists have it."""
    now = now or datetime.now(UTC)
    return RunView(
        id=run.id,
        pipeline=pipeline_of_run(run),
        kind=kind_of(run),
        state=run_state(run.status),
        partitions=partitions_of(run),
        priority=priority_of(run),
        trigger=run.tags.get("pynomaly/trigger", "dagster"),
        launch=run.tags.get(LAUNCH_TAG),
        account=run.tags.get(ACCOUNT_TAG),
        created=run.created,
        started=run.started,
        ended=run.ended,
        seconds=None if run.started is None else ((run.ended or now) - run.started).total_seconds(),
        links=links_of(run.id, dagster_url),
    )


def details_view(
    found: RunDetails, dagster_url: str, *, queue_place: int | None, failure: Failure | None
) -> RunDetailsView:
    """A run as it is told by itself."""
    now, run = datetime.now(UTC), found.run
    state = run_state(run.status)
    # Dagster plans in any order; people read what was done first.
    in_time = sorted(found.steps, key=lambda step: (step.started is None, step.started or now))
    steps = tuple(_step_view(step, state) for step in in_time)
    left_queue = run.started or run.ended or now
    return RunDetailsView(
        **dict(run_view(run, dagster_url, now)),
        queue_place=queue_place,
        waited_seconds=(left_queue - run.created).total_seconds(),
        progress=Progress(
            steps=len(steps),
            done=sum(step.state in (StepState.SUCCEEDED, StepState.SKIPPED) for step in steps),
            failed=sum(step.state is StepState.FAILED for step in steps),
        ),
        steps=steps,
        failure=failure,
    )


def _step_view(step: Step, run: RunState) -> StepView:
    return StepView(
        name=step.name,
        state=step_state(step.status, run),
        started=step.started,
        ended=step.ended,
        attempts=step.attempts,
        made=step.made,
    )


def in_order(queued: Sequence[DagsterRun]) -> list[DagsterRun]:
    """Waiting runs in the order in which they leave: highest priority first, then the oldest.

    That is Dagster's order as long as no limit by tag or pool holds a run back.
    """
    return sorted(queued, key=lambda run: (-priority_of(run), run.created))
