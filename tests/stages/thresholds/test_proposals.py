"""What a proposed threshold would have meant; stored scores flagged anew in one commit a partition."""

from __future__ import annotations

import numpy as np
import pytest

from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.spec.threshold import Threshold
from pynomaly_pipelines.stages.thresholds.in_force import changes, rule_of
from pynomaly_pipelines.stages.thresholds.proposals import propose, reflag
from tests.small_pipelines import Trained


def test_a_proposal_is_shown_beside_the_present_threshold_and_writes_nothing(shop: Trained) -> None:
    version = shop.registry.champion("shop")
    rule = Threshold.model_validate({"budget": {"alerts": 2, "per": "day"}})
    found = propose(shop.spec, shop.lake, shop.registry, rule)
    stored = shop.scores()
    per_day = stored["is_anomaly"].groupby(stored["_partition"]).sum()
    assert found.present.tried.alerts.tolist() == per_day.tolist()
    assert found.proposed is not None
    flagged = stored["score"] > found.proposed.derived.score
    assert found.proposed.tried.alerts.tolist() == flagged.groupby(stored["_partition"]).sum().tolist()
    assert found.proposed.tried.alerts.max() <= 2 < found.present.tried.alerts.max()
    truth = stored["id"].to_numpy() % 30 == 17
    assert (found.known, found.proposed.caught) == (int(truth.sum()), int((truth & flagged).sum()))
    assert found.picture().startswith(b"\x89PNG")
    assert shop.registry.version("shop", version.number).tags == version.tags
    assert rule_of(shop.spec, shop.registry) == (shop.spec.threshold, "defs.yaml")


def test_without_a_proposal_the_threshold_in_force_is_shown(shop: Trained, meters: Trained) -> None:
    found = propose(shop.spec, shop.lake, shop.registry)
    assert (found.proposed, found.pending, found.who) == (None, False, "defs.yaml")
    assert found.present.derived.rule == "alert rate 0.02"
    assert found.picture().startswith(b"\x89PNG")
    assert propose(meters.spec, meters.lake, meters.registry).known is None


def test_a_changed_yaml_is_shown_before_the_next_scoring_notes_it(shop: Trained) -> None:
    changed = shop.spec.model_copy(update={"threshold": Threshold(score=0.9)})
    found = propose(changed, shop.lake, shop.registry)
    assert found.pending
    assert found.present.derived.score == 0.9
    assert changes(shop.registry.champion("shop")) == []


def test_a_proposal_from_too_few_labels_says_so(shop: Trained) -> None:
    with pytest.raises(NotEnoughData, match="4 labelled anomalies"):
        propose(shop.spec, shop.lake, shop.registry, Threshold.model_validate({"labels": {"best": "f1"}}))


def test_stored_scores_are_flagged_anew_in_one_commit_a_partition(shop_copy: Trained) -> None:
    lake, before = shop_copy.lake, shop_copy.scores()
    version = lake.version("shop", "scores")
    done = reflag(shop_copy.spec, lake, 0.6)
    after = shop_copy.scores()
    assert lake.version("shop", "scores") == version + len(done) == version + 10
    np.testing.assert_array_equal(after["is_anomaly"], np.nan_to_num(after["score"]) > 0.6)
    assert set(after["threshold"]) == {0.6}
    assert sum(part.before for part in done) == before["is_anomaly"].sum()
    assert sum(part.after for part in done) == after["is_anomaly"].sum() > before["is_anomaly"].sum()
    rest = [name for name in before.columns if name not in ("threshold", "is_anomaly", "reasons")]
    assert after[rest].equals(before[rest])
    # Done already: nothing is written.
    assert reflag(shop_copy.spec, lake, 0.6) == []
    assert lake.version("shop", "scores") == version + 10


def test_some_partitions_can_be_flagged_anew_alone(shop_copy: Trained) -> None:
    assert [part.partition for part in reflag(shop_copy.spec, shop_copy.lake, 0.6, ["2025-01-03"])] == ["2025-01-03"]
    assert set(shop_copy.scores("2025-01-04")["threshold"]) != {0.6}
