"""Every automation condition of the product, named; each is tested tick by tick."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
from dagster import AutomationCondition as AC

from pynomaly_pipelines.spec import Cadence

Condition = dg.AutomationCondition[Any]
LOOK_BACK = {
    "hourly": timedelta(hours=2),
    "daily": timedelta(days=2),
    "weekly": timedelta(days=14),
    "monthly": timedelta(days=59),
}
"""About two partitions, whose scores a new champion replaces; `pynomaly run` replaces older ones."""


def validate_again() -> Condition:
    """Judge partitions again whose validation failed, when the pipeline's YAML or the product has changed since.

    A mistake in an expectation stops a validation though the data is in order; no new file would ever start it again.
    """
    # The first of the two is looked at in every tick, as it remembers what the version was.
    mended: Condition = AC.code_version_changed() & AC.execution_failed()
    return (mended.since_last_handled() & _idle() & ~AC.any_deps_missing()).with_label("validate_again")


def train(validated: dg.AssetKey, retrain_cron: str | None) -> Condition:
    """Train when data comes in and there is no model yet, and again at the times of the cron."""
    # News must come first: `missing` alone would fire at every tick of a pipeline that waits for enough rows.
    news: Condition = AC.any_deps_match(AC.newly_updated()).allow(dg.AssetSelection.assets(validated))
    missing: Condition = AC.missing()
    due: Condition = missing & news.since_last_handled()
    if retrain_cron is not None:
        tick: Condition = AC.cron_tick_passed(retrain_cron)
        due = due | tick.since_last_handled()
    return (due & _idle()).with_label("train")


def follow() -> Condition:
    """Run when what it depends on was made anew and its blocking checks passed: evaluation, champion."""
    return (AC.any_deps_updated().since_last_handled() & _ready()).with_label("follow")


def score(validated: dg.AssetKey, champion: dg.AssetKey, cadence: Cadence) -> Condition:
    """Score new rows; when a champion comes, what has no scores yet, the partition that fills and the one before."""
    new_rows: Condition = AC.any_deps_updated().allow(dg.AssetSelection.assets(validated))
    new_champion: Condition = AC.any_deps_updated().allow(dg.AssetSelection.assets(champion))
    missing: Condition = AC.missing()
    wanted: Condition = new_rows | (new_champion & (missing | AC.in_latest_time_window(LOOK_BACK.get(cadence))))
    return (wanted.since_last_handled() & _ready()).with_label("score")


def watch(scores: dg.AssetKey) -> Condition:
    """Look for drift in what was scored."""
    scored: Condition = AC.any_deps_updated().allow(dg.AssetSelection.assets(scores))
    return (scored.since_last_handled() & _ready()).with_label("watch")


def _idle() -> Condition:
    in_progress: Condition = AC.in_progress()
    return ~in_progress & ~AC.any_deps_in_progress()


def _ready() -> Condition:
    return _idle() & ~AC.any_deps_missing() & AC.all_deps_blocking_checks_passed()
