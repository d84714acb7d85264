"""Challenger to champion through the gate, by a person's word, and the way back."""

from __future__ import annotations

import json

import pytest

from pynomaly_pipelines.operations.errors import NoChampion, RegistryError
from pynomaly_pipelines.resources.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec, Promotion
from pynomaly_pipelines.stages.evaluation import evaluate
from pynomaly_pipelines.stages.promotion.champions import history
from pynomaly_pipelines.stages.promotion.registration import Trace, judge_again, promote, register, rollback
from pynomaly_pipelines.stages.training import train
from tests.small_pipelines import Trained, spec


def test_the_first_challenger_became_champion(shop: Trained) -> None:
    champion = shop.registry.champion("shop")
    assert champion.number == shop.evaluation.challenger.number
    assert champion.tags["gate"] == "passed"
    assert champion.tags["gate_reason"].startswith("promoted: there is no champion to beat; ")
    assert shop.registration.champion == champion
    assert shop.registry.aliased("shop", PREVIOUS) is None


def test_a_champion_is_not_held_against_itself(shop_copy: Trained) -> None:
    report = register(shop_copy.spec, shop_copy.lake, shop_copy.registry)
    assert report.verdict.promote
    assert "already" in str(report.verdict)
    assert [move.version for move in history(shop_copy.lake, "shop")] == [1]


def challenge(pipeline: Trained, number: int = 2) -> Version:
    version = pipeline.registry.version("shop", number)
    pipeline.registry.point(CHALLENGER, version)
    return version


def lax(pipeline: Trained, **rules: object) -> PipelineSpec:
    """The pipeline under rules that let version 2 pass."""
    rules = {"tolerance": 1.0, "injected_tolerance": 1.0, "min_injected_auc": 0.0, **rules}
    return pipeline.spec.model_copy(update={"promotion": Promotion.model_validate(rules)})


def test_a_worse_challenger_stays_outside_with_the_reason(shop_copy: Trained) -> None:
    challenge(shop_copy)
    report = register(shop_copy.spec, shop_copy.lake, shop_copy.registry)
    assert report.verdict.outcome == "refused"
    assert report.champion is not None
    assert report.champion.number == 1
    refused = shop_copy.registry.version("shop", 2)
    assert refused.tags["gate"] == "refused"
    assert "champion" in refused.tags["gate_reason"]


def test_both_are_judged_on_the_rows_the_challenger_was_not_fitted_on(shop_copy: Trained) -> None:
    challenge(shop_copy)
    rows = register(shop_copy.spec, shop_copy.lake, shop_copy.registry).verdict.rows
    assert rows is not None
    assert (rows.partitions, rows.table_version, rows.rows) == (("2025-01-09", "2025-01-10"), 1, 120)
    assert rows.anomalies == int(shop_copy.small.rows["fraud"].iloc[480:].sum())
    assert rows.seen_by_champion == ()
    assert "neither model was fitted on them" in rows.sentence()


def test_what_the_champion_was_fitted_on_is_told(shop_copy: Trained) -> None:
    # A champion of a later training, whose fitted days reach into what version 2 held out.
    registry, later = shop_copy.registry, {"holdout_from": "2025-01-10"}
    window = json.loads(registry.version("shop", 1).tags["window"]) | later
    registry.tag(registry.version("shop", 1), {"window": json.dumps(window)})
    challenge(shop_copy)
    rows = register(shop_copy.spec, shop_copy.lake, registry).verdict.rows
    assert rows is not None
    assert rows.seen_by_champion == ("2025-01-09",)
    assert "fitted on 1 of these 2 partitions" in rows.sentence()


