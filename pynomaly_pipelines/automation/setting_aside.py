"""Poison partitions: those that stop every run they are in, left out until their data changes or a person says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from pynomaly_pipelines.spec import PipelineSpec

ASIDE, WHY, RUN = "set_aside", "why", "run"
"""Metadata of the observation that tells of it."""
_MOST = 1000


@dataclass(frozen=True)
class SetAside:
    """A partition that is left out."""

    partition: str
    why: str
    run_id: str
    since: float
    """Seconds since the epoch."""


def observation(spec: PipelineSpec, partition: str, run_id: str, why: str) -> dg.AssetObservation:
    """The event by which a partition is set aside."""
    return dg.AssetObservation(
        _asset(spec), partition=partition, description=why, metadata={ASIDE: True, WHY: why, RUN: run_id}
    )


def release(spec: PipelineSpec, partition: str, who: str) -> dg.AssetObservation:
    """The event by which a person takes it back."""
    return dg.AssetObservation(
        _asset(spec), partition=partition, description=f"released by {who}", metadata={ASIDE: False, WHY: who}
    )


def set_aside(instance: dg.DagsterInstance, spec: PipelineSpec) -> list[SetAside]:
    """The partitions that are set aside now, in their order.

    One that was ingested or scored since is not among them: its trouble is over.
    """
    kept = [_entry(record) for record in _latest(instance, spec).values() if _is_aside(record)]
    over = _done_since(instance, spec, kept)
    return sorted((entry for entry in kept if entry.partition not in over), key=lambda entry: entry.partition)


def releases(instance: dg.DagsterInstance, spec: PipelineSpec) -> dict[str, str]:
    """Partition -> a mark of the last time that a person took it back, for those that were."""
    latest = _latest(instance, spec)
    return {key: str(record.storage_id) for key, record in latest.items() if not _is_aside(record)}


def _latest(instance: dg.DagsterInstance, spec: PipelineSpec) -> dict[str, dg.EventLogRecord]:
    """Partition -> the last that was said of it."""
    found: dict[str, dg.EventLogRecord] = {}
    for record in instance.fetch_observations(_asset(spec), limit=_MOST).records:
        told = record.asset_observation
        if told is not None and told.partition is not None and ASIDE in told.metadata:
            found.setdefault(told.partition, record)
    return found


def _is_aside(record: dg.EventLogRecord) -> bool:
    told = record.asset_observation
    return told is not None and bool(told.metadata[ASIDE].value)


def _entry(record: dg.EventLogRecord) -> SetAside:
    told = record.asset_observation
    assert told is not None
    assert told.partition is not None
    return SetAside(told.partition, str(told.metadata[WHY].value), str(told.metadata[RUN].value), record.timestamp)


def _done_since(instance: dg.DagsterInstance, spec: PipelineSpec, entries: Sequence[SetAside]) -> set[str]:
    """Partitions that a later run of the same part got through."""
    over: set[str] = set()
    for entry in entries:
        failed = instance.get_run_by_id(entry.run_id)
        nouns = ("scores",) if failed is not None and _only_scores(instance, failed.run_id) else ("validated",)
        for noun in nouns:
            filters = dg.AssetRecordsFilter(
                dg.AssetKey([spec.name, noun]), asset_partitions=[entry.partition], after_timestamp=entry.since
            )
            if instance.fetch_materializations(filters, limit=1).records:
                over.add(entry.partition)
    return over


def _only_scores(instance: dg.DagsterInstance, run_id: str) -> bool:
    planned = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    nouns = {e.dagster_event.asset_key.path[-1] for e in planned if e.dagster_event and e.dagster_event.asset_key}
    return bool(nouns) and nouns <= {"scores", "drift", "incidents"}


def _asset(spec: PipelineSpec) -> dg.AssetKey:
    return dg.AssetKey([spec.name, "raw"])
