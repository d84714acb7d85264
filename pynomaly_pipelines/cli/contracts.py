"""`contract`: the columns that a pipeline agreed on with its source, and how they came to be."""

from __future__ import annotations

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project


@click.command()
@click.argument("pipeline")
@click.option("--history", "past", is_flag=True, help="Every change, with the file that brought it.")
def contract(pipeline: str, past: bool) -> None:
    """Show the columns of PIPELINE with their types: declared or learned, and since which version of `raw`."""
    from pynomaly_pipelines.stages.contract.agreement import history, in_force

    project = Project.current()
    spec = project.pipeline(pipeline)
    lake = open_lake(project)
    # Says which table is missing, and how to make it.
    lake.schema(spec.name, "raw")
    terms = history(spec, lake) if past else list(in_force(spec, lake).values())
    head = ("version", "column", "type", "origin", "may be absent", "change", "file")
    rows = [
        (str(t.version), t.column, t.type, t.origin, "yes" if t.optional else "no", t.change, t.file) for t in terms
    ]
    show_table(f"contract of {spec.name}", head, rows)
    answers = spec.contract.model_dump()
    click.echo("# " + ", ".join(f"{what}: {response}" for what, response in answers.items()), err=True)
