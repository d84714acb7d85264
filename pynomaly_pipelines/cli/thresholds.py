"""`threshold`: what the threshold of a pipeline is, what another one would have meant, and the change of it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.stores import open_lake, open_registry
from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.cli.threshold_options import BUDGET, GOAL, budget_rule, goal_rule
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.resources.registry import Version
    from pynomaly_pipelines.spec import PipelineSpec
    from pynomaly_pipelines.spec.threshold import Threshold
    from pynomaly_pipelines.stages.thresholds.proposals import Effect, Proposal, Reflagged

OPEN_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command()
@click.argument("pipeline")
@click.option("--budget", type=BUDGET, help="Propose: at most so many alerts, such as `5/week`.")
@click.option(
    "--alert-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Propose: this share of ordinary rows.",
)
@click.option("--score", type=click.FloatRange(0, 1), help="Propose: a fixed score.")
@click.option("--labels", type=GOAL, help="Propose: `f1`, `precision=0.8` or `recall=0.9` on labelled rows.")
@click.option("--accept", is_flag=True, help="Put the proposed threshold in force, without training.")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--by", "who", help="Who accepts it; by default the user who is logged in.")
@click.option("--reflag", is_flag=True, help="Hold stored scores against the threshold in force, too.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG; by default in the plots of the home."
)
def threshold(
    pipeline: str,
    budget: tuple[int, str] | None,
    alert_rate: float | None,
    score: float | None,
    labels: tuple[str, str] | None,
    accept: bool,
    reason: str,
    who: str | None,
    reflag: bool,
    plot: Path | None,
) -> None:
    """Show the threshold of PIPELINE and its alerts so far, and what another one would have meant.

    Nothing changes without --accept.
    """
    from pynomaly_pipelines.stages.thresholds.proposals import propose

    rule = _proposed(budget, alert_rate, score, labels)
    if rule is None and accept:
        raise click.UsageError("--accept needs a proposal: --budget, --alert-rate, --score or --labels")
    if rule is not None and reflag and not accept:
        raise click.UsageError(
            "--reflag holds stored scores against the threshold in force: --accept the proposal first"
        )
    project = Project.current()
    spec = project.pipeline(pipeline)
    found = propose(spec, open_lake(project), open_registry(project), rule)
    _show(spec, found)
    click.echo(f"plot: {_save(found, plot or project.settings.home / 'plots' / spec.name / 'threshold.png')}")
    if rule is not None and not accept:
        click.echo("Nothing was changed. --accept puts the proposal in force, without training.")
    if rule is not None and accept:
        _accept(project, spec, found, who or _user(), reason)
    if reflag:
        _reflag(project, spec)


def _proposed(
    budget: tuple[int, str] | None, alert_rate: float | None, score: float | None, labels: tuple[str, str] | None
) -> Threshold | None:
    from pynomaly_pipelines.spec.threshold import Threshold

    given = [
        *([budget_rule(*budget)] if budget else []),
        *([Threshold(alert_rate=alert_rate)] if alert_rate is not None else []),
        *([Threshold(score=score)] if score is not None else []),
        *([goal_rule(*labels)] if labels else []),
    ]
    if len(given) > 1:
        raise click.UsageError("propose one of --budget, --alert-rate, --score and --labels")
    return given[0] if given else None


def _show(spec: PipelineSpec, found: Proposal) -> None:
    from pynomaly_pipelines.stages.thresholds.in_force import changes

    click.echo(f"{spec.name}, version {found.version.number} ({found.version.detector})")
    head = f"in force (from {found.who})" if not found.pending else f"from the next scoring on (from {found.who})"
    _say(head, found.present, found, spec)
    if found.proposed is not None:
        _say("proposed", found.proposed, found, spec)
        per = found.proposed.tried.per
        pairs = zip(found.present.tried.alerts.items(), found.proposed.tried.alerts, strict=True)
        rows = [[f"{start:%Y-%m-%d}", f"{before:g}", f"{after:g}"] for (start, before), after in pairs]
        show_table(f"alerts a {per}", [per, "present", "proposed"], rows)
    for change in changes(found.version)[:5]:
        click.echo(
            f"changed {change.when[:16]} by {change.who}: {change.before:.4f} -> {change.after:.4f}, {change.why}"
        )


def _say(head: str, effect: Effect, found: Proposal, spec: PipelineSpec) -> None:
    derived = effect.derived
    click.echo(f"{head}: {derived.score:.4f}, {derived.rule}" + (f" ({derived.basis})" if derived.basis else ""))
    click.echo(f"  {effect.tried}")
    if effect.caught is not None:
        what = "known events" if spec.labels is not None and spec.labels.events else "labelled anomalies"
        click.echo(f"  {effect.caught} of {found.known} {what} caught")


def _save(found: Proposal, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(found.picture())
    return path


def _accept(project: Project, spec: PipelineSpec, found: Proposal, who: str, why: str) -> None:
    import yaml

    from pynomaly_pipelines.stages.thresholds.in_force import accept

    assert found.rule is not None
    assert found.proposed is not None
    version = accept(spec, open_registry(project), found.version, found.rule, found.proposed.derived, who=who, why=why)
    click.echo(f"accepted by {who}: {version.threshold:.4f} for what version {version.number} scores from now on")
    shortest = found.rule.model_dump(exclude_none=True, exclude_defaults=True)
    as_yaml = yaml.safe_dump(shortest, default_flow_style=True, sort_keys=False).strip()
    click.echo(f"later versions keep the rule; in defs.yaml it reads  threshold: {as_yaml}")


def _reflag(project: Project, spec: PipelineSpec) -> None:
    from pynomaly_pipelines.stages.thresholds.in_force import in_force
    from pynomaly_pipelines.stages.thresholds.proposals import reflag

    lake, registry = open_lake(project), open_registry(project)
    champion = registry.champion(spec.name)
    version = in_force(spec, lake, registry, champion, registry.load(champion))
    done = reflag(spec, lake, version.threshold)
    _tell_dagster(project, spec, version, done)
    before, after = sum(part.before for part in done), sum(part.after for part in done)
    click.echo(f"{len(done)} partitions of scores flagged anew: {before:,} -> {after:,} anomalies")


def _tell_dagster(project: Project, spec: PipelineSpec, version: Version, done: list[Reflagged]) -> None:
    """One event a partition, so that the UI shows its figures as they are now."""
    import dagster as dg

    instance = project.instance()
    for part in done:
        metadata: dict[str, int | float | str | bool] = {
            "rows": part.rows,
            "anomalies": part.after,
            "threshold": version.threshold,
            "threshold_rule": version.tags.get("threshold_rule", ""),
            "reflagged": True,
        }
        partition = None if spec.partition == "whole" else part.partition
        instance.report_runless_asset_event(
            dg.AssetMaterialization([spec.name, "scores"], partition=partition, metadata=metadata)
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
