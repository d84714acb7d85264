"""`incidents`: what was found, and what people do about it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.stages.incidents.states import Standing

STATES = ("open", "acknowledged", "resolved", "dismissed", "quiet")
DO = ("acknowledged", "resolved", "reopened", "snoozed")


@click.command()
@click.argument("pipeline")
@click.argument("incident", required=False)
@click.option(
    "--state", type=click.Choice(["open", "acknowledged", "resolved", "dismissed", "quiet"]), help="Only these."
)
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="Only the N latest.")
@click.option("--set", "action", type=click.Choice(DO), help="Say what becomes of INCIDENT.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="End of a snooze, UTC.")
@click.option("--note", default="", help="Why; it stands in the log.")
@click.option("--by", "who", default="", help="Who says so. Default: the user of this machine.")
def incidents(
    pipeline: str,
    incident: str | None,
    state: str | None,
    last: int,
    action: str | None,
    until: datetime | None,
    note: str,
    who: str,
) -> None:
    """List the incidents of PIPELINE, or show INCIDENT, or acknowledge, resolve, reopen or snooze it."""
    from pynomaly_pipelines.stages.incidents import states
    from pynomaly_pipelines.stages.incidents.finding import find, listed

    project = Project.current()
    spec, lake = project.pipeline(pipeline), open_lake(project)
    if incident is None:
        if action is not None:
            raise click.UsageError("--set needs the id of an incident")
        found = [s for s in listed(spec, lake) if state is None or s.state == state]
        _show_list(pipeline, found[-last:], len(found))
        return
    standing = find(spec, lake, incident)
    if action is not None:
        end = None if until is None else until.replace(tzinfo=UTC)
        by = who or getpass.getuser()
        states.say(spec, lake, standing.incident, states.Action(action), who=by, note=note, until=end)
        standing = find(spec, lake, incident)
    _show(standing)


def _show_list(pipeline: str, found: Sequence[Standing], total: int) -> None:
    if not found:
        click.echo(f"no incident of {pipeline}")
        return
    rows = [
        (
            s.incident.id,
            s.state + (", snoozed" if s.snoozed_until else ""),
            f"{s.incident.start:%Y-%m-%d %H:%M}",
            f"{s.incident.end:%Y-%m-%d %H:%M}",
            s.incident.entity,
            str(s.incident.anomalies),
            f"{s.incident.score:.4f}",
            s.incident.quiet or (str(s.incident.reasons[0]) if s.incident.reasons else ""),
        )
        for s in found
    ]
    head = ("incident", "state", "start", "end", "entity", "anomalies", "score", "why")
    show_table(f"{len(found)} of {total} incidents of {pipeline}, times in UTC", head, rows)


def _show(standing: Standing) -> None:
    found = standing.incident
    click.echo(f"{found.id}  {found.headline}")
    click.echo(
        f"{standing.state}; {found.start:%Y-%m-%d %H:%M} … {found.end:%Y-%m-%d %H:%M} UTC, peak {found.peak:%H:%M}"
    )
    if found.quiet:
        click.echo(f"nobody is told: {found.quiet}")
    if standing.snoozed_until is not None:
        click.echo(f"snoozed until {standing.snoozed_until:%Y-%m-%d %H:%M} UTC")
    show_table(
        "reasons",
        ("column", "value at the peak", "usually", "rows", "share"),
        [(r.column, r.value, r.usual, f"{r.rows} of {found.anomalies}", f"{r.share:.0%}") for r in found.reasons],
    )
    show_table(
        "the most anomalous rows",
        ("time", "score", "row", "from", "why"),
        [(f"{s.time:%Y-%m-%d %H:%M}", f"{s.score:.4f}", s.row, s.source, s.reasons) for s in found.samples],
    )
    for entry in standing.log:
        by = f" by {entry.who}" if entry.who else ""
        click.echo(f"{entry.at:%Y-%m-%d %H:%M} {entry.action}{by}" + (f": {entry.note}" if entry.note else ""))
