"""`quarantine`: rows that were set aside, and their way back after a fix."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake, open_registry
from pynomaly_pipelines.cli.terminal import Bars, progress, show_table
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.resources.tables import Lake
    from pynomaly_pipelines.running import Outcome
    from pynomaly_pipelines.spec import PipelineSpec
    from pynomaly_pipelines.stages.expectations.rejudging import Rejudging
    from pynomaly_pipelines.stages.expectations.releasing import Held


class _ShowsByDefault(click.Group):
    """`pynomaly quarantine shop` is short for `pynomaly quarantine show shop`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the command first, where it was left out."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ShowsByDefault)
def quarantine() -> None:
    """Rows that were set aside: `quarantine PIPELINE` shows them, `quarantine release PIPELINE` judges them again."""


@quarantine.command()
@click.argument("pipeline")
@click.option("--partition", "partitions", multiple=True, help="Only these partitions.")
@click.option("--reason", help="Only rows with a reason that has this in it: an expectation's name, a column.")
@click.option("--rows", "most", type=click.IntRange(0), default=10, show_default=True, help="How many rows to show.")
def show(pipeline: str, partitions: tuple[str, ...], reason: str | None, most: int) -> None:
    """Show the quarantined rows of PIPELINE: how many for which reason, and the first of them."""
    from pynomaly_pipelines.stages.expectations.releasing import held

    project = Project.current()
    spec = project.pipeline(pipeline)
    _show(spec, held(spec, open_lake(project), _known(spec, partitions), reason, most))


@quarantine.command()
@click.argument("pipeline")
@click.option("--partition", "partitions", multiple=True, help="Only these partitions.")
@click.option("--expectation", help="Only partitions with rows that broke this expectation.")
@click.option("--accept", "ids", multiple=True, metavar="ROW", help="Let this row through, by its id; repeat it.")
@click.option("--reason", default="", help="Why; needed with --accept, and kept in the tables' history.")
def release(
    pipeline: str, partitions: tuple[str, ...], expectation: str | None, ids: tuple[str, ...], reason: str
) -> None:
    """Judge the quarantined partitions of PIPELINE again, after its YAML or its data was mended.

    Rows that meet the expectations of now become valid and are scored; the others stay, with their reasons. Where rows
    were rejected when they were read, their files are read again first, if they are still there. Nothing is lost, and
    doing it twice changes nothing. Who did it is kept with the runs and in the tables' history.
    """
    from pynomaly_pipelines.stages.expectations.acceptance import accept
    from pynomaly_pipelines.stages.expectations.rejudging import ReleaseWish, rejudging

    project = Project.current()
    spec, lake = project.pipeline(pipeline), open_lake(project)
    wish = ReleaseWish(_known(spec, partitions), expectation, ids, reason, _user())
    found = rejudging(spec, lake, project.settings.project, wish)
    if found.decision.rows:
        accept(spec, lake, found.decision)
    if not found.partitions:
        click.echo(f"nothing of {pipeline} is in quarantine{f' for {expectation}' if expectation else ''}")
        return
    _say(spec, lake, *_judge_again(project, spec, lake, found, reason))


def _judge_again(
    project: Project, spec: PipelineSpec, lake: Lake, found: Rejudging, reason: str
) -> tuple[list[list[str]], Outcome, list[str]]:
    """Runs of the validation, and of scoring where rows changed: lines by partition, refusals, partitions scored."""
    from pynomaly_pipelines.pipeline import RELEASE_REASON, RELEASED_BY
    from pynomaly_pipelines.resources.registry import CHAMPION
    from pynomaly_pipelines.running import Runner
    from pynomaly_pipelines.stages.expectations.releasing import changes, origins

    tags = {"pynomaly/trigger": "release", RELEASED_BY: _user(), **({RELEASE_REASON: reason} if reason else {})}
    keys = found.partitions
    before = origins(spec, lake, keys)
    with progress() as bars:
        runner = Runner(project, spec, Bars(bars, spec.name), tags)
        outcome = runner.ingest(found.read_again)
        judged = runner.validate(found.judged_again)
        outcome.refused |= judged.refused
        outcome.failed |= judged.failed
        made = changes(before, origins(spec, lake, keys))
        to_score = [key for key, change in made.items() if (change.released or change.added)]
        to_score = [key for key in to_score if key not in outcome.refused and key not in outcome.failed]
        champion = open_registry(project).aliased(spec.name, CHAMPION)
        scored = runner.score(to_score) if champion is not None and to_score else None
    outcome.failed |= scored.failed if scored is not None else {}
    lines = [[key, f"{c.held:,}", f"{c.released:,}", f"{c.stay:,}", f"{c.added:,}"] for key, c in made.items()]
    return lines, outcome, to_score if scored is not None else []


def _say(spec: PipelineSpec, lake: Lake, lines: list[list[str]], outcome: Outcome, scored: list[str]) -> None:
    from pynomaly_pipelines.stages.expectations.releasing import held

    show_table(
        f"released from quarantine of {spec.name}", ["partition", "held", "released", "stay", "newly held"], lines
    )
    staying = held(spec, lake, [line[0] for line in lines], None, 0)
    for why, count in staying.reasons.items():
        click.echo(f"{count:,} stay: {why}")
    click.echo(f"scored: {', '.join(scored) or 'nothing, as nothing changed'}")
    for key, why in (outcome.refused | outcome.failed).items():
        click.echo(f"partition {key} was not accepted: {why}", err=True)
    if outcome.refused or outcome.failed:
        raise click.ClickException(f"{len(outcome.refused | outcome.failed)} partitions were not accepted")


def _show(spec: PipelineSpec, found: Held) -> None:
    if not found.partitions:
        click.echo(f"nothing of {spec.name} is in quarantine")
        return
    total = sum(found.partitions.values())
    reasons = [[why, f"{count:,}", f"{count / total:.1%}"] for why, count in found.reasons.items()]
    show_table(
        f"{total:,} rows of {spec.name} in quarantine, in {len(found.partitions)} partitions",
        ["reason", "rows", "share"],
        reasons,
    )
    if found.rows:
        rows = [[r.id, r.partition, f"{r.source}:{r.row}", r.values, "; ".join(r.reasons)] for r in found.rows]
        show_table("", ["row", "partition", "from", "values", "reasons"], rows)
    click.echo(f"after a fix: pynomaly quarantine release {spec.name}")


def _known(spec: PipelineSpec, partitions: Sequence[str]) -> list[str] | None:
    """The keys, if they are such of the pipeline; None for all."""
    from pynomaly_pipelines.partitions import Calendar

    return [Calendar(spec).partition(key).key for key in partitions] or None


def _user() -> str:
    """Who is at the terminal, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may have a number and no name.
        return f"uid {os.getuid()}"
