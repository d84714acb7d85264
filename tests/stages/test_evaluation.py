"""The evidence on a version: what labels say, what injected anomalies say, and how sure of it one may be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Detector
from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.resources.registry import CHALLENGER, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages import evaluation as stage
from pynomaly_pipelines.stages.evaluation import Evaluation, Interval, Labelled
from pynomaly_pipelines.stages.training import Split, choose_window, read_window
from tests.small_pipelines import START, Small, Trained, series, spec, trained


def made(**changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "version": 3,
        "detector": "HBOS",
        "rows": 100,
        "threshold": 0.7,
        "alert_rate": 0.01,
        "injected_recall": {"extreme": 0.9},
        "injected_auc": {"extreme": 0.95, "mixed": 0.65},
        "stability": 0.8,
        "milliseconds_per_1000": 2.0,
    }
    return Evaluation(**values | changes)


LABELLED = Labelled(100, 5, Interval(0.9, 0.8, 0.95), Interval(0.5, 0.2, 0.7), Interval(0.4, 0.1, 0.9), 0.6)


# ------------------------------------------------------------------------------------------- what it says


def test_labels_decide_where_there_are_any() -> None:
    assert (made(labelled=LABELLED).evidence, made(labelled=LABELLED).evidence_name) == (0.5, "average precision")


def test_injected_anomalies_decide_where_there_are_none() -> None:
    assert made().evidence == pytest.approx(0.8)
    assert made().evidence_name == "mean ROC AUC of injected anomalies"
    assert made(injected_auc={}).evidence == 0.0


def test_metrics_leave_out_what_is_not_known() -> None:
    plain = made(stability=None).metrics()
    assert plain["injected_auc_mixed"] == 0.65
    assert plain["alert_rate"] == 0.01
    assert {"stability", "roc_auc", "precision"}.isdisjoint(plain)
    told = made(labelled=LABELLED).metrics()
    assert (told["roc_auc"], told["average_precision"], told["precision"], told["recall"]) == (0.9, 0.5, 0.4, 0.6)
    without = made(labelled=Labelled(9, 1, Interval(1, 1, 1), Interval(1, 1, 1), None, 0.0)).metrics()
    assert "precision" not in without


# ------------------------------------------------------------------------------------------------- labels


def auc_by_pairs(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of pairs of an anomaly and another row that are in the right order; ties count half."""
    pairs = itertools.product(scores[labels == 1], scores[labels == 0])
    return float(np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs]))


