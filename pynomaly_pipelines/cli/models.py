"""`models`: the versions of a pipeline's model, and who was champion when."""

from __future__ import annotations

import click

from pynomaly_pipelines.cli.gate import moves_table
from pynomaly_pipelines.cli.stores import open_lake, open_registry
from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project


@click.command()
@click.argument("pipeline")
def models(pipeline: str) -> None:
    """List the model versions of PIPELINE with aliases and what the gate said, and the history of its champion."""
    from pynomaly_pipelines.stages.promotion.champions import history

    project = Project.current()
    spec = project.pipeline(pipeline)
    rows = [
        [str(v.number), v.detector, ", ".join(v.aliases), f"{v.threshold:.4g}", v.tags.get("gate_reason", "")]
        for v in open_registry(project).versions(spec.name)
    ]
    show_table(f"models of {pipeline}", ["version", "detector", "aliases", "threshold", "gate"], rows)
    moves_table(pipeline, history(open_lake(project), spec.name))
