"""Failed runs -> those that nothing more is done about, for people to be told of; and the mark that they were."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from pynomaly_pipelines.automation.failures import read_failure
from pynomaly_pipelines.automation.reruns import decide
from pynomaly_pipelines.automation.silent_runs import is_silent
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.notifications.messages import Failure

LOOK_BACK = timedelta(days=2)
_MOST = 50


def reported(instance: dg.DagsterInstance, spec: PipelineSpec, receiver: str, now: datetime) -> list[Failure]:
    """The failures of the last two days that this receiver has not been told of, the oldest first."""
    filters = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={"pipeline": spec.name}, updated_after=now - LOOK_BACK
    )
    records = instance.get_run_records(filters, limit=_MOST, order_by="update_timestamp", ascending=False)
    found = []
    for record in reversed(records):
        run = record.dagster_run
        if _mark(receiver) in run.tags or run.tags.get("dagster/will_retry") == "true":
            continue
        if is_silent(instance, run.run_id):
            continue
        why = _why(instance, spec, record, now)
        if why:
            found.append(Failure(run.run_id, why))
    return found


def mark(instance: dg.DagsterInstance, run_id: str, receiver: str, now: datetime) -> None:
    """Write that a receiver was told of a failed run; only after it was."""
    instance.add_run_tags(run_id, {_mark(receiver): now.isoformat(timespec="seconds")})


def _why(instance: dg.DagsterInstance, spec: PipelineSpec, record: dg.RunRecord, now: datetime) -> str:
    """What is to be said of it; empty while it may still come right."""
    failed = read_failure(instance, record, spec)
    if failed is None:
        return ""
    decision = decide(spec, failed, now)
    final = decision.until is None and not decision.requests
    return decision.why if final or failed.refused else ""


def _mark(receiver: str) -> str:
    return f"pynomaly/told_{receiver}"
