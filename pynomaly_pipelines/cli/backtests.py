"""`backtest`: a period, as it would have happened."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake, open_registry
from pynomaly_pipelines.cli.terminal import Bars, progress, show_table
from pynomaly_pipelines.cli.threshold_options import BUDGET, budget_rule
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.spec import PipelineSpec
    from pynomaly_pipelines.stages.backtest.replay import Backtest
    from pynomaly_pipelines.stages.backtest.report import Report

CRONS = {"daily": "0 0 * * *", "weekly": "0 0 * * 0", "monthly": "0 0 1 * *", "never": None}


@click.command()
@click.argument("pipeline")
@click.option("--from", "first", help="First partition; by default the pipeline's first.")
@click.option("--to", "last", help="Last partition, included; by default the latest validated one.")
@click.option("--retrain", help="Instead of the YAML's: daily, weekly, monthly, never or a cron expression.")
@click.option("--budget", type=BUDGET, help="Another threshold: at most so many alerts, such as `5/week`.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder; by default below the home.")
def backtest(
    pipeline: str,
    first: str | None,
    last: str | None,
    retrain: str | None,
    budget: tuple[int, str] | None,
    out: Path | None,
) -> None:
    """Replay a period of PIPELINE day by day, as it would have happened; nothing of the pipeline is changed.

    Models are trained, judged and promoted at the scheduled times on the data's clock, thresholds follow their rule,
    and each partition is scored by the champion of its time. Writes report.md, tables as CSV, the scores and a plot.
    """
    from pynomaly_pipelines.partitions import Calendar
    from pynomaly_pipelines.stages.backtest.report import report, write

    project = Project.current()
    spec = _as_asked(project, project.pipeline(pipeline), retrain, budget)
    for key in (first, last):
        if key is not None:
            Calendar(spec).partition(key)
    folder = out or project.settings.home / "backtests" / spec.name
    found = _replay(project, spec, first or "", last or "~", folder)
    told = report(found)
    written = write(found, told, folder)
    _show(found, told)
    click.echo(f"{', '.join(path.name for path in written)} in {folder}")


def _as_asked(
    project: Project, spec: PipelineSpec, retrain: str | None, budget: tuple[int, str] | None
) -> PipelineSpec:
    """The pipeline with the rule in force, and what the options change."""
    from pynomaly_pipelines.spec import Automation
    from pynomaly_pipelines.stages.thresholds.in_force import rule_of

    rule = budget_rule(*budget) if budget else rule_of(spec, open_registry(project))[0]
    automation = spec.automation
    if retrain is not None:
        try:
            cron = CRONS.get(retrain, retrain)
            automation = Automation.model_validate({**automation.model_dump(), "retrain": cron})
        except ValueError as error:
            raise click.BadParameter(
                f"{retrain!r} is neither {', '.join(CRONS)} nor a cron expression of five fields",
                param_hint="--retrain",
            ) from error
    return spec.model_copy(update={"threshold": rule, "automation": automation})


def _replay(project: Project, spec: PipelineSpec, first: str, last: str, folder: Path) -> Backtest:
    from pynomaly_pipelines.resources.registry import Registry
    from pynomaly_pipelines.resources.tables import Lake
    from pynomaly_pipelines.stages.backtest.replay import backtest as replay
    from pynomaly_pipelines.stages.backtest.report import ScoresFile

    with tempfile.TemporaryDirectory(prefix="pynomaly-backtest-") as place, progress() as bars:
        bar = Bars(bars, spec.name)
        store = (
            Lake(f"{place}/lake"),
            Registry(f"sqlite:///{place}/registry.db", f"{place}/artifacts", "", Path(place) / "cache"),
        )
        with closing(ScoresFile(folder / "scores.parquet")) as scores:
            return replay(
                spec,
                open_lake(project),
                first,
                last,
                store,
                observe=scores.add,
                progress=lambda done, total: bar("replay", done, total),
            )


def _show(found: Backtest, told: Report) -> None:
    from pynomaly_pipelines.stages.backtest.report import shown

    for title, table, columns in (
        ("alerts", told.periods, list(told.periods.columns)),
        ("known events", told.events, ["start", "event", "caught", "first anomaly", "known at"]),
        ("trainings", told.trainings, ["moment", "challenger", "detector", "promoted", "threshold", "basis"]),
    ):
        if len(table):
            show_table(title, columns, shown(table, columns))
    click.echo(f"{found.spec.name}, {found.first} to {found.last}")
    for line in told.summary:
        click.echo(f"  {line}")
