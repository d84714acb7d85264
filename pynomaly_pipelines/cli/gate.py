"""`evaluate`, `promote`, `rollback`: what a person asks of the gate, and does without it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake, open_registry
from pynomaly_pipelines.cli.terminal import progress, show_table
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.stages.gate.verdict import figure

if TYPE_CHECKING:
    from pynomaly_pipelines.spec import PipelineSpec
    from pynomaly_pipelines.stages.gate.verdict import Verdict
    from pynomaly_pipelines.stages.promotion.champions import Move

RESCORE = click.option("--rescore", is_flag=True, help="Score again here what another version scored.")
REASON = click.option("--reason", default="", help="Why; kept with the move.")


@click.command()
@click.argument("pipeline")
@click.option("--version", "number", type=click.IntRange(1), help="The version judged; by default the last challenger.")
def evaluate(pipeline: str, number: int | None) -> None:
    """Repeat the gate's verdict on a version of PIPELINE: the same rows, the same rival, the same figures.

    It changes nothing. Exit code 1 means that the figures differ from those kept with the version.
    """
    from pynomaly_pipelines.operations.errors import RegistryError
    from pynomaly_pipelines.resources.registry import CHALLENGER
    from pynomaly_pipelines.stages.promotion.registration import judge_again

    project = Project.current()
    spec, registry = project.pipeline(pipeline), open_registry(project)
    version = registry.aliased(spec.name, CHALLENGER) if number is None else registry.version(spec.name, number)
    if version is None:
        raise RegistryError(
            f"pipeline {pipeline!r} has no challenger", rule="a verdict is on one", fix=f"`pynomaly run {pipeline}`"
        )
    kept, again = judge_again(spec, open_lake(project), registry, version)
    _show_verdict(again)
    changed = kept.differences(again)
    if changed:
        raise click.ClickException("; ".join(["the figures are not those kept", *changed]))
    click.echo("the figures are those kept with the version")


@click.command()
@click.argument("pipeline")
@click.argument("version", type=click.IntRange(1))
@REASON
@RESCORE
def promote(pipeline: str, version: int, reason: str, rescore: bool) -> None:
    """Make VERSION the champion of PIPELINE on your word.

    The gate's verdict does not bind you; a model that can't score the pipeline's rows is refused all the same.
    """
    from pynomaly_pipelines.stages.promotion.registration import Trace
    from pynomaly_pipelines.stages.promotion.registration import promote as move

    project = Project.current()
    spec = project.pipeline(pipeline)
    before = move(spec, open_lake(project), open_registry(project), version, Trace(_person(), reason))
    was = "none" if before is None else f"version {before.number}"
    click.echo(f"champion of {pipeline}: {was} -> version {version}")
    _announce(project, spec, rescore)


@click.command()
@click.argument("pipeline")
@click.option("--to", type=click.IntRange(1), help="An earlier champion; by default the one before.")
@REASON
@RESCORE
def rollback(pipeline: str, to: int | None, reason: str, rescore: bool) -> None:
    """Make the previous champion of PIPELINE the champion again.

    The version that is taken back is not promoted again by itself, nor one that ranks rows as it does.
    """
    from pynomaly_pipelines.stages.promotion.registration import Trace
    from pynomaly_pipelines.stages.promotion.registration import rollback as back

    project = Project.current()
    spec = project.pipeline(pipeline)
    lost, now = back(spec, open_lake(project), open_registry(project), Trace(_person(), reason), to)
    click.echo(f"champion of {pipeline}: version {lost.number} -> {now.number} ({now.detector})")
    _announce(project, spec, rescore)


def moves_table(pipeline: str, moves: Sequence[Move]) -> None:
    """The history of a pipeline's champion, on the terminal."""
    rows = [
        [f"{m.at:%Y-%m-%d %H:%M} UTC", str(m.before or "–"), str(m.version or "–"), m.what, m.by, m.reason]
        for m in moves
    ]
    show_table(f"champions of {pipeline}", ["when", "from", "to", "what", "by", "why"], rows)


def _show_verdict(verdict: Verdict) -> None:
    rows = [[c.rule, figure(c.challenger), figure(c.champion), c.outcome, c.sentence] for c in verdict.criteria]
    show_table("", ["rule", "challenger", "champion", "outcome", "what was seen"], rows)
    if verdict.rows is not None:
        click.echo(f"judged on {verdict.rows.sentence()}")
    click.echo(f"version {verdict.challenger} {verdict}")


def _announce(project: Project, spec: PipelineSpec, rescore: bool) -> None:
    """Tell Dagster of the new champion, so that what depends on it follows; or score here."""
    from pynomaly_pipelines.automation.promotions import announce
    from pynomaly_pipelines.stages.summary import scored_by_others

    champion = announce(project.instance(), spec, open_registry(project), f"by {_person()}")
    stale = scored_by_others(spec, open_lake(project), champion.number)
    if not stale:
        return
    if not rescore:
        click.echo(
            f"{len(stale)} partitions carry scores of other versions. While Dagster runs live, the latest are scored "
            "again by themselves; `--rescore` with this command does all of them here."
        )
        return
    from pynomaly_pipelines.cli.terminal import Bars
    from pynomaly_pipelines.running import Runner

    with progress() as bars:
        outcome = Runner(project, spec, Bars(bars, spec.name)).score(stale)
    for key, why in (outcome.refused | outcome.failed).items():
        click.echo(f"partition {key} was not scored: {why}", err=True)
    missed = len(outcome.failed) + len(outcome.refused)
    click.echo(f"scored again: {len(stale) - missed} of {len(stale)} partitions")
    if missed:
        raise click.ClickException(f"{missed} partitions keep their old scores")


def _person() -> str:
    """Who runs the command, for the trace."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user need not have a name.
        return "unknown"
