"""`scores`: what is stored about rows, for people and programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.cli.terminal import cell, show_table, write_bytes
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    import pandas as pd


@click.command()
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
    _write_scores(top_scores(spec, open_lake(project), most, partitions or None), shape, output)


def _as_csv(shown: pd.DataFrame) -> bytes:
    """As the service exports it: texts that a spreadsheet would run as a formula begin with an apostrophe."""
    import pandas as pd
    import pyarrow as pa

    from pynomaly_pipelines.stages.stored.export import harmless

    for name in shown.columns:
        if pd.api.types.infer_dtype(shown[name], skipna=True) == "string":
            texts = pa.chunked_array([pa.array(shown[name], pa.string())])
            shown = shown.assign(**{str(name): harmless(texts).to_pandas()})
    return shown.to_csv(index=False).encode()


def _write_scores(found: pd.DataFrame, shape: str, output: Path | None) -> None:
    from pynomaly_pipelines.stages.summary import as_json_lines, readable

    if shape == "parquet":
        write_bytes(found.to_parquet(index=False), output)
    elif shape == "csv":
        write_bytes(_as_csv(readable(found)), output)
    elif shape == "json":
        write_bytes("".join(f"{line}\n" for line in as_json_lines(found)).encode(), output)
    else:
        shown = readable(found).drop(columns=["threshold", "model_version"])
        show_table(
            "",
            list(map(str, shown.columns)),
            [[cell(value) for value in row] for row in shown.itertuples(index=False)],
        )
