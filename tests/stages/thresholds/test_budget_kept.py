"""The check beside the scores: does the threshold follow its rule, and does the period keep to the budget?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.spec.threshold import Threshold
from pynomaly_pipelines.stages.scoring import score
from pynomaly_pipelines.stages.thresholds.budget_kept import BudgetKept, budget_kept
from pynomaly_pipelines.stages.thresholds.proposals import reflag
from tests.small_pipelines import Trained


def told(trained: Trained, key: str, **tags: Any) -> BudgetKept:
    version: Version = trained.registry.champion(trained.spec.name)
    version = replace(version, tags={**version.tags, **tags})
    return budget_kept(trained.spec, trained.lake, version, [Calendar(trained.spec).partition(key)])


def test_alerts_of_the_period_so_far_are_held_against_the_budget(shop: Trained) -> None:
    setting = '{"budget":{"alerts":5,"per":"week"}}'
    # 5 January is a Sunday: the week's days so far are the 5th to the 8th.
    stored = shop.scores("2025-01-05", "2025-01-06", "2025-01-07", "2025-01-08")
    found = told(shop, "2025-01-08", threshold_setting=setting)
    assert (found.period, found.alerts) == ("2025-01-05", int(stored["is_anomaly"].sum()))
    assert found.passed == (found.alerts <= 5)
    assert told(shop, "2025-01-05", threshold_setting=setting).alerts == stored["is_anomaly"][:60].sum()
    assert not told(shop, "2025-01-08", threshold_setting=setting.replace("5", "1")).passed


def test_alerts_of_series_are_runs(meters: Trained, tmp_path: Path, new_registry: Callable[[Path], Registry]) -> None:
    copy = meters.copy(tmp_path / "copy", new_registry)
    reflag(copy.spec, copy.lake, 0.5)
    rows = copy.scores("2025-01-27")
    flagged = rows[rows["is_anomaly"]]
    # So long a quiet makes one alert of all the day's anomalies of a meter.
    found = told(copy, "2025-01-27", threshold_setting='{"budget":{"alerts":1,"per":"day","quiet":24}}')
    assert len(flagged) > flagged["meter"].nunique() == found.alerts


def test_a_fallback_is_shown(shop_copy: Trained) -> None:
    spec = shop_copy.spec.model_copy(update={"threshold": Threshold.model_validate({"labels": {"best": "f1"}})})
    partitions = shop_copy.partitions("2025-01-09")
    report = score(spec, partitions, shop_copy.lake, shop_copy.registry)
    found = budget_kept(spec, shop_copy.lake, report.version, partitions)
    assert not found.passed
    assert "best F1 on labels; 4 labelled anomalies" in str(found)


def test_without_a_budget_there_is_nothing_to_keep(shop: Trained) -> None:
    found = told(shop, "2025-01-08")
    assert (found.passed, found.alerts) == (True, None)
    assert str(found) == f"{found.threshold:.4f}, alert rate 0.02"
