"""`daemon`: Dagster's daemon, of which only one works at a time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pynomaly_pipelines.automation.leadership import Lock
    from pynomaly_pipelines.project import Project

STORAGE_SECONDS = 2.0


@click.command()
@click.option(
    "-w",
    "--workspace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Dagster's workspace file: where the code servers are. By default the project's own module.",
)
def daemon(workspace: Path | None) -> None:
    """Run Dagster's daemon: queue, schedules, sensors, retries. Ctrl-C or SIGTERM ends it.

    Start as many as you like, on as many machines as share Dagster's storage: one works, the others stand by and take
    over when it ends. With SQLite they must share the folder too.
    """
    from pynomaly_pipelines.automation.leadership import Leader
    from pynomaly_pipelines.project import DEFINITIONS, Project

    project = Project.current()
    code = ["-w", str(workspace.absolute())] if workspace else ["-m", f"{project.module}.{DEFINITIONS}"]
    lock = _lock(project)
    environment = project.settings.child_environment(
        DAGSTER_HOME=str(project.dagster_home()), PYNOMALY_PROJECT=str(project.settings.project)
    )
    raise SystemExit(Leader(lock, ["run", *code], environment, project.settings.project).run(click.echo))


def _lock(project: Project) -> Lock:
    """The instance's lock, as soon as its storage can be reached: it may start after us."""
    from pynomaly_pipelines.automation.leadership import Taking, lock_of
    from pynomaly_pipelines.operations.faults import Fault, fault_of

    said = False
    while True:
        try:
            with project.instance() as instance:
                return lock_of(instance, project.dagster_home())
        except Exception as error:
            if fault_of(error) is not Fault.TRANSIENT:
                raise
        if not said:
            click.echo(Taking.AWAY.value)
        said = True
        time.sleep(STORAGE_SECONDS)
