"""`pynomaly audit`: verify, show and export the log of who changed what."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pynomaly_pipelines.service.accounts.database import Database
    from pynomaly_pipelines.service.settings import ServiceSettings


@click.group()
def audit() -> None:
    """The tamper-evident log of who changed what in the service."""


@audit.command()
@click.option(
    "--anchors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Anchors kept elsewhere. Default: the file of the service, if it is there.",
)
def verify(anchors: Path | None) -> None:
    """Look through the whole log; exit code 1 and the first bad entry if it is not what was written."""
    from pynomaly_pipelines.service.audit import anchoring
    from pynomaly_pipelines.service.audit.anchors import kept_elsewhere, verified

    if anchors is not None and not anchors.exists():
        raise click.BadParameter(f"there is no file {anchors}", param_hint="--anchors")
    settings, home, database = _opened()
    file = anchors or anchoring.file_of(settings, home)
    elsewhere = kept_elsewhere(file) if anchors is not None or file.exists() else []
    with database.reading() as session:
        verdict = verified(session, anchoring.seals_of(settings, home), elsewhere)
    database.close()
    if verdict.broken is not None:
        click.echo(f"BROKEN at entry {verdict.broken.sequence}: {verdict.broken.problem}")
        raise SystemExit(1)
    click.echo(
        f"Intact: {verdict.entries} entries, anchored up to {verdict.last_anchored} ({len(elsewhere)} in {file})"
    )
    if verdict.entries > verdict.last_anchored:
        click.echo(f"Entries after {verdict.last_anchored} could have been cut off unseen.")


@audit.command()
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="The newest so many.")
@click.option("--subject", default="", help="Of one subject only: account:<id>, pipeline:<name> …")
def show(limit: int, subject: str) -> None:
    """Print the newest entries, the last one at the bottom."""
    from pynomaly_pipelines.service.audit.log import Asked, page

    _, _, database = _opened()
    with database.reading() as session:
        for entry, _hash in reversed(page(session, Asked(subject=subject, limit=limit))):
            who = entry.name or "-"
            click.echo(
                f"{entry.sequence:>6}  {entry.at}  {who:<16} {entry.action:<26} {entry.subject}  {entry.details}"
            )
    database.close()


@audit.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
def export(output: Path) -> None:
    """Write every entry with its hash as a line of JSON, oldest first."""
    from pynomaly_pipelines.service.audit.actions import Action
    from pynomaly_pipelines.service.audit.entries import Actor
    from pynomaly_pipelines.service.audit.log import everything
    from pynomaly_pipelines.service.audit.log import record as tell

    _, _, database = _opened()
    written = 0
    with database.reading() as session, output.open("w", encoding="utf-8") as file:
        for entry, digest in everything(session):
            file.write(json.dumps({**asdict(entry), "hash": digest}) + "\n")
            written += 1
    with database.writing() as session:
        details = {"entries": written}
        tell(session, actor=Actor.system("command"), action=Action.AUDIT_EXPORTED, subject="audit", details=details)
    database.close()
    click.echo(f"{written} entries in {output}")


def _opened() -> tuple[ServiceSettings, Path, Database]:
    from pynomaly_pipelines.operations.settings import Settings
    from pynomaly_pipelines.service.accounts.opening import open_database
    from pynomaly_pipelines.service.settings import read_settings

    settings, home = read_settings(), Settings.from_environment().home
    return settings, home, open_database(settings, home)
