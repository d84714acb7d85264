"""Challenger -> champion, through the gate; by a person's word; and the way back. Each move leaves a trace.

The verdict lies on the version: short in its tags, as a page in its description, whole in its run as `gate/verdict.*`.
Every move of the alias is a line of the table `champions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pynomaly_pipelines.operations.cache import announce, tags
from pynomaly_pipelines.operations.errors import DetectorError, RegistryError
from pynomaly_pipelines.resources.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.gate.decision import Contender, broken, decide, sound
from pynomaly_pipelines.stages.gate.replay import replay_of
from pynomaly_pipelines.stages.gate.verdict import Criterion, Outcome, Verdict
from pynomaly_pipelines.stages.promotion import champions
from pynomaly_pipelines.stages.promotion.champions import BY_GATE, BY_PERSON, BY_ROLLBACK, Move
from pynomaly_pipelines.stages.promotion.moving import moving, refuse_under_way
from pynomaly_pipelines.stages.training import Window, read_window

ROLLED_BACK, ROLLED_BACK_TO, WHY = "rolled_back", "rolled_back_to", "rolled_back_reason"
"""Tags of a version that a person took back; the gate never lets it, or its like, through again by itself."""
GATE, GATE_REASON = "gate", "gate_reason"
OUTCOMES: Mapping[Outcome, str] = {"passed": "passed", "refused": "refused", "held": "held"}


@dataclass(frozen=True)
class RegistrationReport:
    """The champion after the gate."""

    champion: Version | None
    challenger: Version
    verdict: Verdict


@dataclass(frozen=True)
class Trace:
    """Who moves the alias, and why; kept with the move."""

    by: str
    reason: str = ""


# ------------------------------------------------------------------------------------------------- by the gate


def register(spec: PipelineSpec, lake: Lake, registry: Registry, *, run_id: str = "") -> RegistrationReport:
    """Hold the challenger against the champion on the same rows, and promote it if the gate lets it.

    Raises:
        RegistryError: there is no challenger.
        ChampionMoved: someone else moved the champion while the two were compared.
    """
    since = champions.generation(lake, spec.name)
    challenger = registry.aliased(spec.name, CHALLENGER)
    if challenger is None:
        raise RegistryError(
            f"pipeline {spec.name!r} has no challenger",
            rule="the gate decides on the version the evaluation chose",
            fix=f"materialize `{spec.name}/evaluation` first",
        )
    champion = registry.aliased(spec.name, CHAMPION)
    if champion is not None and champion.number == challenger.number:
        return RegistrationReport(champion, challenger, _settled(challenger, "passed", "it is the champion already"))
    if challenger.tags.get(ROLLED_BACK) == "true":
        said = "it was rolled back; the next training makes another challenger"
        return RegistrationReport(champion, challenger, _settled(challenger, "held", said))
    verdict = judge(spec, lake, registry, challenger, champion)
    keep(registry, challenger, verdict)
    if verdict.promote:
        move = Move(BY_GATE, challenger.number, _number(champion), f"run {run_id}" if run_id else "", str(verdict))
        with moving(lake, spec.name, move, since):
            point_champion(registry, challenger, champion)
    announce(tags.champion(spec.name))
    return RegistrationReport(registry.aliased(spec.name, CHAMPION), challenger, verdict)


def judge(spec: PipelineSpec, lake: Lake, registry: Registry, challenger: Version, champion: Version | None) -> Verdict:
    """The gate's verdict on two registered versions, on the rows the challenger's training held out."""
    notes, rival = [], None
    if champion is not None:
        try:
            rival = contender(lake, registry, champion)
        except (RegistryError, DetectorError) as error:
            # A champion that can't be used any more must not stay for ever.
            notes.append(f"champion {champion.number} can't be loaded ({error.problem})")
    window = _window(lake, challenger)
    return decide(
        spec,
        lake,
        contender(lake, registry, challenger),
        rival,
        window,
        taken_back=_taken_back(lake, registry, champion),
        notes=notes,
    )


def judge_again(spec: PipelineSpec, lake: Lake, registry: Registry, version: Version) -> tuple[Verdict, Verdict]:
    """The verdict kept on a version, and the same question asked anew: same rival, rows, table version, thresholds.

    Raises:
        RegistryError: the gate never judged it.
    """
    kept = verdict_of(registry, version)
    if kept.rows is None:
        raise RegistryError(
            f"the verdict on version {version.number} rests on no rows: {kept}",
            rule="only a replay can be repeated",
            fix="ask for a version the gate compared",
        )
    rival = None if kept.champion is None else registry.version(spec.name, kept.champion)
    pair = [
        None if one is None else contender(lake, registry, one, kept.thresholds.get(one.number))
        for one in (version, rival)
    ]
    assert pair[0] is not None
    window = Window.from_json(kept.rows.window, lake, spec.name)
    notes = kept.notes if kept.champion is None and kept.thresholds else ()
    return kept, decide(
        spec, lake, pair[0], pair[1], window, taken_back=_taken_back(lake, registry, rival), notes=notes
    )


def keep(registry: Registry, version: Version, verdict: Verdict) -> None:
    """Lay a verdict where people and programs find it: tags, the version's page in the MLflow UI, the run's files."""
    page = verdict.markdown()
    registry.log_files(
        version, "gate", {"verdict.json": verdict.to_json().encode(), "verdict.md": page.encode("utf-8")}
    )
    registry.tag(version, {GATE: OUTCOMES[verdict.outcome], GATE_REASON: str(verdict)})
    registry.describe(version, page)


def verdict_of(registry: Registry, version: Version) -> Verdict:
    """The verdict kept on a version.

    Raises:
        RegistryError: the gate never judged it.
    """
    return Verdict.from_json(registry.file(version, "gate/verdict.json").decode("utf-8"), version.number)


def contender(lake: Lake, registry: Registry, version: Version, threshold: float | None = None) -> Contender:
    """A registered version as the gate sees it."""
    window = _window(lake, version) if "window" in version.tags else None
    fitted = () if window is None else tuple(key for key in window.partitions if key not in set(window.holdout))
    used = version.threshold if threshold is None else threshold
    return Contender(version.number, registry.load(version), used, fitted, version.tags.get(WHY, ""))


# ------------------------------------------------------------------------------------------------ by a person


def check(spec: PipelineSpec, lake: Lake, registry: Registry, version: Version) -> list[Criterion]:
    """The rules no champion may break, whoever chose it: loads, columns, finite and varying scores; those it breaks.

    Judged on what its own window holds out, or the latest partitions for a version this product did not train.
    """
    try:
        one = contender(lake, registry, version)
        window = _window(lake, version) if "window" in version.tags else latest_window(spec, lake)
        criteria, _ = sound(spec, replay_of(spec, read_window(spec, lake, window)), one)
    except (RegistryError, DetectorError) as error:
        return [Criterion("loads", "its scorer can be loaded", "refused", error.problem)]
    return broken(criteria)


def unsound(spec: PipelineSpec, lake: Lake, registry: Registry, report: RegistrationReport) -> list[Criterion]:
    """What stands against the champion that scores after the gate; one that just passed was looked at there."""
    if report.champion is None or (report.champion.number == report.challenger.number and report.verdict.promote):
        return []
    return check(spec, lake, registry, report.champion)


def promote(
    spec: PipelineSpec, lake: Lake, registry: Registry, number: int, trace: Trace, *, forced: bool = True
) -> Version | None:
    """Make a version champion on a person's word; the gate's verdict is kept, unsound models are refused.

    Args:
        forced: whether the gate's verdict does not bind; if it does, only a version that passed is promoted.

    Returns:
        The champion before.

    Raises:
        RegistryError: there is no such version, it is the champion, or it can't score this pipeline.
        ChampionMoved: someone else moved the champion meanwhile.
    """
    since = champions.generation(lake, spec.name)
    version, champion = registry.version(spec.name, number), registry.aliased(spec.name, CHAMPION)
    refuse_under_way(lake, spec.name, _number(champion))
    _refuse_same(spec, version, champion)
    if not forced:
        _refuse_without_verdict(spec, version)
    _refuse_unsound(spec, lake, registry, version)
    with moving(lake, spec.name, Move(BY_PERSON, number, _number(champion), trace.by, trace.reason), since):
        point_champion(registry, version, champion)
    registry.untag(version, ROLLED_BACK, ROLLED_BACK_TO, WHY)
    registry.tag(version, {"promoted_by": trace.by, "promoted_reason": trace.reason})
    return champion


def rollback(
    spec: PipelineSpec, lake: Lake, registry: Registry, trace: Trace, to: int | None = None
) -> tuple[Version, Version]:
    """Make an earlier champion the champion again: the one before, or version `to`.

    Returns:
        The version that lost the alias, and the one that has it now.

    Raises:
        RegistryError: there is no earlier champion to go back to, or it can't score this pipeline any more.
        ChampionMoved: someone else moved the champion meanwhile.
    """
    since = champions.generation(lake, spec.name)
    champion = registry.champion(spec.name)
    refuse_under_way(lake, spec.name, champion.number)
    before = registry.version(spec.name, _way_back(spec, lake, champion, to))
    _refuse_same(spec, before, champion)
    _refuse_unsound(spec, lake, registry, before)
    with moving(lake, spec.name, Move(BY_ROLLBACK, before.number, champion.number, trace.by, trace.reason), since):
        registry.tag(champion, {ROLLED_BACK: "true", ROLLED_BACK_TO: str(before.number), WHY: trace.reason})
        registry.tag(before, {"restored_after": str(champion.number), "restored_by": trace.by})
        registry.untag(before, ROLLED_BACK, ROLLED_BACK_TO, WHY)
        registry.point(CHAMPION, before)
    registry.unpoint(PREVIOUS, spec.name)
    return registry.version(spec.name, champion.number), registry.champion(spec.name)


def point_champion(registry: Registry, version: Version, champion: Version | None) -> None:
    """Give the alias to a version; the one before it stays reachable as `previous`."""
    if champion is not None and champion.number != version.number:
        registry.point(PREVIOUS, champion)
        registry.tag(version, {"promoted_over": str(champion.number)})
    registry.point(CHAMPION, version)


def latest_window(spec: PipelineSpec, lake: Lake) -> Window:
    """The last partition as a window of its own, for a model that tells none."""
    keys = sorted(lake.counts(spec.name, "validated"))
    version = lake.version(spec.name, "validated")
    return Window(tuple(keys[-2:]), tuple(keys[-1:]), version, spec.training.max_rows, spec.training.seed)


# ------------------------------------------------------------------------------------------------------ helpers


def _settled(version: Version, outcome: Outcome, said: str) -> Verdict:
    criterion = Criterion("state", "is neither champion already nor rolled back", outcome, said, decides=True)
    return Verdict(version.number, None, outcome, (criterion,))


def _window(lake: Lake, version: Version) -> Window:
    return Window.from_json(version.tags["window"], lake, version.pipeline)


def _taken_back(lake: Lake, registry: Registry, champion: Version | None) -> Sequence[Contender]:
    """The versions that were rolled back in favour of this champion; one that can't be loaded has no like."""
    if champion is None:
        return ()
    found = []
    for version in registry.versions(champion.pipeline):
        if version.tags.get(ROLLED_BACK) == "true" and version.tags.get(ROLLED_BACK_TO) == str(champion.number):
            try:
                found.append(contender(lake, registry, version))
            except (RegistryError, DetectorError):
                continue
    return found


