"""`drift`: how the latest partition differs from those the champion was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    import pandas as pd

    from pynomaly_pipelines.spec import PipelineSpec


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
    found = drift_history.read(spec, open_lake(project), partitions=wanted)
    if found.empty:
        what = f"partition {partition}" if partition else "no partition"
        click.echo(f"{what} of {pipeline} has {'not ' if partition else ''}been judged: {_why(spec)}")
        return
    _show(spec, found, top)


def _why(spec: PipelineSpec) -> str:
    if spec.partition == "whole":
        return "drift is a difference between partitions, and `partition: whole` has one"
    if not spec.drift.enabled:
        return "`drift.enabled` is false"
    return (
        "judged is what is scored and later than the champion's training partitions, of which there must be "
        f"{spec.drift.min_partitions} (`drift.min_partitions`)"
    )


def _show(spec: PipelineSpec, found: pd.DataFrame, top: int) -> None:
    from pynomaly_pipelines.stages.drift import history as drift_history

    version = int(found["model_version"].iloc[-1])
    own = found[found["model_version"] == version]
    last = own["_partition"].max()
    rows = own[own["_partition"] == last].sort_values(
        ["drifted", "p_adjusted", "p_value"], ascending=[False, True, True]
    )
    lines = [
        [
            "drifts" if row["drifted"] else "",
            *(str(row[name]) for name in ("kind", "subject", "what")),
            f"{row['effect']:.3g} {row['unit']}",
            f"{row['p_adjusted']:.2g}",
            str(row["usual"]),
            str(row["seen"]),
        ]
        for row in rows.head(top).to_dict("records")
    ]
    head = ["", "kind", "of", "what", "effect", "corrected p", "usual", "now"]
    show_table(f"{spec.name} {last} against the training of version {version}", head, lines)
    lasting = drift_history.episode(spec, own)
    drifted = int(rows["drifted"].sum())
    click.echo(f"{drifted} of {len(rows)} drift; " + (f"lasts: {lasting}" if lasting else "no drift lasts"))
