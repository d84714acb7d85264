"""`exclude`: which stretches of time no model is taught."""

from __future__ import annotations

import getpass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.resources.tables import Lake
    from pynomaly_pipelines.spec import PipelineSpec

MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])


@click.command()
@click.argument("pipeline")
@click.option("--from", "start", type=MOMENT, help="First moment that is left out, in the pipeline's time zone.")
@click.option("--to", "end", type=MOMENT, help="The first moment after it.")
@click.option("--series", "series", multiple=True, help="Only this series; may be given again.")
@click.option("--where", "where", multiple=True, metavar="COLUMN=VALUE", help="Only rows with this value; likewise.")
@click.option("--reason", default="", help="Why; it will stand in the model card.")
@click.option("--by", "who", default="", help="Who says so. Default: the user of this machine.")
@click.option("--list", "listed", is_flag=True, help="Show what is left out, and by whom.")
@click.option("--remove", "removed", multiple=True, metavar="ID", help="Learn from these rows again.")
def exclude(
    pipeline: str,
    start: datetime | None,
    end: datetime | None,
    series: tuple[str, ...],
    where: tuple[str, ...],
    reason: str,
    who: str,
    listed: bool,
    removed: tuple[str, ...],
) -> None:
    """Leave known incidents of PIPELINE out of every later training, or list or remove what is left out."""
    from pynomaly_pipelines.stages import exclusions

    project = Project.current()
    spec, lake = project.pipeline(pipeline), open_lake(project)
    if removed:
        for exclusion in exclusions.remove(spec, lake, removed):
            click.echo(f"learnt from again: {exclusion}")
    elif listed:
        _show(spec, lake)
    elif start is None or end is None:
        raise click.UsageError("give --from and --to, or --list, or --remove ID")
    else:
        zone = ZoneInfo(spec.timezone)
        first, last = exclusions.in_utc(start, zone), exclusions.in_utc(end, zone)
        made = exclusions.Exclusion(first, last, _values(series, where), reason, who or getpass.getuser(), "manual")
        exclusions.add(spec, lake, [made])
        click.echo(f"{made.id}: {made}")
        click.echo(f"The next training leaves it out: `pynomaly run {pipeline} --train`.")


def _show(spec: PipelineSpec, lake: Lake) -> None:
    from pynomaly_pipelines.stages import exclusions

    rows = [
        [e.id, f"{e.start:%Y-%m-%d %H:%M}", f"{e.end:%Y-%m-%d %H:%M}", e.rows, e.reason, e.source, e.who]
        for e in exclusions.read(spec, lake)
    ]
    head = ["id", "from (UTC)", "to", "rows", "reason", "source", "who"]
    show_table(f"never learnt from in {spec.name}", head, rows)


def _values(series: tuple[str, ...], where: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {"series": list(series)} if series else {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--where {text!r} is not of the form COLUMN=VALUE")
        found.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in found.items()}
