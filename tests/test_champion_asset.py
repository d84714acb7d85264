"""The asset `champion` run by Dagster: a refusal is an outcome of the step, not its failure."""

from __future__ import annotations

import dagster as dg

from pynomaly_pipelines.automation.promotions import SOUND_CHECK
from pynomaly_pipelines.pipeline import GATE, Wiring, champion_asset
from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource
from pynomaly_pipelines.resources.registry import CHALLENGER, CHAMPION
from tests.small_pipelines import Trained

KEY = dg.AssetKey(["shop", "champion"])


def run(pipeline: Trained) -> dg.ExecuteInProcessResult:
    registry = pipeline.registry
    resources = {
        "lake": LakeResource(root=pipeline.lake.root, project="."),
        "registry": RegistryResource(
            tracking_uri=registry.tracking_uri, artifacts=registry.artifacts, ui="http://mlflow"
        ),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize([champion_asset(Wiring(pipeline.spec))], instance=instance, resources=resources)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    return {e.check_name: (e.passed, e.description or "") for e in result.get_asset_check_evaluations()}


def test_a_refused_challenger_fails_no_step_and_the_champion_is_looked_at(shop_copy: Trained) -> None:
    shop_copy.registry.point(CHALLENGER, shop_copy.registry.version("shop", 2))
    result = run(shop_copy)
    assert result.success
    assert result.get_asset_materialization_events() == []
    found = checks(result)
    assert not found[GATE][0]
    assert found[GATE][1].startswith("refused: ")
    assert found[SOUND_CHECK] == (True, "version 1 loads and scores")


def test_a_champion_that_passed_is_news(shop_copy: Trained) -> None:
    shop_copy.registry.unpoint(CHAMPION, "shop")
    result = run(shop_copy)
    (made,) = result.get_asset_materialization_events()
    assert made.asset_key == KEY
    assert checks(result)[GATE][0]
    assert checks(result)[SOUND_CHECK] == (True, "version 1 loads and scores")


def test_without_any_champion_the_check_says_so(shop_copy: Trained) -> None:
    # A first challenger that no rule lets pass: nothing is scored, and it shows.
    shop_copy.registry.unpoint(CHAMPION, "shop")
    registry = shop_copy.registry
    registry.tag(registry.version("shop", 1), {"rolled_back": "true"})
    result = run(shop_copy)
    assert result.success
    assert result.get_asset_materialization_events() == []
    assert checks(result)[SOUND_CHECK] == (False, "there is no champion yet: nothing is scored")