def _way_back(spec: PipelineSpec, lake: Lake, champion: Version, to: int | None) -> int:
    if to is None:
        number = champion.tags.get("promoted_over")
        if number is None:
            raise RegistryError(
                f"version {champion.number} of {spec.name!r} replaced no champion",
                rule="a rollback goes back to the champion before",
                fix=f"`pynomaly promote {spec.name} VERSION` takes any version `pynomaly models {spec.name}` lists",
            )
        return int(number)
    were = {move.version for move in champions.history(lake, spec.name) if move.version is not None}
    if to not in were:
        raise RegistryError(
            f"version {to} of {spec.name!r} was never champion",
            rule=f"a rollback goes back to an earlier champion: {', '.join(map(str, sorted(were)))}",
            fix=f"`pynomaly promote {spec.name} {to}` makes it champion",
        )
    return to


def _refuse_same(spec: PipelineSpec, version: Version, champion: Version | None) -> None:
    if champion is not None and champion.number == version.number:
        raise RegistryError(
            f"version {version.number} is the champion of {spec.name!r} already",
            rule="a move leads from one version to another",
            fix=f"`pynomaly models {spec.name}` lists the others",
        )


def _refuse_without_verdict(spec: PipelineSpec, version: Version) -> None:
    if version.tags.get(GATE) != OUTCOMES["passed"]:
        said = version.tags.get(GATE_REASON, "it was never asked")
        raise RegistryError(
            f"the gate did not let version {version.number} of {spec.name!r} through: {said}",
            rule="without force, a version that passed the gate is promoted",
            fix="choose a version that passed, or force it and say why",
        )


def _refuse_unsound(spec: PipelineSpec, lake: Lake, registry: Registry, version: Version) -> None:
    against = check(spec, lake, registry, version)
    if against:
        raise RegistryError(
            f"version {version.number} of {spec.name!r} can't be champion: {against[0].sentence}",
            rule=f"whoever chooses a champion, it {against[0].rule}",
            fix=f"choose another of those `pynomaly models {spec.name}` lists, or train a new one",
        )


def _number(version: Version | None) -> int | None:
    return None if version is None else version.number
