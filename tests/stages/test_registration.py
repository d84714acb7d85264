"""The gate between challenger and champion, and the way back."""

from __future__ import annotations

from typing import Any

import pytest

from pynomaly_pipelines.operations.errors import NoChampion, RegistryError
from pynomaly_pipelines.resources.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import Promotion
from pynomaly_pipelines.stages.evaluation import Evaluation, Interval, Labelled, evaluate
from pynomaly_pipelines.stages.registration import decide, promote, register, rollback
from pynomaly_pipelines.stages.training import train
from tests.small_pipelines import Trained, spec


def made(version: int = 2, auc: float = 0.9, precision: float | None = None, **changes: Any) -> Evaluation:
    same = Interval(0.9, 0.9, 0.9)
    labelled = None if precision is None else Labelled(100, 5, same, Interval(precision, 0, 1), None, 0.5)
    values: dict[str, Any] = {
        "version": version,
        "detector": "HBOS",
        "rows": 100,
        "threshold": 0.7,
        "alert_rate": 0.01,
        "injected_recall": {},
        "injected_auc": {"extreme": auc},
        "stability": None,
        "milliseconds_per_1000": 1.0,
        "labelled": labelled,
    }
    return Evaluation(**values | changes)


# -------------------------------------------------------------------------------------------------- the gate


def test_the_first_champion_needs_no_rival() -> None:
    verdict = decide(Promotion(), made(precision=0.31), None)
    assert verdict.promote
    assert "first champion" in str(verdict)
    assert "0.310" in str(verdict)


@pytest.mark.parametrize(
    ("rate", "auc", "reasons"),
    [
        (0.2, 0.7, []),
        (0.21, 0.9, ["flag 21.0% of the hold-out, more than 20.0%"]),
        (0.01, 0.69, ["ROC AUC is 0.69, not 0.70"]),
        (0.5, 0.5, ["more than 20.0%", "not 0.70"]),
    ],
)
def test_what_a_challenger_must_not_do(rate: float, auc: float, reasons: list[str]) -> None:
    verdict = decide(Promotion(), made(auc=auc, alert_rate=rate), None)
    assert verdict.promote is (not reasons)
    if reasons:
        assert len(verdict.reasons) == len(reasons)
        assert all(reason in said for reason, said in zip(reasons, verdict.reasons, strict=True))
        assert str(verdict).startswith("refused: ")


def test_the_best_kind_of_injected_anomaly_counts() -> None:
    assert decide(Promotion(), made(injected_auc={"extreme": 0.95, "mixed": 0.4}), None).promote
    # Nothing could be injected: nothing is held against it.
    assert decide(Promotion(), made(injected_auc={}), None).promote


@pytest.mark.parametrize(("new", "promoted"), [(0.9, True), (0.8, True), (0.785, True), (0.77, False)])
def test_as_good_as_the_champion_within_the_tolerance(new: float, promoted: bool) -> None:
    verdict = decide(Promotion(tolerance=0.02), made(2, precision=new), made(1, precision=0.8))
    assert verdict.promote is promoted
    if promoted:
        assert f"{new:.3f} against 0.800 of version 1" in str(verdict)
    else:
        assert "worse than 0.800 of champion 1" in str(verdict)


def test_unlike_evidence_is_not_compared() -> None:
    assert decide(Promotion(), made(2, auc=0.75), made(1, precision=0.99)).promote


def test_without_automatic_promotion_a_person_decides() -> None:
    verdict = decide(Promotion(automatic=False), made(), None)
    assert not verdict.promote
    assert "waits for a person" in str(verdict)


# ------------------------------------------------------------------------------------------------- the stage


def test_the_first_challenger_became_champion(shop: Trained) -> None:
    champion = shop.registry.champion("shop")
    assert champion.number == shop.evaluation.challenger.number
    assert champion.tags["gate"] == "passed"
    assert champion.tags["gate_reason"].startswith("promoted: the first champion")
    assert shop.registration.champion == champion
    assert shop.registry.aliased("shop", PREVIOUS) is None


def test_a_champion_is_not_held_against_itself(shop_copy: Trained) -> None:
    report = register(shop_copy.spec, shop_copy.lake, shop_copy.registry)
    assert report.verdict.promote
    assert "already" in str(report.verdict)
    assert report.evaluations == ()


def challenge(pipeline: Trained, number: int = 2) -> Version:
    version = pipeline.registry.version("shop", number)
    pipeline.registry.point(CHALLENGER, version)
    return version


