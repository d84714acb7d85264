"""Challenger, champion and a window -> the gate's verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.errors import NotEnoughData, SignatureError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.gate import alone, beside
from pynomaly_pipelines.stages.gate.alone import Side
from pynomaly_pipelines.stages.gate.beside import Pair
from pynomaly_pipelines.stages.gate.replay import POINT_COLUMNS, Performance, Replay, perform, replay_of
from pynomaly_pipelines.stages.gate.verdict import Criterion, Outcome, Rows, Verdict, judged
from pynomaly_pipelines.stages.training import Window, read_window

if TYPE_CHECKING:
    from pynomaly_pipelines.detection import Scorer

FIRST = "there is no champion to beat"


@dataclass(frozen=True)
class Contender:
    """A model as the gate sees it."""

    number: int
    scorer: Scorer
    threshold: float
    fitted_on: tuple[str, ...] = ()
    """Partitions it was fitted on."""
    reason: str = ""
    """Of a version that was rolled back: why."""


def decide(
    spec: PipelineSpec,
    lake: Lake,
    challenger: Contender,
    champion: Contender | None,
    window: Window,
    *,
    taken_back: Sequence[Contender] = (),
    notes: Sequence[str] = (),
) -> Verdict:
    """Let both score the rows that `window` holds out, and judge.

    Args:
        window: the challenger's training window: what it holds out, the challenger was not fitted on.
        taken_back: versions that were rolled back in favour of the champion.
        notes: why there is no champion to compare with, where there should be one.

    Raises:
        NotEnoughData: the window holds out no rows.
    """
    replay = replay_of(spec, read_window(spec, lake, window))
    if not replay.judged.any():
        raise NotEnoughData(
            f"the window of version {challenger.number} holds out no rows",
            rule="the gate replays rows the challenger was not fitted on",
            fix="train on more rows",
        )
    outlived = "" if champion is None else _outlived(spec, lake, window, champion)
    criteria, champion_seen, told = _judged(spec, replay, challenger, champion, taken_back, outlived)
    contenders = [challenger, *([champion] if champion_seen and champion is not None else [])]
    return Verdict(
        challenger=challenger.number,
        champion=champion.number if champion_seen and champion is not None else None,
        outcome=_outcome(criteria),
        criteria=tuple(criteria),
        rows=_rows(window, replay, champion if champion_seen else None),
        notes=(*notes, *told) if champion_seen or notes or told else (FIRST,),
        thresholds={one.number: one.threshold for one in contenders},
    )


def sound(spec: PipelineSpec, replay: Replay, contender: Contender) -> tuple[list[Criterion], Performance | None]:
    """Whether a model can be used at all, and what it makes of the replay if its columns let it score."""
    expected = POINT_COLUMNS if spec.kind == "series" else list(replay.frame.columns)
    criteria = [alone.columns(contender.scorer, expected)]
    if not criteria[0].passed:
        return criteria, None
    try:
        found = perform(replay, contender.scorer)
    except SignatureError as error:
        said = f"it can't score the pipeline's rows: {error.problem}"
        return [judged("columns", "reads exactly the pipeline's columns", False, said)], None
    judged_scores = found.scores[replay.judged]
    criteria += [alone.finite(judged_scores, spec.kind), alone.varying(judged_scores)]
    return criteria, found


def by_itself(spec: PipelineSpec, replay: Replay, side: Side) -> list[Criterion]:
    """The rules for a sound model alone."""
    found = (
        alone.alert_rate(spec, replay, side),
        alone.chance(replay, side, spec.promotion.min_labelled),
        alone.separation(spec, side),
        alone.alarm(side),
    )
    return [criterion for criterion in found if criterion is not None]


def broken(criteria: Sequence[Criterion]) -> list[Criterion]:
    """Those that were not passed."""
    return [criterion for criterion in criteria if not criterion.passed]


def _judged(
    spec: PipelineSpec,
    replay: Replay,
    challenger: Contender,
    champion: Contender | None,
    taken_back: Sequence[Contender],
    outlived: str,
) -> tuple[list[Criterion], bool, list[str]]:
    """The criteria, whether the champion could be compared with, and if not, why."""
    criteria, found = sound(spec, replay, challenger)
    if found is None or broken(criteria):
        return criteria, champion is not None, []
    side = Side(challenger.number, challenger.threshold, found)
    criteria += by_itself(spec, replay, side)
    pair, why = (None, []) if champion is None else _pair(spec, replay, side, champion)
    criteria = [*criteria, *_beside(replace(pair, outlived=outlived))] if pair is not None else _alone_decides(criteria)
    criteria += list(_beside_taken_back(spec, replay, side, taken_back))
    if not spec.promotion.automatic and not broken(criteria):
        said = "passes every rule, and waits for a person (`promotion.automatic: false`)"
        criteria.append(Criterion("automatic", "`promotion.automatic`", "held", said))
    return criteria, pair is not None, why


def _pair(spec: PipelineSpec, replay: Replay, side: Side, champion: Contender) -> tuple[Pair | None, list[str]]:
    """Both side by side; or why the champion is none to compare with: it must not stay for ever."""
    criteria, found = sound(spec, replay, champion)
    if found is None or broken(criteria):
        return None, [f"champion {champion.number} can't score these rows ({broken(criteria)[0].sentence})"]
    other = Side(champion.number, champion.threshold, found)
    return Pair(spec, replay, side, other, tuple(broken(by_itself(spec, replay, other)))), []


def _outlived(spec: PipelineSpec, lake: Lake, window: Window, champion: Contender) -> str:
    """The partition of a drift that the challenger's training forgot the past for, if all the champion knows is past.

    It follows from the window alone, so that a verdict repeats.
    """
    if window.exclusions is None or not champion.fitted_on:
        return ""
    calendar = Calendar(spec)
    known_until = calendar.partition(max(champion.fitted_on)).end
    drifts = [one.end for one in exclusions.read(spec, lake, window.exclusions) if one.source == "drift"]
    if not drifts or known_until is None or known_until > max(drifts):
        return ""
    return calendar.containing(max(drifts)).key


def _beside(pair: Pair) -> list[Criterion]:
    found = [criterion for rule in beside.BESIDE_CHAMPION if (criterion := rule(pair)) is not None]
    if any(criterion.decides for criterion in found):
        return found
    said = "neither labels nor injected anomalies tell the two models apart"
    return [*found, Criterion("evidence", "labels or injected anomalies decide", "held", said)]


def _beside_taken_back(
    spec: PipelineSpec, replay: Replay, side: Side, taken_back: Sequence[Contender]
) -> Iterator[Criterion]:
    for one in taken_back:
        criteria, found = sound(spec, replay, one)
        if found is not None and not broken(criteria):
            yield beside.not_taken_back(Pair(spec, replay, side, Side(one.number, one.threshold, found)), one.reason)


def _alone_decides(criteria: Sequence[Criterion]) -> list[Criterion]:
    """Without a rival, what labels (or injected anomalies) say of the challenger itself is what speaks for it."""
    names = {criterion.name for criterion in criteria}
    decisive = "chance" if "chance" in names else "injected anomalies by themselves"
    return [replace(criterion, decides=criterion.name == decisive) for criterion in criteria]


def _outcome(criteria: Sequence[Criterion]) -> Outcome:
    outcomes = {criterion.outcome for criterion in criteria}
    return "refused" if "refused" in outcomes else "held" if "held" in outcomes else "passed"


def _rows(window: Window, replay: Replay, champion: Contender | None) -> Rows:
    partitions = window.holdout or window.partitions
    seen = set(champion.fitted_on) if champion is not None and window.holdout else set()
    return Rows(
        window=window.to_json(),
        partitions=partitions,
        table_version=window.table_version,
        rows=len(replay.held),
        anomalies=None if replay.labels is None else int((replay.labels == 1).sum()),
        seen_by_champion=tuple(key for key in partitions if key in seen),
    )
