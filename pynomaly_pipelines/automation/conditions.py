"""Every automation condition of the product, named; each is tested tick by tick."""

from __future__ import annotations

import dagster as dg
from dagster import AutomationCondition as AC


def train(validated: dg.AssetKey, retrain_cron: str | None) -> dg.AutomationCondition:
    """Train when data comes in and there is no model yet, and again at the times of the cron."""
    selection = dg.AssetSelection.assets(validated)
    # `missing` alone would fire every tick for a pipeline that waits for enough rows; news must come first.
    first = AC.missing() & AC.any_deps_match(AC.newly_updated()).allow(selection).since_last_handled()
    due = first
    if retrain_cron is not None:
        due = due | AC.cron_tick_passed(retrain_cron).since_last_handled()
    return (due & ~AC.in_progress() & ~AC.any_deps_in_progress()).with_label("train")


def follow() -> dg.AutomationCondition:
    """Run when what it depends on was made anew and its blocking checks passed: evaluation, champion."""
    return (
        AC.any_deps_updated().since_last_handled()
        & ~AC.any_deps_missing()
        & ~AC.any_deps_in_progress()
        & ~AC.in_progress()
        & AC.all_deps_blocking_checks_passed()
    ).with_label("follow")


def score(validated: dg.AssetKey, champion: dg.AssetKey) -> dg.AutomationCondition:
    """Score new rows; when a champion comes, the partitions that have no scores yet and the latest one."""
    new_rows = AC.any_deps_updated().allow(dg.AssetSelection.assets(validated))
    new_champion = AC.any_deps_updated().allow(dg.AssetSelection.assets(champion))
    wanted = new_rows | (new_champion & (AC.missing() | AC.in_latest_time_window()))
    return (
        wanted.since_last_handled()
        & ~AC.any_deps_missing()
        & ~AC.any_deps_in_progress()
        & ~AC.in_progress()
        & AC.all_deps_blocking_checks_passed()
    ).with_label("score")
