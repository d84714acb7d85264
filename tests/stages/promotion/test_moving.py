"""A move that was recorded, and whose process was killed before it reached the registry."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pynomaly_pipelines.operations.errors import ChampionMoved
from pynomaly_pipelines.resources.registry import CHAMPION
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import Promotion
from pynomaly_pipelines.stages.promotion.champions import BY_GATE, BY_PERSON, Move, generation, history, record
from pynomaly_pipelines.stages.promotion.moving import moving
from pynomaly_pipelines.stages.promotion.registration import register
from tests.small_pipelines import Trained

GATE = Move(BY_GATE, 2, 1, "run a", "better")
ANN = Move(BY_PERSON, 2, 1, "ann", "")


def killed(lake: Lake, move: Move) -> None:
    """A process that records a move and does no more."""
    record(lake, "shop", move, after=generation(lake, "shop"))


def carry_out(lake: Lake, move: Move) -> None:
    with moving(lake, "shop", move, generation(lake, "shop")):
        pass


def by(lake: Lake) -> list[str]:
    return [move.by for move in history(lake, "shop")]


def test_the_gate_killed_before_the_alias_moved_records_one_move_in_all(shop_copy: Trained) -> None:
    registry, lake = shop_copy.registry, shop_copy.lake
    registry.point(CHAMPION, registry.version("shop", 2))
    killed(lake, replace(GATE, version=1, before=2))
    lax = Promotion.model_validate({"tolerance": 1.0, "injected_tolerance": 1.0, "min_injected_auc": 0.0})
    report = register(shop_copy.spec.model_copy(update={"promotion": lax}), lake, registry, run_id="b")
    assert report.verdict.promote, str(report.verdict)
    assert registry.champion("shop").number == 1
    assert [(move.before, move.version) for move in history(lake, "shop")] == [(None, 1), (2, 1)]


def test_the_same_decision_goes_on_with_its_move(lake: Lake) -> None:
    killed(lake, GATE)
    carry_out(lake, replace(GATE, by="run b"))
    assert by(lake) == ["run a"]


def test_another_person_made_another_decision(lake: Lake) -> None:
    killed(lake, ANN)
    carry_out(lake, replace(ANN, by="bea"))
    carry_out(lake, replace(ANN, by="bea"))
    assert by(lake) == ["ann", "bea"]


def test_a_move_made_again_after_one_back_is_recorded_again(lake: Lake) -> None:
    carry_out(lake, GATE)
    carry_out(lake, Move(BY_PERSON, 1, 2, "ann", ""))
    carry_out(lake, GATE)
    assert by(lake) == ["run a", "ann", "run a"]


def test_of_two_that_go_on_with_it_at_once_one_does(lake: Lake) -> None:
    killed(lake, GATE)
    since = generation(lake, "shop")
    with moving(lake, "shop", GATE, since):
        pass
    with pytest.raises(ChampionMoved), moving(lake, "shop", GATE, since):
        pytest.fail("it was entered")
    assert by(lake) == ["run a"]


def test_a_move_recorded_meanwhile_comes_first(lake: Lake) -> None:
    killed(lake, GATE)
    since = generation(lake, "shop")
    carry_out(lake, Move(BY_PERSON, 3, 1, "ann", ""))
    with pytest.raises(ChampionMoved), moving(lake, "shop", GATE, since):
        pytest.fail("it was entered")
    assert by(lake) == ["run a", "ann"]
