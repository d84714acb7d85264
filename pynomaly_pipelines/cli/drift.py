"""`drift`: how the latest partition differs from those the champion was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.spec import PipelineSpec
    from pynomaly_pipelines.stages.drift.history import Judged


@click.command()
@click.argument("pipeline")
@click.option("--partition", help="This partition instead of the last one judged.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Only the N that drifted most.")
def drift(pipeline: str, partition: str | None, top: int) -> None:
    """Show how the data and scores of PIPELINE differ from those its champion was trained on."""
    from pynomaly_pipelines.partitions import Calendar
    from pynomaly_pipelines.stages.drift import history as drift_history

    project = Project.current()
    spec = project.pipeline(pipeline)
    wanted = None if partition is None else [Calendar(spec).partition(partition).key]
    found = drift_history.last_judged(spec, open_lake(project), wanted)
    if found is None:
        what = f"partition {partition}" if partition else "no partition"
        why = drift_history.why_not(spec)
        click.echo(f"{what} of {pipeline} has {'not ' if partition else ''}been judged: {why}")
        return
    _show(spec, found, top)


def _show(spec: PipelineSpec, found: Judged, top: int) -> None:
    lines = [
        [
            "drifts" if row["drifted"] else "",
            *(str(row[name]) for name in ("kind", "subject", "what")),
            f"{row['effect']:.3g} {row['unit']}",
            f"{row['p_adjusted']:.2g}",
            str(row["usual"]),
            str(row["seen"]),
        ]
        for row in found.rows[:top]
    ]
    head = ["", "kind", "of", "what", "effect", "corrected p", "usual", "now"]
    show_table(f"{spec.name} {found.partition} against the training of version {found.version}", head, lines)
    lasts = f"lasts: {found.lasting}" if found.lasting else "no drift lasts"
    click.echo(f"{found.drifted} of {len(found.rows)} drift; {lasts}")
