"""A person moves the alias in the registry: what the sensor says at each tick, and what follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from pynomaly_pipelines.automation.promotions import SOUND_CHECK, build_promotions
from pynomaly_pipelines.operations.errors import RegistryError
from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource
from pynomaly_pipelines.resources.registry import CHAMPION, PREVIOUS
from pynomaly_pipelines.stages.promotion.champions import history
from pynomaly_pipelines.stages.promotion.registration import Trace, promote
from pynomaly_pipelines.stages.scoring import score
from tests.small_pipelines import Trained


class Ticks:
    """The sensor, tick after tick, on one registry and one table."""

    def __init__(self, pipeline: Trained, instance: dg.DagsterInstance) -> None:
        self._pipeline, self._instance, self._cursor = pipeline, instance, None
        self._sensor = build_promotions(pipeline.spec, live=False)

    def tick(self) -> Any:
        registry = self._pipeline.registry
        context = dg.build_sensor_context(
            self._instance,
            cursor=self._cursor,
            resources={
                "lake": LakeResource(root=self._pipeline.lake.root, project="."),
                "registry": RegistryResource(
                    tracking_uri=registry.tracking_uri, artifacts=registry.artifacts, ui="http://mlflow"
                ),
            },
        )
        said = self._sensor(context)
        self._cursor = said.cursor if isinstance(said, dg.SensorResult) else context.cursor
        return said

    def skipped(self) -> str:
        said = self.tick()
        assert isinstance(said, dg.SkipReason)
        return str(said.skip_message)

    def events(self) -> list[Any]:
        said = self.tick()
        assert isinstance(said, dg.SensorResult)
        return list(said.asset_events)


@pytest.fixture
def ticks(shop_copy: Trained) -> Iterator[Ticks]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticks(shop_copy, instance)


def by_hand(pipeline: Trained, number: int) -> None:
    """What the MLflow UI does when a person moves the alias."""
    pipeline.registry._client().set_registered_model_alias("shop", CHAMPION, str(number))


def test_nothing_to_do_while_the_product_moves_the_alias(shop_copy: Trained, ticks: Ticks) -> None:
    assert ticks.skipped() == "the champion is version 1, as recorded"
    assert ticks.skipped() == "the champion is version 1, as at the last look"
    promote(shop_copy.spec, shop_copy.lake, shop_copy.registry, 2, Trace("ann"))
    assert ticks.skipped() == "the champion is version 2, as recorded"


def test_a_move_by_hand_is_noticed_checked_and_told_once(shop_copy: Trained, ticks: Ticks) -> None:
    ticks.tick()
    by_hand(shop_copy, 2)
    assert ticks.skipped() == "the champion is version 2, recorded is 1; it is looked at once more"
    made, checked = ticks.events()
    assert isinstance(made, dg.AssetMaterialization)
    assert made.asset_key == dg.AssetKey(["shop", "champion"])
    assert made.metadata["version"].value == 2
    assert "version 2 was made champion in the registry, after 1" in str(made.description)
    assert isinstance(checked, dg.AssetCheckEvaluation)
    assert (checked.check_name, checked.passed) == (SOUND_CHECK, True)
    assert "the gate had said of it: it was never asked" in str(checked.description)
    assert [ticks.skipped() for _ in range(2)] == ["the champion is version 2, as at the last look"] * 2
    # A trace in the history, and on the version, so that `rollback` knows the way.
    last = history(shop_copy.lake, "shop")[-1]
    assert (last.before, last.version, last.what) == (1, 2, "moved in the registry")
    tags = shop_copy.registry.version("shop", 2).tags
    assert (tags["sound"], tags["promoted_over"]) == ("yes", "1")
    previous = shop_copy.registry.aliased("shop", PREVIOUS)
    assert previous is not None
    assert previous.number == 1


def test_a_move_of_the_gate_seen_half_done_is_no_move_by_hand(shop_copy: Trained, ticks: Ticks) -> None:
    ticks.tick()
    by_hand(shop_copy, 2)
    assert "looked at once more" in ticks.skipped()
    by_hand(shop_copy, 1)
    promote(shop_copy.spec, shop_copy.lake, shop_copy.registry, 2, Trace("run 7"))
    assert ticks.skipped() == "the champion is version 2, as recorded"


def test_what_is_not_sound_scores_nothing_and_is_not_taken_back(shop_copy: Trained, ticks: Ticks) -> None:
    registry, good = shop_copy.registry, shop_copy.registry.version("shop", 2)
    registry._client().create_model_version("shop", "file:///nowhere", good.run_id, tags=dict(good.tags))
    ticks.tick()
    by_hand(shop_copy, 3)
    ticks.tick()
    (checked,) = ticks.events()
    assert (checked.passed, checked.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "it scores nothing" in str(checked.description)
    # The person's choice stands, and nothing is scored by it.
    assert registry.champion("shop").number == 3
    with pytest.raises(RegistryError, match=r"champion 3 of 'shop' was chosen in the registry and is not sound"):
        score(shop_copy.spec, shop_copy.partitions(), shop_copy.lake, registry)
    # Until a person chooses again.
    by_hand(shop_copy, 2)
    ticks.tick()
    made, checked = ticks.events()
    assert (made.metadata["version"].value, checked.passed) == (2, True)
    score(shop_copy.spec, shop_copy.partitions(), shop_copy.lake, registry)


def test_an_alias_that_is_taken_away_is_an_alarm(shop_copy: Trained, ticks: Ticks) -> None:
    ticks.tick()
    shop_copy.registry.unpoint(CHAMPION, "shop")
    assert ticks.skipped() == "the champion is none, recorded is 1; it is looked at once more"
    (checked,) = ticks.events()
    assert not checked.passed
    assert "the alias of champion 1 was taken away" in str(checked.description)
    assert ticks.skipped() == "the champion is none, as at the last look"
