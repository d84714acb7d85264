"""`suggest`: expectations that the data itself proposes."""

from __future__ import annotations

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.project import Project


@click.command()
@click.argument("pipeline")
@click.option("--partition", "partitions", multiple=True, help="Learn from this one; repeat it. Default: the latest.")
@click.option("--write", is_flag=True, help="Add them to the pipeline's defs.yaml; everything else there stays.")
def suggest(pipeline: str, partitions: tuple[str, ...], write: bool) -> None:
    """Propose expectations for PIPELINE from a profile of its rows, with the evidence and a backtest.

    Each is held against all partitions that were ingested: what it would have flagged stands beside it.
    """
    from pynomaly_pipelines.partitions import Calendar
    from pynomaly_pipelines.specfile.editing import add_expectations
    from pynomaly_pipelines.stages.profiling import suggesting

    project = Project.current()
    spec = project.pipeline(pipeline)
    keys = [Calendar(spec).partition(key).key for key in partitions]
    proposals = suggesting.suggest(spec, open_lake(project), keys or None)
    if not proposals:
        click.echo(f"# {pipeline} has every expectation that its rows propose")
        return
    lines = [line for proposal in proposals for line in proposal.lines()]
    click.echo("expectations:")
    for line in lines:
        click.echo(f"  {line}")
    if write:
        path = project.file_of(pipeline)
        add_expectations(path, pipeline, lines)
        click.echo(f"# added {len(proposals)} to {path}; look them over, then: pynomaly check", err=True)
    else:
        click.echo("# copy what you want to keep under `expectations`, or: --write", err=True)
