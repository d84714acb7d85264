"""`models` and `rollback`: the versions of a pipeline's model."""

from __future__ import annotations

import click

from pynomaly_pipelines.cli.stores import open_registry
from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project


@click.command()
@click.argument("pipeline")
def models(pipeline: str) -> None:
    """List the model versions of PIPELINE, with aliases and what the gate said."""
    project = Project.current()
    spec = project.pipeline(pipeline)
    rows = [
        [str(v.number), v.detector, ", ".join(v.aliases), f"{v.threshold:.4g}", v.tags.get("gate_reason", "")]
        for v in open_registry(project).versions(spec.name)
    ]
    show_table(f"models of {pipeline}", ["version", "detector", "aliases", "threshold", "gate"], rows)


@click.command()
@click.argument("pipeline")
def rollback(pipeline: str) -> None:
    """Make the previous champion of PIPELINE the champion again."""
    from pynomaly_pipelines.stages.registration import rollback as roll

    project = Project.current()
    lost, now = roll(open_registry(project), project.pipeline(pipeline).name)
    click.echo(f"champion of {pipeline}: version {lost.number} -> {now.number} ({now.detector})")
    click.echo(f"Stored scores keep the version they were made by; `pynomaly run {pipeline} --no-train` scores again.")