def test_an_equal_challenger_does_not_replace_the_champion(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    one = registry.version("shop", 1)
    twin = registry._client().create_model_version("shop", one.source, one.run_id, tags=dict(one.tags))
    challenge(shop_copy, int(twin.version))
    report = register(shop_copy.spec, shop_copy.lake, registry)
    assert report.verdict.outcome == "refused"
    assert "no better, so the champion stays" in str(report.verdict)
    assert registry.champion("shop").number == 1


def test_a_better_challenger_takes_over(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    registry.point(CHAMPION, registry.version("shop", 2))
    challenge(shop_copy, 1)
    report = register(lax(shop_copy), shop_copy.lake, registry)
    assert report.verdict.promote, str(report.verdict)
    assert registry.champion("shop").number == 1
    assert registry.champion("shop").tags["promoted_over"] == "2"
    previous = registry.aliased("shop", PREVIOUS)
    assert previous is not None
    assert previous.number == 2


def test_without_automatic_promotion_a_person_decides(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    registry.point(CHAMPION, registry.version("shop", 2))
    challenge(shop_copy, 1)
    report = register(lax(shop_copy, automatic=False), shop_copy.lake, registry)
    assert report.verdict.outcome == "held"
    assert "waits for a person" in str(report.verdict)
    assert registry.champion("shop").number == 2
    assert registry.version("shop", 1).tags["gate"] == "held"


def test_a_champion_that_cannot_score_the_columns_any_more_is_replaced(shop_copy: Trained) -> None:
    changed = shop_copy.spec.model_copy(update={"features": ("amount", "items")})
    train(changed, shop_copy.lake, shop_copy.registry)
    evaluate(changed, shop_copy.lake, shop_copy.registry)
    report = register(changed, shop_copy.lake, shop_copy.registry)
    assert report.verdict.promote
    assert "champion 1 can't score these rows" in str(report.verdict)
    assert "'tax'" in str(report.verdict)
    assert shop_copy.registry.champion("shop").number == report.challenger.number


def test_a_champion_whose_artifact_is_gone_is_replaced(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    version = registry.version("shop", 2)
    lost = registry._client().create_model_version("shop", "file:///nowhere", version.run_id, tags=dict(version.tags))
    registry.point(CHAMPION, registry.version("shop", int(lost.version)))
    challenge(shop_copy, 1)
    report = register(shop_copy.spec, shop_copy.lake, registry)
    assert report.verdict.promote
    assert "champion 3 can't be loaded" in str(report.verdict)


def test_no_challenger(lake: Lake, registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no challenger"):
        register(spec(), lake, registry)


def test_a_verdict_that_was_never_given_cannot_be_repeated(shop_copy: Trained) -> None:
    with pytest.raises(RegistryError, match="version 2 has no readable verdict"):
        judge_again(shop_copy.spec, shop_copy.lake, shop_copy.registry, shop_copy.registry.version("shop", 2))


def test_the_first_verdict_repeats(shop: Trained) -> None:
    kept, again = judge_again(shop.spec, shop.lake, shop.registry, shop.registry.version("shop", 1))
    assert kept.differences(again) == []
    assert str(kept) == str(again)


# ------------------------------------------------------------------------------------------------ the way back

ANN = Trace("ann", "too many alerts")


def back(pipeline: Trained, to: int | None = None) -> tuple[int, int]:
    lost, now = rollback(pipeline.spec, pipeline.lake, pipeline.registry, ANN, to)
    return lost.number, now.number


def forward(pipeline: Trained, number: int) -> None:
    promote(pipeline.spec, pipeline.lake, pipeline.registry, number, Trace("bea"))


def test_rollback_restores_the_champion_before_and_leaves_a_trace(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    forward(shop_copy, 2)
    assert back(shop_copy) == (2, 1)
    assert registry.champion("shop").number == 1
    lost = registry.version("shop", 2).tags
    assert (lost["rolled_back"], lost["rolled_back_to"], lost["rolled_back_reason"]) == ("true", "1", ANN.reason)
    assert registry.version("shop", 1).tags["restored_after"] == "2"
    assert registry.aliased("shop", PREVIOUS) is None
    moves = [(m.before, m.version, m.what, m.by, m.reason) for m in history(shop_copy.lake, "shop")][1:]
    assert moves == [(1, 2, "promoted by a person", "bea", ""), (2, 1, "rolled back", "ann", ANN.reason)]


def test_a_version_that_was_taken_back_is_not_promoted_again(shop_copy: Trained) -> None:
    forward(shop_copy, 2)
    back(shop_copy)
    challenge(shop_copy)
    report = register(lax(shop_copy), shop_copy.lake, shop_copy.registry)
    assert report.verdict.outcome == "held"
    assert "rolled back" in str(report.verdict)
    assert shop_copy.registry.champion("shop").number == 1


def test_a_person_may_promote_it_all_the_same(shop_copy: Trained) -> None:
    forward(shop_copy, 2)
    back(shop_copy)
    forward(shop_copy, 2)
    assert shop_copy.registry.champion("shop").number == 2
    assert "rolled_back" not in shop_copy.registry.version("shop", 2).tags


def test_rollback_to_an_earlier_champion(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    one = registry.version("shop", 1)
    registry._client().create_model_version("shop", one.source, one.run_id, tags=dict(one.tags))
    forward(shop_copy, 2)
    forward(shop_copy, 3)
    assert back(shop_copy, to=1) == (3, 1)


def test_rollback_to_what_never_was_champion(shop_copy: Trained) -> None:
    with pytest.raises(RegistryError, match="version 2 of 'shop' was never champion"):
        back(shop_copy, to=2)
    with pytest.raises(RegistryError, match="version 1 is the champion of 'shop' already"):
        back(shop_copy, to=1)


def test_rollback_twice_goes_back_two_steps(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    one = registry.version("shop", 1)
    forward(shop_copy, 2)
    # A third version that is the first model again.
    registry._client().create_model_version("shop", one.source, one.run_id, tags={**one.tags, "promoted_over": "2"})
    forward(shop_copy, 3)
    assert [back(shop_copy)[1] for _ in range(2)] == [2, 1]
    with pytest.raises(RegistryError, match="version 1 of 'shop' replaced no champion"):
        back(shop_copy)


def test_what_cannot_score_is_no_champion_whoever_asks(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    version = registry.version("shop", 2)
    registry._client().create_model_version("shop", "file:///nowhere", version.run_id, tags=dict(version.tags))
    with pytest.raises(RegistryError, match=r"version 3 of 'shop' can't be champion.*could not be fetched"):
        forward(shop_copy, 3)
    narrow = shop_copy.spec.model_copy(update={"features": ("amount", "items")})
    with pytest.raises(RegistryError, match="can't be champion: its columns are not the pipeline's"):
        promote(narrow, shop_copy.lake, registry, 2, Trace("bea"))
    assert registry.champion("shop").number == 1


def test_the_first_champion_cannot_be_rolled_back(shop_copy: Trained) -> None:
    with pytest.raises(RegistryError, match="replaced no champion"):
        back(shop_copy)
    assert shop_copy.registry.aliased("shop", CHAMPION) is not None


def test_rollback_needs_a_champion(lake: Lake, registry: Registry) -> None:
    with pytest.raises(NoChampion, match="'shop' has no champion"):
        rollback(spec(), lake, registry, ANN)
