"""The `pynomaly` command."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pynomaly_pipelines import __version__
from pynomaly_pipelines.operations.errors import DataError, PynomalyError, SpecError
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.spec import NAME_PATTERN

if TYPE_CHECKING:
    import pandas as pd
    from rich.progress import Progress

    from pynomaly_pipelines.resources.registry import Registry
    from pynomaly_pipelines.resources.tables import Lake
    from pynomaly_pipelines.running import Outcome
    from pynomaly_pipelines.spec import PipelineSpec
    from pynomaly_pipelines.stages.summary import Summary

EXAMPLES = ("flights", "airport_delays", "cytology")


class Group(click.Group):
    """Shows the product's errors as one readable line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PynomalyError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Group)
@click.version_option(__version__)
def main() -> None:
    """Anomaly detection pipelines from one YAML file."""


@main.command()
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
    with _progress() as bars:
        problems = _run_chain(project, spec, bars, partition, (first, last), train)
    _say_problems(problems)
    _summary_table([_summarised(project, spec)], [time.perf_counter() - started])
    missed = len(problems.failed) + len(problems.refused)
    if missed:
        raise click.ClickException(f"{missed} of the chosen partitions were not scored")


@main.command()
@click.argument("pipeline")
@click.option("--top", type=click.IntRange(1), default=None, help="Only the N most anomalous rows.")
@click.option("--partition", "partitions", multiple=True, help="Only these partitions.")
@click.option("--format", "shape", type=click.Choice(["table", "csv", "parquet", "json"]), default="table")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of standard output.")
def scores(pipeline: str, top: int | None, partitions: tuple[str, ...], shape: str, output: Path | None) -> None:
    """Show the stored scores of PIPELINE, the most anomalous first."""
    from pynomaly_pipelines.partitions import Calendar
    from pynomaly_pipelines.stages.summary import top_scores

    if output is not None and shape == "table":
        raise click.UsageError("--output needs --format csv, parquet or json; a table is for the terminal")
    project = Project.current()
    spec = project.pipeline(pipeline)
    for key in partitions:
        Calendar(spec).partition(key)
    most = 20 if top is None and shape == "table" else top
    _write_scores(top_scores(spec, _lake(project), most, partitions or None), shape, output)


@main.command()
@click.argument("module")
def init(module: str) -> None:
    """Make this folder a Dagster project with MODULE as its package, to keep pipelines in."""
    from pynomaly_pipelines.scaffolding import scaffold

    for path in scaffold(Path.cwd(), module):
        click.echo(str(path.relative_to(Path.cwd())))
    click.echo("# next: pynomaly new NAME --from FILE", err=True)


@main.command()
@click.argument("name")
@click.option(
    "--from", "source", required=True, type=click.Path(path_type=Path), help="A CSV, Parquet or JSON lines file."
)
def new(name: str, source: Path) -> None:
    """Look at a data file and write a first defs.yaml for it."""
    from pynomaly_pipelines import specfile
    from pynomaly_pipelines.stages.profiling import propose

    if not re.fullmatch(NAME_PATTERN, name):
        raise SpecError(
            f"{name!r} can't name a pipeline", rule="names are like `web_orders`: a-z, 0-9, _", fix="choose another"
        )
    project = Project.current()
    if not project.own:
        raise SpecError(
            f"{project.settings.project} is no project",
            rule="a pipeline lives in the `defs` folder of a Dagster project",
            fix="`pynomaly init my_watch` makes one here",
        )
    # The YAML's paths start from the project, this one from the folder the command runs in.
    source = source if project.settings.project == Path.cwd() else source.absolute()
    path = project.defs / name / "defs.yaml"
    if path.exists():
        raise SpecError(
            f"{path} exists", rule="a pipeline is never overwritten", fix="choose another name or delete it"
        )
    text = propose(source, name)
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    problems = [problem for entry in specfile.read(path) for problem in entry.problems]
    click.echo(text)
    click.echo(f"# wrote {path}", err=True)
    for problem in problems:
        click.echo(str(problem), err=True)
    click.echo(f"# next: pynomaly run {name}", err=True)


@main.command()
def check() -> None:
    """Check every pipeline's YAML; each problem with file, line, value, rule and fix."""
    from pynomaly_pipelines import specfile

    project = Project.current()
    problems = project.check()
    for problem in problems:
        click.echo(str(problem))
    count = len(specfile.find(project.defs))
    if problems:
        raise click.ClickException(f"{len(problems)} problems in {count} files")
    click.echo(f"{count} files, no problems")


@main.command()
@click.argument("pipeline")
def rollback(pipeline: str) -> None:
    """Make the previous champion of PIPELINE the champion again."""
    from pynomaly_pipelines.stages.registration import rollback as roll

    project = Project.current()
    lost, now = roll(_registry(project), project.pipeline(pipeline).name)
    click.echo(f"champion of {pipeline}: version {lost.number} -> {now.number} ({now.detector})")
    click.echo(f"Stored scores keep the version they were made by; `pynomaly run {pipeline} --no-train` scores again.")


@main.command()
@click.argument("pipeline")
def models(pipeline: str) -> None:
    """List the model versions of PIPELINE, with aliases and what the gate said."""
    project = Project.current()
    spec = project.pipeline(pipeline)
    rows = [
        [str(v.number), v.detector, ", ".join(v.aliases), f"{v.threshold:.4g}", v.tags.get("gate_reason", "")]
        for v in _registry(project).versions(spec.name)
    ]
    _table(f"models of {pipeline}", ["version", "detector", "aliases", "threshold", "gate"], rows)


