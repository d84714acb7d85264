"""A failed run, as the event log tells it -> what it worked on, what stopped it, what it left undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from dagster import RunRecord

from pynomaly_pipelines.automation.arrivals import PARTITION_TAG, RANGE_END, RANGE_START
from pynomaly_pipelines.operations.faults import Fault
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

ATTEMPT_TAG, OF_TAG = "pynomaly/attempt", "pynomaly/rerun_of"
ACCEPTED, READABLE = "accepted", "readable"
"""Blocking checks that refuse partitions."""
REFUSED = "refused_partitions"
FAULT = "fault"
"""Metadata of a failed step: which kind of failure it was."""


@dataclass(frozen=True)
class FailedRun:
    """What is to be known of a failed run to decide what comes next."""

    run_id: str
    keys: tuple[str, ...]
    """Partitions it worked on; none for the whole."""
    assets: tuple[dg.AssetKey, ...]
    """What it set out to make and did not."""
    fault: Fault
    why: str
    ended: datetime
    attempt: int = 0
    """How often it had been launched again before."""
    refused: tuple[str, ...] = ()
    """Partitions that a blocking check refused."""


def read_failure(instance: dg.DagsterInstance, record: RunRecord, spec: PipelineSpec) -> FailedRun | None:
    """The failure of a run of this pipeline; None when the run made nothing of it."""
    run = record.dagster_run
    selected = planned_assets(instance, run.run_id, spec.name)
    if not selected:
        return None
    made = set(_assets_in(instance, run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION))
    fault, why = _fault(instance, run.run_id)
    return FailedRun(
        run_id=run.run_id,
        keys=tuple(keys_of_run(spec, run.tags)),
        assets=tuple(key for key in selected if key not in made) or tuple(selected),
        fault=fault,
        why=why,
        ended=datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC),
        attempt=int(run.tags.get(ATTEMPT_TAG, "0")),
        refused=tuple(refused_partitions(instance, run.run_id)),
    )


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


def _assets_in(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> list[dg.AssetKey]:
    events = (record.dagster_event for record in instance.all_logs(run_id, of_type=kind))
    return list(dict.fromkeys(event.asset_key for event in events if event is not None and event.asset_key is not None))


def _fault(instance: dg.DagsterInstance, run_id: str) -> tuple[Fault, str]:
    """The kind and words of the first failed step; a run that failed without one lost its process."""
    for record in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = record.dagster_event
        if event is None:
            continue
        told = event.step_failure_data.user_failure_data
        if told is not None:
            kind = told.metadata.get(FAULT)
            # A blocking check that failed has no kind: it judged the data.
            return Fault(str(kind.value)) if kind is not None else Fault.DATA, told.description or told.label or ""
        error = event.step_failure_data.error
        return _without_kind(error), _cause(error) or "a step failed without a word"
    return Fault.LOST, _last_words(instance, run_id)


def _last_words(instance: dg.DagsterInstance, run_id: str) -> str:
    """What is known of a run that failed outside of its steps."""
    for record in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE):
        event = record.dagster_event
        if event is None:
            continue
        error = event.job_failure_data.error if event.event_specific_data is not None else None
        return _cause(error) or event.message or "its process ended without a word"
    return "its process ended without a word"


def _without_kind(error: SerializableErrorInfo | None) -> Fault:
    # A step that Dagster itself stopped, or an exception from outside the stages.
    return Fault.DATA if any(link.cls_name == "DagsterAssetCheckFailedError" for link in _chain(error)) else Fault.BUG


def _cause(error: SerializableErrorInfo | None) -> str:
    """The words of what lies behind an error: Dagster wraps exceptions in its own."""
    links = _chain(error)
    return links[-1].message.strip() if links else ""


def _chain(error: SerializableErrorInfo | None) -> list[SerializableErrorInfo]:
    links = []
    while error is not None:
        links.append(error)
        error = error.cause
    return links
