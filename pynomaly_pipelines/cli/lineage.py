"""`lineage`: from one score back to everything it came from."""

from __future__ import annotations

import click

from pynomaly_pipelines.cli.stores import open_lake, open_registry
from pynomaly_pipelines.project import Project


@click.command()
@click.argument("pipeline")
@click.option("--key", "keys", multiple=True, help="COLUMN=VALUE of the row; as often as it takes to name one.")
@click.option("--row", help="FILE:ROW, as the columns `_source` and `_row` of the scores have it.")
@click.option("--partition", help="Its partition; without --key or --row the highest score there.")
@click.option("--format", "shape", type=click.Choice(["text", "json"]), default="text")
def lineage(pipeline: str, keys: tuple[str, ...], row: str | None, partition: str | None, shape: str) -> None:
    """Follow one score of PIPELINE back: model version, MLflow run, training data, validation, files, code."""
    from pynomaly_pipelines.resources.docs import DataDocs
    from pynomaly_pipelines.stages.lineage import choose, in_words, trace

    project = Project.current()
    spec, lake = project.pipeline(pipeline), open_lake(project)
    docs = DataDocs(project.settings.data_docs, project.settings.data_docs_ui)
    chosen = choose(spec, lake, key=_named(keys), row=_placed(row), partition=partition)
    found = trace(spec, lake, open_registry(project), docs, chosen)
    if shape == "json":
        click.echo(found.to_json())
        return
    for name, told in in_words(found):
        click.echo(f"{name:15} {told}")


def _named(keys: tuple[str, ...]) -> dict[str, str]:
    wrong = [text for text in keys if "=" not in text]
    if wrong:
        raise click.UsageError(f"--key {wrong[0]}: write COLUMN=VALUE")
    return dict(text.split("=", 1) for text in keys)


def _placed(row: str | None) -> tuple[str, int] | None:
    if row is None:
        return None
    path, _, number = row.rpartition(":")
    if not path or not number.isdigit():
        raise click.UsageError(f"--row {row}: write FILE:ROW")
    return path, int(number)
