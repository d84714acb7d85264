"""The threshold in force: derived for each version, changed by YAML or by a person, without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.threshold import AlertBudget, Threshold
from pynomaly_pipelines.stages.scoring import score
from pynomaly_pipelines.stages.thresholds.alerts import alerts_of, alerts_per_period, periods_within
from pynomaly_pipelines.stages.thresholds.in_force import (
    accept,
    changes,
    derive,
    history_of,
    in_force,
    rule_of,
    up_to_now,
)
from pynomaly_pipelines.stages.training import Window, train
from tests.small_pipelines import START, Trained, put, records, series, trained

BUDGET = {"budget": {"alerts": 3, "per": "day"}}


def with_rule(spec: PipelineSpec, **rule: Any) -> PipelineSpec:
    return spec.model_copy(update={"threshold": Threshold.model_validate(rule)})


def window_of(trained: Trained, version: Version) -> Window:
    return Window.from_json(version.tags["window"], trained.lake, trained.spec.name)


def champion_in_force(trained: Trained, spec: PipelineSpec) -> Version:
    version = trained.registry.champion(spec.name)
    return in_force(spec, trained.lake, trained.registry, version, trained.registry.load(version))


def daily_alerts(scores: pd.DataFrame, threshold: float) -> pd.Series:
    rows = scores.assign(time=scores["at"], entity="", place=0)
    days = periods_within(START, START + pd.Timedelta(days=10), "day", "UTC")
    return alerts_per_period(alerts_of(rows[rows["score"] > threshold], None), days, "day", "UTC")


def test_a_yaml_change_takes_effect_without_training(shop_copy: Trained) -> None:
    versions = len(shop_copy.registry.versions("shop"))
    spec = with_rule(shop_copy.spec, **BUDGET)
    report = score(spec, shop_copy.partitions(), shop_copy.lake, shop_copy.registry)
    stored = shop_copy.scores()
    # Ten days, nine of ten may be over by no means: every day keeps to three alerts, and hardly more would not do.
    assert stored["is_anomaly"].groupby(stored["_partition"]).sum().max() <= 3
    lower = stored.loc[stored["score"] < report.threshold, "score"].max()
    assert daily_alerts(stored, lower - 1e-9).max() > 3
    assert report.version.tags["threshold_rule"] == "budget of 3 alerts a day"
    assert "most 3 alerts a day in 10 days" in report.version.tags["threshold_basis"]
    assert len(shop_copy.registry.versions("shop")) == versions
    (change,) = changes(report.version)
    assert (change.who, change.why, change.after) == ("defs.yaml", "the rule was changed", report.threshold)


def test_the_same_rule_gives_the_same_threshold_whenever_it_is_asked(shop_copy: Trained) -> None:
    version = shop_copy.registry.champion("shop")
    scorer, rule = shop_copy.registry.load(version), Threshold.model_validate(BUDGET)
    window = window_of(shop_copy, version)
    before = derive(shop_copy.spec, rule, scorer, shop_copy.lake, window)
    # Data that came later, and other contents of a partition in the window, change nothing.
    more = records(12).rows
    put(shop_copy.lake, shop_copy.spec, more.assign(tax=more["tax"] + 50))
    assert derive(shop_copy.spec, rule, scorer, shop_copy.lake, window) == before


def test_an_unchanged_rule_is_not_derived_again(shop: Trained) -> None:
    version = shop.registry.champion("shop")
    assert in_force(shop.spec, shop.lake, shop.registry, version, None) is version  # type: ignore[arg-type]


def test_accepting_changes_the_champions_threshold_and_leaves_a_trace(shop_copy: Trained) -> None:
    registry, spec = shop_copy.registry, shop_copy.spec
    version = registry.champion("shop")
    rule = Threshold(score=0.9)
    scorer = registry.load(version)
    derived = derive(spec, rule, scorer, shop_copy.lake, window_of(shop_copy, version))
    accepted = accept(spec, registry, version, rule, derived, who="ada", why="too many alerts")
    assert accepted.number == version.number
    assert accepted.threshold == 0.9
    assert rule_of(spec, registry) == (rule, "ada")
    (change,) = changes(accepted)
    assert (change.before, change.after, change.who, change.why) == (version.threshold, 0.9, "ada", "too many alerts")
    report = score(spec, shop_copy.partitions("2025-01-09"), shop_copy.lake, registry)
    assert report.threshold == 0.9
    # Partitions scored before keep what they were given.
    assert set(shop_copy.scores("2025-01-08")["threshold"]) == {version.threshold}


def test_retraining_keeps_an_accepted_rule_and_derives_its_score_anew(shop_copy: Trained) -> None:
    registry, spec = shop_copy.registry, shop_copy.spec
    version = registry.champion("shop")
    rule = Threshold.model_validate(BUDGET)
    derived = derive(spec, rule, registry.load(version), shop_copy.lake, window_of(shop_copy, version))
    accept(spec, registry, version, rule, derived, who="ada", why="")
    made = train(spec, shop_copy.lake, registry)
    assert {v.tags["threshold_rule"] for v in made} == {"budget of 3 alerts a day"}
    # Same rows, same seed, same detector: the same threshold; another detector has another.
    same = next(v for v in made if v.detector == version.detector)
    assert same.threshold == derived.score
    assert len({v.threshold for v in made}) == 2


def test_a_changed_yaml_ends_an_acceptance(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    version = registry.champion("shop")
    rule = Threshold(score=0.9)
    accept(
        shop_copy.spec,
        registry,
        version,
        rule,
        derive(shop_copy.spec, rule, registry.load(version), shop_copy.lake, window_of(shop_copy, version)),
        who="ada",
        why="",
    )
    changed = with_rule(shop_copy.spec, score=0.7)
    assert rule_of(changed, registry) == (Threshold(score=0.7), "defs.yaml")
    assert champion_in_force(shop_copy, changed).threshold == 0.7
    assert [c.after for c in changes(champion_in_force(shop_copy, changed))] == [0.7, 0.9]


def test_every_change_is_kept_as_an_artifact_and_the_latest_in_the_tag(shop_copy: Trained) -> None:
    registry, spec = shop_copy.registry, shop_copy.spec
    version = registry.champion("shop")
    scorer, window = registry.load(version), window_of(shop_copy, version)
    client = MlflowClient(registry.tracking_uri)
    before = len(client.list_artifacts(version.run_id, "threshold"))
    for n in range(20):
        rule = Threshold(score=0.5 + n / 100)
        version = accept(
            spec,
            registry,
            version,
            rule,
            derive(spec, rule, scorer, shop_copy.lake, window),
            who="ada",
            why=f"try {n} " + "x" * 200,
        )
    kept = changes(version)
    assert 5 < len(kept) < 20
    assert [c.why.split()[1] for c in kept] == [str(19 - n) for n in range(len(kept))]
    assert len(client.list_artifacts(version.run_id, "threshold")) == before + 20


def test_labels_choose_on_rows_not_fitted_on(lake: Any, registry: Registry) -> None:
    small = records(30, threshold={"labels": {"best": "f1"}}, training={"detectors": ["HBOS"]})
    small.fill(lake)
    (version,) = train(small.spec, lake, registry)
    assert version.tags["threshold_rule"] == "best F1 on labels"
    # 30 days of 60 rows, a fifth held out, one in thirty is fraud.
    assert "on 360 labelled rows, 12 anomalies" in version.tags["threshold_basis"]
    window = Window.from_json(version.tags["window"], lake, "shop")
    more = records(40)
    more.fill(lake)
    rule = Threshold.model_validate({"labels": {"best": "f1"}})
    later = derive(small.spec, rule, registry.load(version), lake, up_to_now(small.spec, lake, window))
    assert "on 960 labelled rows, 32 anomalies" in later.basis


def test_too_few_labels_fall_back_in_a_training_and_stop_a_proposal(shop_copy: Trained) -> None:
    spec = with_rule(shop_copy.spec, labels={"precision": 0.9})
    version = champion_in_force(shop_copy, spec)
    assert version.tags["threshold_fallback"] == "true"
    assert version.tags["threshold_basis"].startswith("4 labelled anomalies and 116 labelled others")
    assert version.threshold == pytest.approx(np.log10(200) / (1 + np.log10(200)))
    with pytest.raises(NotEnoughData):
        derive(
            spec,
            spec.threshold,
            shop_copy.registry.load(version),
            shop_copy.lake,
            window_of(shop_copy, version),
        )


def test_the_history_of_a_series_is_scored_as_in_production(meters: Trained) -> None:
    version = meters.registry.champion("meters")
    scorer = meters.registry.load(version)
    found = history_of(meters.spec, meters.lake, scorer, AlertBudget(alerts=1), window_of(meters, version), floor=0.0)
    stored = meters.scores().dropna(subset=["score"])
    assert found.scored == len(stored)
    assert sorted(found.rows["score"]) == sorted(stored["score"])
    assert set(found.rows["entity"]) == {"north", "south"}
    assert found.end == START + pd.Timedelta(days=28)


def test_the_history_of_sampled_records_stands_for_all_rows(shop: Trained) -> None:
    version = shop.registry.champion("shop")
    window = replace(window_of(shop, version), max_rows=150)
    found = history_of(shop.spec, shop.lake, shop.registry.load(version), AlertBudget(alerts=1), window, floor=0.0)
    assert (found.scored, found.weight) == (150, 4.0)


def test_a_series_with_a_budget_goes_the_whole_way(tmp_path: Path, new_registry: Callable[[Path], Registry]) -> None:
    small = series(35, threshold={"budget": {"alerts": 2}})
    done = trained(small, tmp_path, new_registry)
    assert done.scoring.version.tags["threshold_rule"] == "budget of 2 alerts a week"
    assert "in 4 weeks from 2025-01-05" in done.scoring.version.tags["threshold_basis"]
    assert json.loads(done.scoring.version.tags["threshold_setting"])["budget"]["per"] == "week"
    assert done.scores()["is_anomaly"].sum() > 0
