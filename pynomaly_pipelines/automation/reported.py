"""Failed runs -> those that nothing more is done about, for people to be told of; and the mark that they were."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from pynomaly_pipelines.automation.failures import FailedRun, read_failure, refused_partitions
from pynomaly_pipelines.automation.reruns import decide
from pynomaly_pipelines.automation.silent_runs import is_silent
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.notifications.messages import Failure

LOOK_BACK = timedelta(days=14)
"""How long a receiver may be away and still be told."""
_MOST = 500
_MOST_READ = 50
"""Runs whose events are read in one look; the rest have their turn when these are told."""


def reported(
    instance: dg.DagsterInstance, spec: PipelineSpec, receivers: Mapping[str, datetime], now: datetime
) -> dict[str, list[Failure]]:
    """For each receiver the failures that it has not been told of, the oldest first.

    Args:
        receivers: name -> since when it is to be told.
    """
    since = max(now - LOOK_BACK, min(receivers.values(), default=now))
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={"pipeline": spec.name}, updated_after=since)
    records = instance.get_run_records(filters, limit=_MOST, order_by="update_timestamp", ascending=False)
    found: dict[str, list[Failure]] = {name: [] for name in receivers}
    read = 0
    for record in reversed(records):
        wanting = [name for name, begun in receivers.items() if _wants(record, name, begun)]
        if not wanting or read >= _MOST_READ or is_silent(instance, record.dagster_run.run_id):
            continue
        read += 1
        failure = _failure(instance, spec, record, now)
        if failure is not None:
            for name in wanting:
                found[name].append(failure)
    return found


def mark(instance: dg.DagsterInstance, run_id: str, receiver: str, now: datetime) -> None:
    """Write that a receiver was told of a failed run; only after it was."""
    instance.add_run_tags(run_id, {_mark(receiver): now.isoformat(timespec="seconds")})


def _wants(record: dg.RunRecord, receiver: str, begun: datetime) -> bool:
    tags = record.dagster_run.tags
    ended = record.update_timestamp.replace(tzinfo=UTC)
    return ended >= begun and _mark(receiver) not in tags and tags.get("dagster/will_retry") != "true"


def _failure(instance: dg.DagsterInstance, spec: PipelineSpec, record: dg.RunRecord, now: datetime) -> Failure | None:
    """What is to be said of it; None while it may still come right."""
    failed = read_failure(instance, record, spec)
    if failed is None:
        return None
    decision = decide(spec, failed, now)
    final = decision.until is None and not decision.requests
    if not (final or failed.refused):
        return None
    refused = refused_partitions(instance, failed.run_id) if failed.refused else {}
    told = tuple(f"{key}: {why}" for key, why in sorted(refused.items()))
    return Failure(failed.run_id, decision.why, _what(failed), told)


def _what(failed: FailedRun) -> str:
    """The assets it did not make, and of which partitions."""
    nouns = ", ".join(key.path[-1] for key in failed.assets)
    if not failed.keys:
        return nouns
    return f"{nouns} of {failed.keys[0]}" + (f" … {failed.keys[-1]}" if len(failed.keys) > 1 else "")


def _mark(receiver: str) -> str:
    return f"pynomaly/told_{receiver}"
