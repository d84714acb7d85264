"""When drift trains: tick by tick, once an episode, and not again too soon."""

from __future__ import annotations

import dagster as dg
import pandas as pd
import pytest

from pynomaly_pipelines.automation.drift import Cursor, build_drift, decide, request
from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.drift import history as drift_history
from pynomaly_pipelines.stages.drift.history import Episode
from tests.small_pipelines import Trained, spec

SPEC = spec(drift={"lasting": 3, "cooldown": 4})
KEYS = [f"2025-02-{day:02}" for day in range(1, 21)]


def judged(letters: str, version: int = 1, first: int = 0) -> pd.DataFrame:
    """One letter a partition: x drifts, - does not."""
    return pd.DataFrame(
        {
            "_partition": KEYS[first : first + len(letters)],
            "kind": "features",
            "subject": "amount",
            "what": "values",
            "pooled": 1,
            "drifted": [letter == "x" for letter in letters],
            "model_version": version,
        }
    )


def test_an_episode_tick_by_tick() -> None:
    """Drift from the third day on; the gate refuses the challenger; after the cool-down it is tried again."""
    cursor, trainings = Cursor(), []
    for day in range(1, 13):
        found = decide(SPEC, judged("--xxxxxxxxxx"[:day]), 1, cursor)
        if isinstance(found, Episode):
            trainings.append((day, found.first, request(SPEC, found, 1, []).run_key))
            cursor = Cursor(found.last, 1)
    assert trainings == [
        (5, "2025-02-03", "shop/drift/1/2025-02-05"),
        (9, "2025-02-03", "shop/drift/1/2025-02-09"),
    ]
    # Another champion: the old one's verdicts count no more, and neither do its alarms.
    told = decide(SPEC, pd.concat([judged("--xxxxxxxxxx"), judged("--", 2, 12)]), 2, cursor)
    assert told == "no drift lasts: none in 2025-02-14, the last partition judged"


@pytest.mark.parametrize(
    ("history", "told"),
    [
        (judged(""), "no partition has been judged against champion 1 yet"),
        (judged("xxx", version=7), "no partition has been judged against champion 1 yet"),
        (judged("---"), "no drift lasts: none in 2025-02-03, the last partition judged"),
        (judged("-xx"), "no drift lasts: amount (values) drifts for 2 of 3 partitions, up to 2025-02-03"),
    ],
)
def test_what_was_seen_is_told(history: pd.DataFrame, told: str) -> None:
    assert decide(SPEC, history, 1, Cursor()) == told


def test_a_new_champion_waits_out_the_cool_down_too() -> None:
    both = pd.concat([judged("xxx"), judged("xxx", 2, 3)])
    told = decide(SPEC, both, 2, Cursor(KEYS[2], 1))
    assert isinstance(told, str)
    assert "3 of 4 partitions (`drift.cooldown`) have come since the training at 2025-02-03" in told
    later = pd.concat([judged("xxx"), judged("xxxx", 2, 3)])
    assert isinstance(decide(SPEC, later, 2, Cursor(KEYS[2], 1)), Episode)


def test_the_same_state_asks_for_the_same_run() -> None:
    keys = {request(SPEC, decide(SPEC, judged("xxx"), 1, Cursor()), 1, []).run_key for _ in range(2)}  # type: ignore[arg-type]
    assert len(keys) == 1


def tick(shop: Trained, lake: Lake, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    resources = {
        "lake": LakeResource(root=lake.root, project="."),
        "registry": RegistryResource(tracking_uri=shop.registry.tracking_uri, artifacts=shop.registry.artifacts),
    }
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, cursor=cursor, resources=resources) as context,
    ):
        found = build_drift(SPEC, ("model", "evaluation", "champion"), live=False)(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_the_sensor_reads_the_table_and_remembers(shop: Trained, lake: Lake) -> None:
    assert isinstance(tick(shop, lake, None), dg.SkipReason)
    version = shop.registry.champion("shop").number
    rows = judged("-xxx", version).assign(unit="index", usual="1", seen="2", effect=0.5, p_value=0.0, p_adjusted=0.0)
    import pyarrow as pa

    table = pa.Table.from_pandas(rows, schema=drift_history.schema(), preserve_index=False)
    lake.replace("shop", "drift", KEYS[:4], table)
    found = tick(shop, lake, None)
    assert isinstance(found, dg.SensorResult)
    (run,) = found.run_requests or []
    assert run.tags["pynomaly/drift_since"] == "2025-02-02"
    assert [key.path[-1] for key in run.asset_selection or []] == ["model", "evaluation", "champion"]
    assert isinstance(tick(shop, lake, found.cursor), dg.SkipReason)
