"""Verdicts of the gate, as the event log has them -> what people are told of promotions that did not happen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from pynomaly_pipelines.automation.promotions import GATE_CHECK, SOUND_CHECK
from pynomaly_pipelines.automation.silent_runs import is_silent
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.notifications.marks import Notice

if TYPE_CHECKING:
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

PROMOTIONS = "promotions"
LOOK_BACK = timedelta(days=14)
_MOST = 20


def refusals(instance: dg.DagsterInstance, spec: PipelineSpec, now: datetime) -> list[tuple[datetime, Notice]]:
    """Challengers that the gate did not let through, and champions that do not score, of two weeks, the oldest first;
    and when that was."""
    found = [(record, check) for check in (GATE_CHECK, SOUND_CHECK) for record in _failed(instance, spec, check)]
    recent = sorted(
        (pair for pair in found if pair[0].create_timestamp >= (now - LOOK_BACK).timestamp()),
        key=lambda pair: pair[0].create_timestamp,
    )
    # What a command did, its user has seen.
    told = [pair for pair in recent if not (pair[0].run_id and is_silent(instance, pair[0].run_id))]
    return [(datetime.fromtimestamp(r.create_timestamp, UTC), _notice(spec, r, check)) for r, check in told]


def _failed(instance: dg.DagsterInstance, spec: PipelineSpec, check: str) -> list[AssetCheckExecutionRecord]:
    key = dg.AssetCheckKey(dg.AssetKey([spec.name, "champion"]), check)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=_MOST)
    return [record for record in records if record.status.value == "FAILED" and record.event is not None]


def _notice(spec: PipelineSpec, record: AssetCheckExecutionRecord, check: str) -> Notice:
    assert record.event is not None
    assert record.event.dagster_event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    said = evaluation.description or ""
    about = f"{check}/{record.id}"
    if check == SOUND_CHECK:
        why = (said, f"pynomaly rollback {spec.name}")
        return Notice(PROMOTIONS, about, f"{spec.name}: the champion does not score", why, "champion")
    version = evaluation.metadata["challenger"].value
    outcome, _, reasons = said.partition(": ")
    lines = tuple(reason for reason in reasons.split("; ") if reason)
    promote = f"the champion stays; to promote it on your word: pynomaly promote {spec.name} {version}"
    return Notice(PROMOTIONS, about, f"{spec.name}: challenger {version} was {outcome}", (*lines, promote), "champion")
