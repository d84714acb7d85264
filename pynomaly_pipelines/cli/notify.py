"""`notify`: what would be told to whom, and whether a message arrives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.resources.notifications import Message
    from pynomaly_pipelines.spec import PipelineSpec


@click.command()
@click.argument("pipeline")
@click.option("--test", is_flag=True, help="Send a test message to each receiver.")
@click.option("--dry-run", is_flag=True, help="Show what is due in full, and send nothing.")
@click.option("--to", "only", help="Only this receiver.")
def notify(pipeline: str, test: bool, dry_run: bool, only: str | None) -> None:
    """Show what the receivers of PIPELINE are to be told next; the sensor `<pipeline>_alerts` sends it."""
    from pynomaly_pipelines.automation.alerts import NEWCOMER, messages
    from pynomaly_pipelines.automation.news import Known, gather

    project = Project.current()
    spec = project.pipeline(pipeline)
    if spec.notify is None:
        click.echo(f"{pipeline} tells nobody; name receivers under `notify:` in its defs.yaml")
        return
    names = [name for name in spec.notify.receivers if only in (None, name)]
    if not names:
        raise click.UsageError(f"{pipeline} has no receiver {only!r}; it has {', '.join(spec.notify.receivers)}")
    if test and not dry_run:
        _send_test(spec, names)
        return
    lake = open_lake(project)
    now = datetime.now(UTC)
    with project.instance() as instance:
        found = gather(instance, spec, lake, dict.fromkeys(names, Known(now - NEWCOMER)), now)
    for name in names:
        click.echo(f"{name} ({spec.notify.receivers[name]}, {spec.notify.digest}): {found.of[name]}")
    for why, count in found.untold.items():
        click.echo(f"{count} {'incidents are' if count > 1 else 'incident is'} not told: {why}")
    if dry_run:
        for name, message in messages(spec, lake, {name: found.of[name] for name in names if found.of[name]}).items():
            _show(name, message)


def _send_test(spec: PipelineSpec, names: list[str]) -> None:
    from pynomaly_pipelines.automation.alerts import url_of
    from pynomaly_pipelines.operations.settings import Settings
    from pynomaly_pipelines.resources.notifications import send_each
    from pynomaly_pipelines.stages.notifications.messages import about_nothing

    message = about_nothing(spec, Settings.from_environment().public_url)
    failed = []
    for outcome in send_each(dict.fromkeys(names, message), url_of(spec)):
        click.echo(f"{outcome.receiver}: {'sent' if outcome.sent else outcome.why_not}")
        failed += [] if outcome.sent else [outcome.receiver]
    if failed:
        raise click.ClickException(f"not reached: {', '.join(sorted(failed))}")


def _show(name: str, message: Message) -> None:
    click.echo(f"\n--- to {name}: {message.title}\n{message.text}")
    for picture in message.pictures:
        click.echo(f"[{picture.name}, {len(picture.png):,} bytes]")
