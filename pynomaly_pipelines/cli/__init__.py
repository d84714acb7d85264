"""The `pynomaly` command: one module for each group of commands."""

from __future__ import annotations

from typing import Any

import click

from pynomaly_pipelines import __version__
from pynomaly_pipelines.cli import (
    accounts,
    aside,
    audit,
    backtests,
    contracts,
    daemon,
    drift,
    exclusions,
    feedback,
    gate,
    health,
    incidents,
    lineage,
    models,
    notify,
    projects,
    quarantine,
    running,
    scores,
    secrets,
    serving,
    suggestions,
    thresholds,
)
from pynomaly_pipelines.operations.errors import PynomalyError


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


COMMANDS: tuple[click.Command, ...] = (
    running.run,
    scores.scores,
    incidents.incidents,
    feedback.feedback,
    notify.notify,
    projects.init,
    projects.new,
    projects.check,
    suggestions.suggest,
    projects.docs,
    health.health,
    quarantine.quarantine,
    contracts.contract,
    gate.evaluate,
    gate.promote,
    gate.rollback,
    models.models,
    lineage.lineage,
    exclusions.exclude,
    thresholds.threshold,
    backtests.backtest,
    drift.drift,
    aside.aside,
    daemon.daemon,
    serving.serve,
    accounts.accounts,
    projects.up,
    running.examples,
    running.demo,
    secrets.secrets,
    projects.schema,
    audit.audit,
)

for command in COMMANDS:
    main.add_command(command)
