"""`init`, `new`, `check`, `schema`, `up`: a project, its pipelines' files, and its servers."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.spec import NAME_PATTERN


@click.command()
@click.argument("module")
def init(module: str) -> None:
    """Make this folder a Dagster project with MODULE as its package, to keep pipelines in."""
    from pynomaly_pipelines.scaffolding import scaffold

    for path in scaffold(Path.cwd(), module):
        click.echo(str(path.relative_to(Path.cwd())))
    click.echo("# next: pynomaly new NAME --from FILE", err=True)


@click.command()
@click.argument("name")
@click.option(
    "--from",
    "source",
    required=True,
    help="CSV, Parquet or JSON lines files, here or at s3://, gs:// or az://; a Delta table; or sql:VARIABLE/table.",
)
def new(name: str, source: str) -> None:
    """Look at data and write a first defs.yaml for it."""
    from pynomaly_pipelines import specfile
    from pynomaly_pipelines.stages.profiling.first_spec import propose

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
    if project.settings.project != Path.cwd() and not re.match(r"\w{2,}:", source):
        source = Path(source).absolute().as_posix()
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


@click.command()
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


@click.command()
def schema() -> None:
    """Print the JSON schema of a pipeline's YAML, for editors."""
    from pynomaly_pipelines.specfile import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@click.option("--live", is_flag=True, help="Switch schedules and sensors on.")
@click.option("--port", default=3000, show_default=True, help="Dagster's port; another one is taken if it is busy.")
@click.option("--mlflow-port", default=5000, show_default=True, help="MLflow's port; likewise.")
@click.option("--api-port", default=8000, show_default=True, help="The HTTP API's port; likewise.")
def up(live: bool, port: int, mlflow_port: int, api_port: int) -> None:
    """Start the Dagster webserver, its daemon and the MLflow UI on this machine; Ctrl-C stops them."""
    from pynomaly_pipelines.serving_locally import Stack

    sys.exit(Stack(Project.current(), live=live, port=port, mlflow_port=mlflow_port, api_port=api_port).run(click.echo))


@click.command()
@click.argument("pipeline")
@click.option("--partition", help="The page of one partition; by default the list of all.")
@click.option("--open", "opened", is_flag=True, help="Open it in the browser.")
def docs(pipeline: str, partition: str | None, opened: bool) -> None:
    """Say where the Data Docs of PIPELINE are: how each partition was validated, as HTML."""
    from pynomaly_pipelines.resources.docs import INDEX, DataDocs

    project = Project.current()
    path = DataDocs(project.settings.data_docs).path(project.pipeline(pipeline).name, partition or INDEX)
    if not path.exists():
        raise SpecError(
            f"there is no {path}",
            rule="a page is written when a partition is validated, unless `validation.docs` is 0",
            fix=f"pynomaly run {pipeline}",
        )
    click.echo(str(path))
    if opened:
        click.launch(path.as_uri())
