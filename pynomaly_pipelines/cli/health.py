"""`health`: how each part of the deployment is, measured now."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.operations.health import HealthReport


@click.command()
@click.option("--format", "shape", type=click.Choice(["text", "json"]), default="text")
@click.option("--dagster-url", default="", help="Ask this webserver about Dagster's daemon, instead of its storage.")
@click.option("--strict", is_flag=True, help="Exit with 1 when degraded, too.")
def health(shape: str, dagster_url: str, strict: bool) -> None:
    """Check every part of the deployment from here. Exits with 1 if it has failed."""
    report = asyncio.run(_measured(dagster_url))
    click.echo(_as_json(report)) if shape == "json" else _show(report)
    if not report.healthy or (strict and report.failing):
        raise SystemExit(1)


async def _measured(dagster_url: str) -> HealthReport:
    from pynomaly_pipelines.operations.cache import Cache, CacheSettings
    from pynomaly_pipelines.operations.cache.settings import SERVICE_DATABASE
    from pynomaly_pipelines.operations.health import process_health
    from pynomaly_pipelines.operations.settings import variables
    from pynomaly_pipelines.resources.health import add_standard_checks

    project, checks = Project.current(), process_health()
    settings = CacheSettings.from_environment(project.settings)
    add_standard_checks(
        checks,
        project.settings,
        database=variables(SERVICE_DATABASE).get(SERVICE_DATABASE) or None,
        cache=Cache(settings) if settings.redis_url else None,
        dagster_url=dagster_url,
        instance=project.instance,
    )
    project.load_health_checks()
    return await checks.run()


def _show(report: HealthReport) -> None:
    rows = [
        [
            check.name,
            str(check.status),
            "yes" if check.critical else "",
            f"{check.seconds * 1000:.0f} ms",
            check.message,
            ", ".join(f"{name}={_figure(value)}" for name, value in check.figures.items()),
        ]
        for check in report.checks
    ]
    show_table(f"health: {report.status}", ["check", "state", "critical", "took", "says", "figures"], rows)


def _figure(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _as_json(report: HealthReport) -> str:
    return json.dumps(dataclasses.asdict(report), indent=2, default=str)
