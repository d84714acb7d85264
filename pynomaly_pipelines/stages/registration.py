"""Challenger -> champion, through a gate whose reasons are kept on the version; and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pynomaly_pipelines.operations.errors import RegistryError, SignatureError
from pynomaly_pipelines.resources.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec, Promotion
from pynomaly_pipelines.stages.evaluation import Evaluation, judge
from pynomaly_pipelines.stages.training import Window, read_window

ROLLED_BACK = "rolled_back"
"""Tag of a version that a person took back; the gate never lets it through again."""


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, and why."""

    promote: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'promoted' if self.promote else 'refused'}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class RegistrationReport:
    """The champion after the gate."""

    champion: Version | None
    challenger: Version
    verdict: Verdict
    evaluations: tuple[Evaluation, ...]


def register(spec: PipelineSpec, lake: Lake, registry: Registry) -> RegistrationReport:
    """Hold the challenger against the champion on the same hold-out, and promote it if the gate lets it.

    Raises:
        RegistryError: there is no challenger.
    """
    challenger = registry.aliased(spec.name, CHALLENGER)
    if challenger is None:
        raise RegistryError(
            f"pipeline {spec.name!r} has no challenger",
            rule="the gate decides on the version the evaluation chose",
            fix=f"materialize `{spec.name}/evaluation` first",
        )
    champion = registry.aliased(spec.name, CHAMPION)
    if champion is not None and champion.number == challenger.number:
        verdict = Verdict(True, ("it is the champion already",))
        return RegistrationReport(champion, challenger, verdict, ())
    if challenger.tags.get(ROLLED_BACK) == "true":
        verdict = Verdict(False, ("it was rolled back; the next training makes another challenger",))
        return RegistrationReport(champion, challenger, verdict, ())
    evaluations, alone = _side_by_side(spec, lake, registry, challenger, champion)
    verdict = decide(spec.promotion, *evaluations, alone=alone)
    registry.tag(challenger, {"gate": "passed" if verdict.promote else "refused", "gate_reason": str(verdict)})
    if verdict.promote:
        promote(registry, challenger, champion)
    now = registry.aliased(spec.name, CHAMPION)
    return RegistrationReport(now, challenger, verdict, tuple(e for e in evaluations if e is not None))


def decide(
    rules: Promotion, challenger: Evaluation, champion: Evaluation | None, *, alone: str = "the first champion"
) -> Verdict:
    """The gate: every rule a challenger breaks is a reason against it; `alone` says why no champion is to beat."""
    against = list(_objections(rules, challenger, champion))
    if against:
        return Verdict(False, tuple(against))
    if not rules.automatic:
        return Verdict(False, ("passes every rule, and waits for a person (`promotion.automatic: false`)",))
    if champion is None:
        return Verdict(True, (f"{alone}; {challenger.evidence_name} {challenger.evidence:.3f}",))
    compared = f"{challenger.evidence:.3f} against {champion.evidence:.3f} of version {champion.version}"
    return Verdict(True, (f"{challenger.evidence_name} {compared}, on the same {challenger.rows:,} rows",))


def promote(registry: Registry, challenger: Version, champion: Version | None) -> None:
    """Make a version the champion; the one before it stays reachable as `previous`."""
    if champion is not None and champion.number != challenger.number:
        registry.point(PREVIOUS, champion)
        registry.tag(challenger, {"promoted_over": str(champion.number)})
    registry.point(CHAMPION, challenger)


def rollback(registry: Registry, pipeline: str) -> tuple[Version, Version]:
    """Make the previous champion the champion again.

    Returns:
        The version that lost the alias, and the one that has it now.

    Raises:
        RegistryError: there is no earlier champion to go back to.
    """
    champion = registry.champion(pipeline)
    number = champion.tags.get("promoted_over")
    if number is None:
        raise RegistryError(
            f"version {champion.number} of {pipeline!r} replaced no champion",
            rule="a rollback goes back to the champion before",
            fix=f"`pynomaly models {pipeline}` lists versions; point the alias at one in the MLflow UI",
        )
    before = registry.version(pipeline, int(number))
    registry.tag(champion, {ROLLED_BACK: "true"})
    registry.tag(before, {"restored_after": str(champion.number)})
    registry.point(CHAMPION, before)
    registry.unpoint(PREVIOUS, pipeline)
    return champion, before


def _side_by_side(
    spec: PipelineSpec, lake: Lake, registry: Registry, challenger: Version, champion: Version | None
) -> tuple[tuple[Evaluation, Evaluation | None], str]:
    """The evidence on both, and why there is none on a champion."""
    new = Evaluation.from_json(challenger.tags.get("evaluation", ""), challenger.number)
    if champion is None:
        return (new, None), "the first champion"
    split = read_window(spec, lake, Window.from_json(challenger.tags["window"], lake, spec.name))
    try:
        old = judge(spec, champion, registry.load(champion), split, refit=False)[0]
    except SignatureError as error:
        # The pipeline's columns were changed: a champion that can't score any more must not stay for ever.
        return (new, None), f"champion {champion.number} can't score these columns ({error.problem})"
    return (new, old), ""


def _objections(rules: Promotion, new: Evaluation, old: Evaluation | None) -> Iterator[str]:
    if new.alert_rate > rules.max_alert_rate:
        yield f"it would flag {new.alert_rate:.1%} of the hold-out, more than {rules.max_alert_rate:.1%}"
    kind, auc = max(new.injected_auc.items(), key=lambda entry: entry[1], default=("", None))
    if auc is not None and auc < rules.min_injected_auc:
        yield f"even of the injected kind it finds best, {kind}, ROC AUC is {auc:.2f}, not {rules.min_injected_auc:.2f}"
    if old is None:
        return
    if old.evidence_name == new.evidence_name and new.evidence < old.evidence - rules.tolerance:
        yield (
            f"{new.evidence_name} {new.evidence:.3f} is worse than {old.evidence:.3f} of champion "
            f"{old.version} by more than {rules.tolerance:g}"
        )