def precision_by_ranks(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the anomalies of the precision among the rows that score at least as high (no ties)."""
    return float(np.mean([labels[scores >= own].mean() for own in scores[labels == 1]]))


@pytest.fixture
def judged() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    labels = (rng.random(300) < 0.1).astype(float)
    return labels, rng.random(300) * 0.6 + 0.3 * labels


def test_figures_of_labels_are_those_of_their_definitions(judged: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = judged
    unknown = np.where(np.arange(300) < 20, np.nan, labels)
    unscored = np.where(np.arange(300) >= 280, np.nan, scores)
    found = stage._labelled(unscored, unknown, 0.45, seed=0)
    assert found is not None
    labels, scores = labels[20:280], scores[20:280]
    flagged = scores > 0.45
    assert (found.rows, found.anomalies) == (260, int(labels.sum()))
    assert found.roc_auc.value == pytest.approx(auc_by_pairs(labels, scores))
    assert found.average_precision.value == pytest.approx(precision_by_ranks(labels, scores))
    assert found.precision is not None
    assert found.precision.value == pytest.approx(labels[flagged].mean())
    assert found.recall == pytest.approx(labels[flagged].sum() / labels.sum())
    for interval in (found.roc_auc, found.average_precision, found.precision):
        assert interval.low < interval.value < interval.high


def test_the_interval_is_the_bootstraps(judged: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = judged
    found = stage.bootstrap(labels, scores, auc_by_pairs, seed=0)
    # DeLong's variance of the AUC (1988), written down anew: placements of each row among the other class.
    low, high = scores[labels == 0], scores[labels == 1]
    of_high = np.array([np.mean(low < s) for s in high])
    of_low = np.array([np.mean(high > s) for s in low])
    error = np.sqrt(of_high.var(ddof=1) / len(high) + of_low.var(ddof=1) / len(low))
    assert found.value == pytest.approx(of_high.mean())
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1.0, abs=0.2)
    assert stage.bootstrap(labels, scores, auc_by_pairs, seed=0) == found


@pytest.mark.parametrize("labels", [np.zeros(10), np.ones(10), np.full(10, np.nan)])
def test_labels_of_one_kind_say_nothing(labels: np.ndarray) -> None:
    assert stage._labelled(np.linspace(0, 1, 10), labels, 0.5, seed=0) is None


def test_precision_is_unknown_where_nothing_was_flagged() -> None:
    found = stage._labelled(np.linspace(0, 0.4, 10), np.r_[np.zeros(8), 1, 1], 0.5, seed=0)
    assert found is not None
    assert found.precision is None
    assert found.recall == 0.0
    assert found.roc_auc.value == 1.0


# ------------------------------------------------------------------------------------------------ the stage


def test_the_best_candidate_becomes_challenger(shop: Trained) -> None:
    first, second = shop.evaluation.evaluations
    assert first.evidence >= second.evidence
    assert shop.evaluation.challenger.number == first.version
    pointed = shop.registry.aliased("shop", CHALLENGER)
    assert pointed is not None
    assert pointed.number == first.version


def test_figures_of_a_candidate_are_those_of_its_holdout(shop: Trained) -> None:
    first = shop.evaluation.evaluations[0]
    version = shop.registry.version("shop", first.version)
    held = shop.small.rows.iloc[480:]
    scores = shop.registry.load(version).score(held[["amount", "tax", "items", "country", "gift"]])
    assert first.rows == 120
    assert first.alert_rate == pytest.approx(np.mean(scores > version.threshold))
    assert first.labelled is not None
    assert first.labelled.roc_auc.value == pytest.approx(auc_by_pairs(held["fraud"].to_numpy(), scores))
    assert set(first.injected_recall) == set(first.injected_auc) == {"extreme", "mixed"}
    assert first.stability is not None
    assert -1 <= first.stability <= 1


def test_the_evaluation_is_kept_on_the_version_and_its_run(shop: Trained) -> None:
    first = shop.evaluation.evaluations[0]
    version = shop.registry.version("shop", first.version)
    assert version.tags["evaluation"] == f"average precision {first.evidence:.3f}"
    assert shop.registry.file(version, "evaluation/evaluation.json").decode() == first.to_json()


def test_the_report_is_a_table_of_all_candidates(shop: Trained) -> None:
    head, rule, *rows = shop.evaluation.markdown().splitlines()
    assert len(rows) == 2
    assert {line.count("|") for line in (head, rule, *rows)} == {11}
    assert "IForest" in rows[0]


def test_an_injected_spike_in_a_series_is_found(meters: Trained) -> None:
    (only,) = meters.evaluation.evaluations
    assert only.labelled is None
    assert only.injected_recall["spike"] == 1.0
    assert only.injected_auc["spike"] > 0.95
    assert set(meters.evaluation.pictures) == {"holdout_scores.png", "holdout_series.png"}


def test_a_series_without_a_past_is_no_evidence_against_a_detector(
    tmp_path: Path, new_registry: Callable[[Path], Registry]
) -> None:
    # After eleven days with one spike among them it flags more than it promises.
    small = series(14, promotion={"alert_factor": 20})
    # The second meter is new on the last day.
    kept = (small.rows["meter"] == "north") | (small.rows["at"] >= START + pd.Timedelta(days=13))
    made = trained(Small(small.spec, small.rows[kept]), tmp_path, new_registry)
    (only,) = made.evaluation.evaluations
    assert only.injected_auc["spike"] > 0.9
    assert made.registration.verdict.promote


def test_nothing_trained_yet(lake: Lake, registry: Registry) -> None:
    with pytest.raises(NotEnoughData, match="no candidates"):
        stage.evaluate(spec(), lake, registry)


def test_a_holdout_that_cannot_be_scored_is_an_error(meters: Trained) -> None:
    split = read_window(meters.spec, meters.lake, choose_window(meters.spec, meters.lake))
    strangers = split.holdout.assign(series="new/load").groupby("timestamp").head(1).head(1)
    alone = Split(split.train, strangers, None, None, split.history)
    version = meters.registry.candidates("meters")[0]
    with pytest.raises(NotEnoughData, match="hold-out rows of 'meters' could be scored"):
        stage.judge(meters.spec, version, meters.registry.load(version), alone)


# ------------------------------------------------------------------------------------------------ stability


def split_of(frame: pd.DataFrame) -> Split:
    return Split(frame.iloc[:300], frame.iloc[300:].reset_index(drop=True), None, None, frame.iloc[:0])


def stability(frame: pd.DataFrame) -> Evaluation:
    small = spec(labels=None, training={"detectors": ["HBOS"]})
    version = Version("shop", 1, "run", "", {"detector": "HBOS", "threshold": "0.7"})
    split = split_of(frame)
    return stage.judge(small, version, Detector("HBOS", seed=0).fit(split.train), split)[0]


def test_what_repeats_itself_is_stable() -> None:
    rng = np.random.default_rng(0)
    steady = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400)})
    found = stability(steady).stability
    assert found is not None
    assert found > 0.7


def test_stability_is_not_made_up() -> None:
    rng = np.random.default_rng(0)
    # Only training rows vary: in the hold-out all rows score the same.
    frame = pd.DataFrame({"a": np.r_[rng.normal(size=300), np.zeros(100)]})
    found = stability(frame)
    assert found.stability is None
    assert "score the same" in found.notes[0]
    assert json.loads(found.to_json())["stability"] is None


def test_refitting_that_fails_is_a_note() -> None:
    frame = pd.DataFrame({"a": np.r_[0.0, np.ones(2), np.arange(5.0)]})
    split = Split(frame.iloc[:3], frame.iloc[3:].reset_index(drop=True), None, None, frame.iloc[:0])
    version = Version("shop", 1, "run", "", {"detector": "KNN", "threshold": "0.7"})
    scorer = Detector("HBOS", seed=0).fit(pd.DataFrame({"a": np.arange(50.0)}))
    found, _ = stage.judge(spec(labels=None, training={"detectors": ["KNN"]}), version, scorer, split)
    assert found.stability is None
    assert found.notes[0].startswith("stability not measured")
