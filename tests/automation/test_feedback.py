"""Enough verdicts train once, tick by tick."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from pynomaly_pipelines.automation.feedback import build_feedback
from pynomaly_pipelines.resources.configurable import LakeResource
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.incidents.incident import Incident
from pynomaly_pipelines.stages.incidents.states import Action, say
from tests.small_pipelines import spec

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def test_tick_by_tick(tmp_path: Path) -> None:
    pipeline = spec(automation={"retrain_verdicts": 3})
    sensor = build_feedback(pipeline, ("model", "evaluation", "champion"), live=False)
    lake = Lake(str(tmp_path))
    incident = Incident("x", "shop", "", NOON, NOON, NOON, 0.9, 1, "", (), (), ("2025-01-01",), 1)
    cursor: str | None = None

    def tick() -> dg.SensorResult | dg.SkipReason:
        resource = LakeResource(root=str(tmp_path), project=str(tmp_path))
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_sensor_context(instance, cursor=cursor, resources={"lake": resource}) as context,
        ):
            found = sensor(context)
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        return found

    asked = []
    for number in range(1, 8):
        say(pipeline, lake, incident, Action.DISMISSED if number % 2 else Action.CONFIRMED, who="ada")
        # What is no verdict does not count.
        say(pipeline, lake, incident, Action.ACKNOWLEDGED, who="ada")
        found = tick()
        if isinstance(found, dg.SensorResult):
            (request,) = found.run_requests or []
            asked.append((number, request.run_key))
            cursor = found.cursor
        else:
            assert "are waited for" in str(found.skip_message)
    assert asked == [(3, "shop/feedback/3"), (6, "shop/feedback/6")]
