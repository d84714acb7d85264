"""`run` and `demo`: the whole chain of a pipeline, and what came out of it; `examples`: data to run it on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake, open_registry
from pynomaly_pipelines.cli.terminal import Bars, progress, show_table
from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from rich.progress import Progress

    from pynomaly_pipelines.running import Outcome
    from pynomaly_pipelines.spec import PipelineSpec
    from pynomaly_pipelines.stages.summary import Summary

EXAMPLES = ("flights", "airport_delays", "cytology")


@click.command()
@click.argument("pipeline")
@click.option("--partition", help="One partition, by its key.")
@click.option("--from", "first", help="First partition of a range.")
@click.option("--to", "last", help="Last partition of a range, included.")
@click.option("--train/--no-train", default=None, help="Train anew, or never. Default: only when there is no champion.")
def run(pipeline: str, partition: str | None, first: str | None, last: str | None, train: bool | None) -> None:
    """Run the whole chain of PIPELINE: ingest, validate, train if need be, score.

    Without options it takes every partition that files are found for.
    """
    if partition is not None and (first is not None or last is not None):
        raise click.UsageError("--partition names one partition, --from and --to a range: give one of the two")
    project = Project.current()
    spec = project.pipeline(pipeline)
    started = time.perf_counter()
    with progress() as bars:
        problems = _run_chain(project, spec, bars, partition, (first, last), train)
    _say_problems(problems)
    _summary_table([_summarised(project, spec)], [time.perf_counter() - started])
    missed = len(problems.failed) + len(problems.refused)
    if missed:
        raise click.ClickException(f"{missed} of the chosen partitions were not scored")


@click.command()
@click.argument("names", nargs=-1)
def examples(names: tuple[str, ...]) -> None:
    """Write the example data into the landing folder."""
    from pynomaly_pipelines.examples import write

    for name, folder in write(Project.current().settings.project, list(names) or None).items():
        click.echo(f"{name}: {folder}")


@click.command()
@click.argument("names", nargs=-1)
def demo(names: tuple[str, ...]) -> None:
    """Run the example pipelines on real data and show what came out."""
    from pynomaly_pipelines.examples import write

    project = Project.current()
    chosen = list(names) or list(EXAMPLES)
    write(project.settings.project, chosen)
    summaries, seconds = [], []
    with progress() as bars:
        for name in chosen:
            started = time.perf_counter()
            spec = project.pipeline(name)
            _say_problems(_run_chain(project, spec, bars, None, (None, None), None), brief=True)
            summaries.append(_summarised(project, spec))
            seconds.append(time.perf_counter() - started)
    _summary_table(summaries, seconds)
    for name in chosen:
        click.echo(f"plots of {name}: {_save_pictures(project, project.pipeline(name))}")
    click.echo("the most anomalous rows:  pynomaly scores flights --top 10")
    click.echo("the UIs:                  pynomaly up")


def _run_chain(
    project: Project,
    spec: PipelineSpec,
    bars: Progress,
    partition: str | None,
    span: tuple[str | None, str | None],
    train: bool | None,
) -> Outcome:
    from pynomaly_pipelines.resources.registry import CHAMPION
    from pynomaly_pipelines.running import Outcome, Runner, choose
    from pynomaly_pipelines.stages.sources import landing

    keys = choose(spec, landing.available(spec, open_lake(project), project.settings.project), partition, span)
    runner = Runner(project, spec, Bars(bars, spec.name))
    ingested = runner.ingest(keys)
    good = [key for key in keys if key not in ingested.refused and key not in ingested.failed]
    if not good:
        why = next(iter((ingested.refused | ingested.failed).values()), "no partition was chosen")
        raise DataError(why, rule="a chain needs at least one accepted partition", fix="mend the input and run again")
    champion = open_registry(project).aliased(spec.name, CHAMPION)
    trained, verdict = Outcome(), "`--no-train` was given and no model was trained before"
    if train or (train is None and champion is None):
        trained = runner.train()
        verdict = runner.waiting(trained.runs[0]) or _verdict(project, spec)
        bars.console.print(f"{spec.name}: {verdict}", highlight=False, markup=False)
    if open_registry(project).aliased(spec.name, CHAMPION) is None:
        raise DataError(
            f"pipeline {spec.name!r} has no champion: {verdict}",
            rule="scoring needs a champion",
            fix=f"`pynomaly models {spec.name}` shows what was trained",
        )
    scored = runner.score(good)
    return Outcome(
        [*ingested.runs, *trained.runs, *scored.runs], ingested.refused, {**ingested.failed, **scored.failed}
    )


def _verdict(project: Project, spec: PipelineSpec) -> str:
    """What the gate said of the last challenger."""
    from pynomaly_pipelines.resources.registry import CHALLENGER

    challenger = open_registry(project).aliased(spec.name, CHALLENGER)
    if challenger is None:
        return "no model was trained"
    return (
        f"version {challenger.number} ({challenger.detector}) {challenger.tags.get('gate_reason', 'is not judged yet')}"
    )


def _summarised(project: Project, spec: PipelineSpec) -> Summary:
    from pynomaly_pipelines.stages.summary import summarise

    return summarise(spec, open_lake(project), open_registry(project))


def _say_problems(outcome: Outcome, *, brief: bool = False) -> None:
    told = outcome.refused | outcome.failed
    for key, why in sorted(told.items())[: 3 if brief else None]:
        click.echo(f"partition {key} was not scored: {why}", err=True)
    if brief and len(told) > 3:
        click.echo(f"… and {len(told) - 3} more", err=True)


def _summary_table(summaries: Sequence[Summary], seconds: Sequence[float]) -> None:
    head = ["pipeline", "rows in", "quarantined", "trained on", "champion", "rows scored", "anomalies", "time"]
    rows = [
        [
            s.pipeline,
            f"{s.rows:,}",
            f"{s.quarantined:,}",
            f"{s.trained_on:,}",
            f"version {s.champion.number} ({s.champion.detector})" if s.champion else "none",
            f"{s.scored:,}",
            f"{s.anomalies:,}",
            f"{elapsed:.1f} s",
        ]
        for s, elapsed in zip(summaries, seconds, strict=True)
    ]
    show_table("in the tables now", head, rows)


def _save_pictures(project: Project, spec: PipelineSpec) -> Path:
    from pynomaly_pipelines.stages.summary import pictures

    folder = project.settings.home / "plots" / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in pictures(spec, open_lake(project)).items():
        (folder / name).write_bytes(png)
    return folder
