"""Challengers with one fault each stand before the gate, through registry and tables; then a better one; then back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import bad_challengers
from benchmarks.bad_challengers import Challenger, Shop
from pynomaly_pipelines.detection import scorer as scorers
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.stages.gate.decision import broken
from pynomaly_pipelines.stages.promotion.champions import history
from pynomaly_pipelines.stages.promotion.registration import Trace, judge_again, promote, rollback, verdict_of

FAULTS = (
    "constant", "inverted", "random", "not a number", "slow", "flags all", "flags none", "over budget",
    "shuffled columns", "stale", "wrong features", "poisoned", "no better", "worse",
)  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, new_registry: Callable[[Path], Registry]) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        for kind, place in bad_challengers.loadable().items():
            patch.setitem(scorers.KINDS, kind, place)
        yield bad_challengers.open_shop(folder, new_registry(folder / "registry"))


@pytest.fixture(scope="module")
def entered(shop: Shop) -> dict[str, Challenger]:
    return {one.name: one for one in bad_challengers.bad(shop)}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_challenger_is_refused_for_its_fault(name: str, shop: Shop, entered: dict[str, Challenger]) -> None:
    assert set(entered) == set(FAULTS)
    one = entered[name]
    report = shop.face(one.version)
    assert report.verdict.outcome == "refused"
    objection = {c.name: c for c in broken(report.verdict.criteria)}[one.rule]
    assert shop.registry.champion("shop").number == 1
    # The reason lies on the version, where people and programs look for it.
    version = shop.registry.version("shop", one.version.number)
    assert version.tags["gate"] == "refused"
    assert objection.sentence in version.tags["gate_reason"]
    assert verdict_of(shop.registry, version) == report.verdict
    page = shop.registry._client().get_model_version("shop", str(version.number)).description
    assert objection.rule in page


def test_slow_is_the_only_thing_wrong_with_the_slow_one(shop: Shop, entered: dict[str, Challenger]) -> None:
    verdict = verdict_of(shop.registry, shop.registry.version("shop", entered["slow"].version.number))
    assert [c.name for c in broken(verdict.criteria)] == ["scoring cost"]


def test_a_verdict_repeats_to_the_last_digit(shop: Shop, entered: dict[str, Challenger]) -> None:
    version = shop.registry.version("shop", entered["worse"].version.number)
    kept, again = judge_again(shop.spec, shop.lake, shop.registry, version)
    assert kept.differences(again) == []
    assert again.rows == kept.rows
    assert kept.rows is not None
    assert (kept.rows.rows, kept.rows.table_version) == (600, 1)
    assert kept.rows.partitions == tuple(f"2025-01-{day}" for day in range(25, 31))


def test_a_better_one_is_accepted_and_stays_away_once_rolled_back(shop: Shop, entered: dict[str, Challenger]) -> None:
    registry, lake, spec = shop.registry, shop.lake, shop.spec
    better = shop.face(shop.enter(shop.scorer("LOF")))
    assert better.verdict.promote, str(better.verdict)
    assert registry.champion("shop").number == better.challenger.number == len(entered) + 2
    lost, now = rollback(spec, lake, registry, Trace("ann", "nobody could act on its alerts"))
    assert (lost.number, now.number) == (better.challenger.number, 1)
    assert lost.tags["rolled_back_reason"] == "nobody could act on its alerts"
    # Itself, and its like under another number: neither comes back without a person.
    assert shop.face(lost).verdict.outcome == "held"
    twin = shop.face(shop.enter(shop.scorer("LOF")))
    assert twin.verdict.outcome == "held"
    assert f"as version {lost.number} does" in str(twin.verdict)
    assert "nobody could act on its alerts" in str(twin.verdict)
    assert registry.champion("shop").number == 1
    assert registry.version("shop", twin.challenger.number).tags["gate"] == "held"
    promote(spec, lake, registry, twin.challenger.number, Trace("bea", "we can, now"))
    assert registry.champion("shop").number == twin.challenger.number
    moves = [(move.before, move.version, move.what, move.by) for move in history(lake, "shop")]
    assert moves == [
        (None, 1, "promoted by the gate", ""),
        (1, lost.number, "promoted by the gate", ""),
        (lost.number, 1, "rolled back", "ann"),
        (1, twin.challenger.number, "promoted by a person", "bea"),
    ]
