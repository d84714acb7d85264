"""`feedback`: what a person says of an incident, and what that changes."""

from __future__ import annotations

import getpass

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.project import Project


@click.command()
@click.argument("incident")
@click.argument("verdict", type=click.Choice(["confirmed", "dismissed"]))
@click.option("--note", default="", help="Why; it stands in the log and in the model card.")
@click.option("--by", "who", default="", help="Who says so. Default: the user of this machine.")
def feedback(incident: str, verdict: str, note: str, who: str) -> None:
    """Say whether INCIDENT was one.

    Its rows become labels for evaluation; a confirmed one is not taught to the next model, a dismissed one is.
    """
    from pynomaly_pipelines import specfile
    from pynomaly_pipelines.stages.incidents.finding import find_anywhere, listed
    from pynomaly_pipelines.stages.incidents.suggestions import suggest
    from pynomaly_pipelines.stages.incidents.verdicts import Verdict, judge

    project = Project.current()
    lake = open_lake(project)
    specs = [entry.spec for entry in specfile.read_all(project.defs) if entry.spec is not None]
    spec, standing = find_anywhere(specs, lake, incident)
    said: Verdict = "confirmed" if verdict == "confirmed" else "dismissed"
    done = judge(spec, lake, standing.incident, said, who=who or getpass.getuser(), note=note)
    click.echo(f"{standing.incident.id} of {spec.name} is {verdict}")
    meaning = "anomalies" if verdict == "confirmed" else "ordinary"
    click.echo(f"{done.rows} rows are labelled {meaning} for evaluations from now on")
    if done.excluded is not None:
        click.echo(f"the next training leaves out {done.excluded}")
    for exclusion in done.learnt_again:
        click.echo(f"the next training learns again from {exclusion}")
    found = suggest(listed(spec, lake))
    if found is not None:
        click.echo(f"by the verdicts so far, {found}")
        click.echo("to see what it means for all rows, and to accept it:")
        click.echo(f"  pynomaly threshold {spec.name} --score {found.score:.6g}")