@main.command()
@click.option("--live", is_flag=True, help="Switch schedules and sensors on.")
@click.option("--port", default=3000, show_default=True, help="Dagster's port; another one is taken if it is busy.")
@click.option("--mlflow-port", default=5000, show_default=True, help="MLflow's port; likewise.")
def up(live: bool, port: int, mlflow_port: int) -> None:
    """Start the Dagster webserver, its daemon and the MLflow UI on this machine; Ctrl-C stops them."""
    from pynomaly_pipelines.serving_locally import Stack

    sys.exit(Stack(Project.current(), live=live, port=port, mlflow_port=mlflow_port).run(click.echo))


@main.command()
@click.argument("names", nargs=-1)
def examples(names: tuple[str, ...]) -> None:
    """Write the example data into the landing folder."""
    from pynomaly_pipelines.examples import write

    for name, folder in write(Project.current().settings.project, list(names) or None).items():
        click.echo(f"{name}: {folder}")


@main.command()
@click.argument("names", nargs=-1)
def demo(names: tuple[str, ...]) -> None:
    """Run the example pipelines on real data and show what came out."""
    from pynomaly_pipelines.examples import write

    project = Project.current()
    chosen = list(names) or list(EXAMPLES)
    write(project.settings.project, chosen)
    summaries, seconds = [], []
    with _progress() as bars:
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


@main.command()
def schema() -> None:
    """Print the JSON schema of a pipeline's YAML, for editors."""
    from pynomaly_pipelines.specfile import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


# --------------------------------------------------------------------------------------------------- helpers


def _lake(project: Project) -> Lake:
    from pynomaly_pipelines.resources.tables import Lake

    return Lake(project.settings.lake)


def _registry(project: Project) -> Registry:
    from pynomaly_pipelines.resources.registry import Registry

    settings = project.settings
    return Registry(settings.registry, settings.artifacts, settings.registry_ui, settings.home / "cache" / "models")


def _summarised(project: Project, spec: PipelineSpec) -> Summary:
    from pynomaly_pipelines.stages.summary import summarise

    return summarise(spec, _lake(project), _registry(project))


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
    from pynomaly_pipelines.stages import landing

    keys = choose(spec, landing.available(spec, _lake(project), project.settings.project), partition, span)
    runner = Runner(project, spec, _Bars(bars, spec.name))
    ingested = runner.ingest(keys)
    good = [key for key in keys if key not in ingested.refused and key not in ingested.failed]
    if not good:
        why = next(iter((ingested.refused | ingested.failed).values()), "no partition was chosen")
        raise DataError(why, rule="a chain needs at least one accepted partition", fix="mend the input and run again")
    champion = _registry(project).aliased(spec.name, CHAMPION)
    trained, verdict = Outcome(), "`--no-train` was given and no model was trained before"
    if train or (train is None and champion is None):
        trained = runner.train()
        verdict = runner.waiting(trained.runs[0]) or _verdict(project, spec)
        bars.console.print(f"{spec.name}: {verdict}", highlight=False, markup=False)
    if _registry(project).aliased(spec.name, CHAMPION) is None:
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

    challenger = _registry(project).aliased(spec.name, CHALLENGER)
    if challenger is None:
        return "no model was trained"
    return (
        f"version {challenger.number} ({challenger.detector}) {challenger.tags.get('gate_reason', 'is not judged yet')}"
    )


class _Bars:
    """Progress of a run as one bar a part."""

    def __init__(self, bars: Progress, pipeline: str) -> None:
        self._bars = bars
        self._pipeline = pipeline
        self._tasks: dict[str, Any] = {}

    def __call__(self, part: str, done: int, total: int) -> None:
        if part not in self._tasks:
            self._tasks[part] = self._bars.add_task(f"{self._pipeline}: {part}", total=total)
        self._bars.update(self._tasks[part], completed=done)


@contextmanager
def _progress() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield bars


def _say_problems(outcome: Outcome, *, brief: bool = False) -> None:
    told = outcome.refused | outcome.failed
    for key, why in list(told.items())[: 3 if brief else None]:
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
    _table("in the tables now", head, rows)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, title=title or None)
    for row in rows:
        table.add_row(*row)
    console = Console()
    # Piped output has no width of its own; cutting it at 80 columns would lose figures.
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def _write_scores(found: pd.DataFrame, shape: str, output: Path | None) -> None:
    from pynomaly_pipelines.stages.summary import as_json_lines, readable

    if shape == "parquet":
        _write_bytes(found.to_parquet(index=False), output)
    elif shape == "csv":
        _write_bytes(readable(found).to_csv(index=False).encode(), output)
    elif shape == "json":
        _write_bytes("".join(f"{line}\n" for line in as_json_lines(found)).encode(), output)
    else:
        shown = readable(found).drop(columns=["threshold", "model_version"])
        _table(
            "",
            list(map(str, shown.columns)),
            [[_cell(value) for value in row] for row in shown.itertuples(index=False)],
        )


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _write_bytes(content: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content)


def _save_pictures(project: Project, spec: PipelineSpec) -> Path:
    from pynomaly_pipelines.stages.summary import pictures

    folder = project.settings.home / "plots" / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in pictures(spec, _lake(project)).items():
        (folder / name).write_bytes(png)
    return folder
