"""`aside`: the partitions that automation leaves out because they stop every run they are in."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

import click

from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.project import Project


@click.command()
@click.argument("pipeline")
@click.option("--retry", metavar="PARTITION", help="Take this partition back: automation tries it again.")
def aside(pipeline: str, retry: str | None) -> None:
    """Show the partitions of PIPELINE that were set aside after failing too often, and why."""
    from pynomaly_pipelines.automation.setting_aside import release, set_aside

    project = Project.current()
    spec = project.pipeline(pipeline)
    instance = project.instance()
    entries = set_aside(instance, spec)
    if retry is not None:
        if retry not in {entry.partition for entry in entries}:
            raise DataError(
                f"partition {retry!r} of {pipeline!r} is not set aside",
                rule="one that is can be taken back",
                fix=f"`pynomaly aside {pipeline}` lists them",
            )
        instance.report_runless_asset_event(release(spec, retry, getpass.getuser()))
        click.echo(
            f"{retry} of {pipeline} is taken back; `pynomaly run {pipeline} --partition {retry}` runs it at once"
        )
        return
    if not entries:
        click.echo(f"no partition of {pipeline} is set aside")
        return
    rows = [
        (e.partition, datetime.fromtimestamp(e.since, UTC).strftime("%Y-%m-%d %H:%M UTC"), e.run_id[:8], e.why)
        for e in entries
    ]
    show_table(f"set aside of {pipeline}", ("partition", "since", "run", "why"), rows)
