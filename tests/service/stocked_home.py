"""A project whose pipeline went the whole way in Dagster's runs: rows, quarantine, models, scores, incidents."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from pynomaly_pipelines.project import Project
from pynomaly_pipelines.running import Runner
from pynomaly_pipelines.scaffolding import scaffold
from tests.small_pipelines import records, relocate

PIPELINE = "orders"
DAYS = tuple(f"2025-01-{day:02}" for day in range(1, 11))
HELD_DAY = DAYS[-2]
"""The day with a row that breaks an expectation and one that has no number for an amount."""
LOCATION = "here"
YAML = """\
type: pynomaly_pipelines.components.DetectionPipeline
attributes:
  description: Orders of the shop
  source: {type: csv, path: landing/%Y-%m-%d.csv}
  time: at
  partition: daily
  start: 2025-01-01
  end: 2025-01-11
  key: id
  labels: {column: fraud}
  columns: {amount: number}
  expectations:
    - expect_column_values_to_be_between: {column: amount, min_value: 0}
  training: {min_rows: 200, detectors: [{IForest: {n_estimators: 25}}, HBOS]}
  threshold: {alert_rate: 0.02}
  incidents: {gap_hours: 0.01}
"""
# What Dagster loads: the same definitions that ran the pipeline.
DEFINITIONS = f"""\
from pynomaly_pipelines.pipeline import standalone
from pynomaly_pipelines.project import Project

project = Project.current()
defs = standalone(project.pipeline("{PIPELINE}"), project.settings)
"""


@dataclass(frozen=True)
class StockedHome:
    """A project folder; everything the product writes is below its `.pynomaly`."""

    folder: Path

    def copy(self, folder: Path) -> StockedHome:
        """The same elsewhere, to be changed."""
        shutil.copytree(self.folder, folder)
        relocate(folder / ".pynomaly" / "registry.db", str(self.folder), str(folder))
        return StockedHome(folder)

    @contextlib.contextmanager
    def entered(self) -> Iterator[Project]:
        """The project of this process, for as long as it lasts."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [n for n in os.environ if n.startswith(("PYNOMALY_", "DAGSTER_"))]:
                patch.delenv(name)
            patch.setenv("PYNOMALY_PROJECT", str(self.folder))
            patch.chdir(self.folder)
            yield Project.current()


def made_once(base: Path, migrated_registry: Path) -> StockedHome:
    """The one that all test processes share; read only, as making it takes seconds."""
    folder, done = base / "stocked-home", base / "stocked-home.done"
    with (base / "stocked-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, migrated_registry)
            done.touch()
    return StockedHome(folder)


def _make(folder: Path, migrated_registry: Path) -> None:
    scaffold(folder, "watch")
    defs = folder / "watch" / "defs" / PIPELINE
    defs.mkdir(parents=True)
    (defs / "defs.yaml").write_text(YAML, encoding="utf-8")
    (folder / "here.py").write_text(DEFINITIONS, encoding="utf-8")
    _land(folder / "landing")
    home = folder / ".pynomaly"
    home.mkdir(exist_ok=True)
    shutil.copy(migrated_registry, home / "registry.db")
    with StockedHome(folder).entered() as project:
        runner = Runner(project, project.pipeline(PIPELINE))
        for outcome in (runner.ingest(DAYS), runner.train(), runner.score(DAYS)):
            assert not outcome.failed, outcome
            assert not outcome.refused, outcome
        runner._instance.dispose()


def _land(folder: Path) -> None:
    folder.mkdir()
    rows = records(len(DAYS)).rows
    for day, of_day in rows.groupby(rows["at"].dt.strftime("%Y-%m-%d")):
        text = of_day.assign(at=of_day["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(index=False)
        if day == HELD_DAY:
            text += f"9001,{day}T23:58:00Z,-12.5,1.0,3,DE,False,0\n9002,{day}T23:59:00Z,about ten,1.0,3,DE,False,0\n"
        (folder / f"{day}.csv").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def dagsters_webserver(project: Project) -> Iterator[httpx.AsyncBaseTransport]:
    """Dagster's own webserver in this process, as a transport; no daemon, so that launched runs stay in the queue."""
    from dagster._core.remote_origin import InProcessCodeLocationOrigin
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
    from dagster_webserver.webserver import DagsterWebserver

    folder = project.settings.project
    target = LoadableTargetOrigin(python_file=str(folder / "here.py"), working_directory=str(folder))
    origin = InProcessCodeLocationOrigin(loadable_target_origin=target, location_name=LOCATION)
    with (
        contextlib.closing(_Disposed(project.instance())) as held,
        WorkspaceProcessContext(held.instance, InProcessWorkspaceLoadTarget(origin)) as context,
    ):
        yield httpx.ASGITransport(DagsterWebserver(context).create_asgi_app())


@dataclass
class _Disposed:
    instance: dg.DagsterInstance

    def close(self) -> None:
        self.instance.dispose()


def behind(service: Any, transport: httpx.AsyncBaseTransport) -> None:
    """Let a service speak to that webserver."""
    import dataclasses
    from datetime import timedelta

    from pynomaly_pipelines.service.launching.client import DagsterClient
    from pynomaly_pipelines.service.launching.feeds import Feeds
    from pynomaly_pipelines.service.launching.idempotency import IdempotencyKeys
    from pynomaly_pipelines.service.launching.launcher import Launcher
    from pynomaly_pipelines.service.launching.parts import Runs
    from pynomaly_pipelines.service.launching.reading import RunReader

    runs = Runs.of(service)
    client = DagsterClient("http://dagster.test", LOCATION, transport=transport)
    keys = IdempotencyKeys(lambda: service.database, timedelta(hours=1))
    following = dataclasses.replace(runs.following, feeds=Feeds(client, 0.2))
    launcher = Launcher(client, service.settings, service.specs.of, keys)
    vars(service)["runs"] = dataclasses.replace(
        runs, client=client, launcher=launcher, reader=RunReader(client), following=following
    )