def test_a_worse_challenger_stays_outside_with_the_reason(shop_copy: Trained) -> None:
    challenge(shop_copy)
    report = register(shop_copy.spec, shop_copy.lake, shop_copy.registry)
    assert not report.verdict.promote
    assert report.champion is not None
    assert report.champion.number == 1
    refused = shop_copy.registry.version("shop", 2)
    assert refused.tags["gate"] == "refused"
    assert "worse than" in refused.tags["gate_reason"]
    # Both were judged on the same rows.
    assert [evaluation.version for evaluation in report.evaluations] == [2, 1]
    assert len({evaluation.rows for evaluation in report.evaluations}) == 1
    assert report.evaluations[1].evidence == pytest.approx(shop_copy.evaluation.evaluations[0].evidence)


def test_a_challenger_within_the_tolerance_takes_over(shop_copy: Trained) -> None:
    challenge(shop_copy)
    lax = shop_copy.spec.model_copy(update={"promotion": Promotion(tolerance=1.0, min_injected_auc=0.0)})
    report = register(lax, shop_copy.lake, shop_copy.registry)
    assert report.verdict.promote
    assert shop_copy.registry.champion("shop").number == 2
    assert shop_copy.registry.champion("shop").tags["promoted_over"] == "1"
    previous = shop_copy.registry.aliased("shop", PREVIOUS)
    assert previous is not None
    assert previous.number == 1


def test_a_challenger_without_evidence_is_an_error(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    registry.tag(challenge(shop_copy), {"evaluation": "gone"})
    with pytest.raises(RegistryError, match="version 2 carries no readable evaluation"):
        register(shop_copy.spec, shop_copy.lake, registry)


def test_a_champion_that_cannot_score_the_columns_any_more_is_replaced(shop_copy: Trained) -> None:
    changed = shop_copy.spec.model_copy(update={"features": ("amount", "items")})
    train(changed, shop_copy.lake, shop_copy.registry)
    evaluate(changed, shop_copy.lake, shop_copy.registry)
    report = register(changed, shop_copy.lake, shop_copy.registry)
    assert report.verdict.promote
    assert "champion 1 can't score these columns" in str(report.verdict)
    assert "tax" in str(report.verdict)
    assert shop_copy.registry.champion("shop").number == report.challenger.number


def test_no_challenger(lake: Lake, registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no challenger"):
        register(spec(), lake, registry)


# ------------------------------------------------------------------------------------------------ the way back


def test_rollback_restores_the_champion_before(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    promote(registry, registry.version("shop", 2), registry.champion("shop"))
    lost, now = rollback(registry, "shop")
    assert (lost.number, now.number) == (2, 1)
    assert registry.champion("shop").number == 1
    assert registry.version("shop", 2).tags["rolled_back"] == "true"
    assert registry.version("shop", 1).tags["restored_after"] == "2"
    assert registry.aliased("shop", PREVIOUS) is None


def test_a_version_that_was_taken_back_is_not_promoted_again(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    promote(registry, challenge(shop_copy), registry.champion("shop"))
    rollback(registry, "shop")
    lax = shop_copy.spec.model_copy(update={"promotion": Promotion(tolerance=1.0, min_injected_auc=0.0)})
    report = register(lax, shop_copy.lake, registry)
    assert not report.verdict.promote
    assert "rolled back" in str(report.verdict)
    assert registry.champion("shop").number == 1


def test_rollback_twice_goes_back_two_steps(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    one, two = registry.version("shop", 1), registry.version("shop", 2)
    promote(registry, two, one)
    # A third version that is the first model again.
    third = registry._client().create_model_version("shop", one.source, one.run_id, tags=dict(one.tags))
    promote(registry, registry.version("shop", int(third.version)), registry.champion("shop"))
    assert [rollback(registry, "shop")[1].number for _ in range(2)] == [2, 1]
    with pytest.raises(RegistryError, match="version 1 of 'shop' replaced no champion"):
        rollback(registry, "shop")


def test_the_first_champion_cannot_be_rolled_back(shop_copy: Trained) -> None:
    with pytest.raises(RegistryError, match="replaced no champion"):
        rollback(shop_copy.registry, "shop")
    assert shop_copy.registry.aliased("shop", CHAMPION) is not None


def test_rollback_needs_a_champion(registry: Registry) -> None:
    with pytest.raises(NoChampion, match="'shop' has no champion"):
        rollback(registry, "shop")
