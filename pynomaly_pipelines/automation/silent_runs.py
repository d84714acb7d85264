"""Runs -> those that tell nobody: backfills, and what a person ran and watches."""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg

from pynomaly_pipelines.automation.failures import OF_TAG
from pynomaly_pipelines.automation.reruns import COMMAND

_MOST_RERUNS = 20


def all_silent(instance: dg.DagsterInstance, run_ids: Collection[str]) -> bool:
    """Whether all of these are; a run nobody knows any more is none."""
    return bool(run_ids) and all(is_silent(instance, run_id) for run_id in run_ids)


def is_silent(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether this run, or the failed one it does again, is of a backfill or of a command."""
    wanted: str | None = run_id
    for _ in range(_MOST_RERUNS):
        run = instance.get_run_by_id(wanted) if wanted else None
        if run is None:
            return False
        if "dagster/backfill" in run.tags or run.tags.get("pynomaly/trigger") == COMMAND:
            return True
        wanted = run.tags.get(OF_TAG)
    return False
