"""`serve`: the HTTP API."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
@click.option("--workers", type=int, help="Processes that answer requests.")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the HTTP API until Ctrl-C or SIGTERM.

    All else is set by PYNOMALY_SERVICE_… variables; nothing secret is taken on the command line.
    """
    from pynomaly_pipelines.project import Project
    from pynomaly_pipelines.service.serving import run

    given = {"host": host, "port": port, "workers": workers}
    raise SystemExit(
        run(Project.current(), {name: value for name, value in given.items() if value is not None}, click.echo)
    )
