"""Drift that lasts -> one training, and none again for a while."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import dagster as dg

from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    import pandas as pd

    from pynomaly_pipelines.stages.drift.history import Episode

SINCE_TAG, WHY_TAG = "pynomaly/drift_since", "pynomaly/reason"
"""Tags of a training for drift: the partition it began in, and what drifted."""


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers: the last judged partition when it last asked for a training, and of which version."""

    partition: str = ""
    version: int = 0

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """What an earlier tick left; empty at the first."""
        return cls(**json.loads(text)) if text else cls()

    def write(self) -> str:
        """As Dagster keeps it."""
        return json.dumps(asdict(self))


def watched(spec: PipelineSpec) -> bool:
    """Whether the pipeline has anything to compare: partitions."""
    return spec.drift.enabled and spec.partition != "whole"


def build_drift(spec: PipelineSpec, trained: Sequence[str], *, live: bool) -> dg.SensorDefinition:
    """The sensor that trains when drift lasts; `trained` are the nouns of a training."""
    selection = [dg.AssetKey([spec.name, noun]) for noun in trained]

    @dg.sensor(
        name=f"{spec.name}_drift",
        description=f"Trains {spec.name} when it drifts for {spec.drift.lasting} partitions in a row.",
        asset_selection=dg.AssetSelection.groups(spec.name),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if live else dg.DefaultSensorStatus.STOPPED,
        tags={"pipeline": spec.name},
    )
    def drift(
        context: dg.SensorEvaluationContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.SensorResult | dg.SkipReason:
        from pynomaly_pipelines.resources.registry import CHAMPION
        from pynomaly_pipelines.stages.drift import history as drift_history

        champion = registry.open().aliased(spec.name, CHAMPION)
        if champion is None:
            return dg.SkipReason(f"{spec.name} has no champion yet")
        history = drift_history.read(spec, lake.open())
        cursor = Cursor.read(context.cursor)
        found = decide(spec, history, champion.number, cursor)
        if isinstance(found, str):
            return dg.SkipReason(found)
        return dg.SensorResult(
            run_requests=[request(spec, found, champion.number, selection)],
            cursor=Cursor(found.last, champion.number).write(),
        )

    return drift


def decide(spec: PipelineSpec, history: pd.DataFrame, version: int, cursor: Cursor) -> Episode | str:
    """The drift to train for; or, in words, why there is to be no training.

    Args:
        history: rows of the table `drift`, of all versions.
        version: the champion's.
    """
    from pynomaly_pipelines.stages.drift import history as drift_history

    own = history[history["model_version"] == version]
    if own.empty:
        return f"no partition has been judged against champion {version} yet"
    found = drift_history.episode(spec, own)
    if found is None:
        return f"no drift lasts: {_now(spec, own)}"
    since = [key for key in sorted(history["_partition"].unique()) if cursor.partition and key > cursor.partition]
    if cursor.partition and len(since) < spec.drift.cooldown:
        return (
            f"{found}; {len(since)} of {spec.drift.cooldown} partitions (`drift.cooldown`) have come since the "
            f"training at {cursor.partition}"
        )
    return found


def request(spec: PipelineSpec, found: Episode, version: int, selection: Sequence[dg.AssetKey]) -> dg.RunRequest:
    """The training; the same episode of the same champion never starts two."""
    return dg.RunRequest(
        run_key=f"{spec.name}/drift/{version}/{found.last}",
        asset_selection=list(selection),
        tags={"pipeline": spec.name, "pynomaly/trigger": "drift", SINCE_TAG: found.first, WHY_TAG: str(found)},
    )


def _now(spec: PipelineSpec, own: pd.DataFrame) -> str:
    from pynomaly_pipelines.stages.drift import history as drift_history

    last = own["_partition"].max()
    needed = drift_history.needed(spec.drift, int(own["pooled"].max()))
    streaks = drift_history.streaks(own, spec.drift.retrain_on)
    if not streaks:
        return f"none in {last}, the last partition judged"
    name, length = max(streaks.items(), key=lambda entry: entry[1])
    return f"{name} drifts for {length} of {needed} partitions, up to {last}"
