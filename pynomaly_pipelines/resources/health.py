"""Settings -> the health checks that every deployment has: the lake's own, and those of the parts below."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.health import Check, Finding, Health, failed, ok
from pynomaly_pipelines.operations.health.built_in import machine
from pynomaly_pipelines.operations.health.settings import HealthSettings
from pynomaly_pipelines.operations.settings import Settings

if TYPE_CHECKING:
    import dagster as dg
    import sqlalchemy as sa

    from pynomaly_pipelines.operations.cache import Cache

REDIS_SECONDS = 1.0
FIRST_LOOK_SECONDS = 30.0


def add_standard_checks(
    health: Health,
    settings: Settings,
    *,
    database: sa.Engine | str | None = None,
    cache: Cache | None = None,
    dagster_url: str = "",
    instance: Callable[[], dg.DagsterInstance] | None = None,
) -> None:
    """Add the checks of what is given, and of what there always is: registry, lake, secrets, breakers, disk, memory.

    Args:
        database: the engine of the service's accounts, or its URL where nothing else uses it.
        dagster_url: the webserver to ask about the daemon; without one its heartbeats in `instance` are read.

    Raises:
        SettingsError: a variable PYNOMALY_HEALTH_… breaks a rule.
    """
    from pynomaly_pipelines.operations.health.built_in import caching, dagster, databases, dependencies
    from pynomaly_pipelines.operations.resilience import dependencies as of_process
    from pynomaly_pipelines.operations.secrets import process_store, resolved

    rules = HealthSettings.from_environment()
    seconds = rules.timeout_seconds

    def add(name: str, check: Callable[[], Finding], *, critical: bool = False, timeout: float = seconds) -> None:
        health.add(Check(name, check, timeout=timeout, critical=critical))

    registries: dict[str, Callable[[], Finding]] = {}

    def registry() -> Finding:
        # Looked up each time: the secret behind it may rotate. One at a time is kept, which knows what it saw before.
        url = resolved(settings.registry)
        if url not in registries:
            registries.clear()
            registries[url] = databases.registry(url, timeout_seconds=seconds)
        return registries[url]()

    if isinstance(database, str):
        add("database", databases.database_at(database, timeout_seconds=seconds), critical=True)
    elif database is not None:
        add("database", databases.database(database), critical=True)
    add("registry", registry)
    add("lake", lake(settings.lake, timeout_seconds=seconds), critical=True)
    if cache is not None:
        add("cache", caching.cache(cache), timeout=min(seconds, REDIS_SECONDS))
    add("secrets", dependencies.secrets(process_store))
    if dagster_url:
        silent = rules.daemon_silent_seconds
        add("dagster", dagster.daemon_at(dagster_url, timeout_seconds=seconds, silent_seconds=silent))
    elif instance is not None:
        # The first look imports Dagster.
        timeout = max(seconds, FIRST_LOOK_SECONDS)
        add("dagster", dagster.daemon_in(instance, silent_seconds=rules.daemon_silent_seconds), timeout=timeout)
    add("breakers", dependencies.breakers(of_process()))
    add("disk", machine.disk(settings.home, rules), critical=True)
    add("memory", machine.memory(rules))


def lake(root: str, *, timeout_seconds: float) -> Callable[[], Finding]:
    """Whether the folder or bucket of the tables can be listed, and the folder written to."""
    if "://" in root:
        return _bucket(root, timeout_seconds)
    return _folder(Path(root))


def _folder(folder: Path) -> Callable[[], Finding]:
    was_there = False

    def check() -> Finding:
        nonlocal was_there
        if not folder.exists():
            # As of a volume that is no longer mounted: what is written now would lie beside it.
            gone = failed(f"{folder} was there, and is gone")
            return gone if was_there else ok(f"{folder} will be made by the first ingestion")
        was_there = True
        began = time.perf_counter()
        pipelines = sum(1 for entry in os.scandir(folder) if entry.is_dir())
        seconds = time.perf_counter() - began
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return failed(f"{folder} can't be written to", pipelines=pipelines)
        free = shutil.disk_usage(folder).free
        return ok(str(folder), answer_seconds=seconds, pipelines=pipelines, free_bytes=free)

    return check


def _bucket(url: str, timeout_seconds: float) -> Callable[[], Finding]:
    def check() -> Finding:
        import obstore

        from pynomaly_pipelines.resources.object_storage import client, split
        from pynomaly_pipelines.spec.source import StorageOptions

        began = time.perf_counter()
        options = StorageOptions(timeout_seconds=max(1, round(timeout_seconds)), retries=0)
        found = obstore.list_with_delimiter(client(url, options), split(url)[2] or None)
        pipelines = len(found["common_prefixes"])
        return ok(url, answer_seconds=time.perf_counter() - began, pipelines=pipelines)

    return check
