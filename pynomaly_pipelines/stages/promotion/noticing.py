"""The alias `champion` as it stands -> a move the product did not make, checked and written down.

A person may point the alias in the MLflow UI. That choice is never undone: a sound model scores from then on, an
unsound one scores nothing and says why, until a person decides again.
"""

from __future__ import annotations

from dataclasses import dataclass

from pynomaly_pipelines.resources.registry import CHAMPION, PREVIOUS, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.gate.verdict import Criterion
from pynomaly_pipelines.stages.promotion import champions
from pynomaly_pipelines.stages.promotion.champions import Move
from pynomaly_pipelines.stages.promotion.registration import GATE, GATE_REASON, check
from pynomaly_pipelines.stages.scoring import SOUND, UNSOUND

IN_REGISTRY, TAKEN_AWAY = "moved in the registry", "taken away in the registry"
UNKNOWN_PERSON = "someone in the registry"


@dataclass(frozen=True)
class OutsideMove:
    """The alias moved, and the product did not move it."""

    version: Version | None
    """The champion now; None where the alias was taken away."""
    before: int | None
    against: tuple[Criterion, ...]
    """Rules no champion may break that it breaks."""
    gate: str
    """What the gate had said of it."""

    @property
    def accepted(self) -> bool:
        """Whether it scores from now on."""
        return self.version is not None and not self.against

    def __str__(self) -> str:
        if self.version is None:
            return f"the alias of champion {self.before} was taken away in the registry: nothing is scored"
        who = f"version {self.version.number} was made champion in the registry, after {self.before or 'none'}"
        if self.against:
            return f"{who}; it scores nothing: {self.against[0].sentence}"
        return f"{who}; the gate had said of it: {self.gate}"


def recorded(lake: Lake, pipeline: str) -> int | None:
    """The champion by the pipeline's own history; None where it knows of none."""
    moves = champions.history(lake, pipeline)
    return moves[-1].version if moves else None


def unrecorded(spec: PipelineSpec, lake: Lake, registry: Registry) -> bool:
    """Whether the alias names another version than the product's history."""
    return _number(registry.aliased(spec.name, CHAMPION)) != recorded(lake, spec.name)


def take_note(spec: PipelineSpec, lake: Lake, registry: Registry) -> OutsideMove:
    """Check a champion that came from outside, tag it with what was found, and add the move to the history."""
    champion, before = registry.aliased(spec.name, CHAMPION), recorded(lake, spec.name)
    if champion is None:
        champions.record(lake, spec.name, Move(TAKEN_AWAY, None, before, UNKNOWN_PERSON, ""))
        return OutsideMove(None, before, (), "")
    against = tuple(check(spec, lake, registry, champion))
    said = champion.tags.get(GATE_REASON, "it was never asked") if GATE in champion.tags else "it was never asked"
    move = OutsideMove(champion, before, against, said)
    _tag(registry, champion, before, against)
    champions.record(lake, spec.name, Move(IN_REGISTRY, champion.number, before, UNKNOWN_PERSON, str(move)))
    return move


def _tag(registry: Registry, champion: Version, before: int | None, against: tuple[Criterion, ...]) -> None:
    tags = {SOUND: f"{UNSOUND}: {against[0].sentence}" if against else "yes", "promoted_by": UNKNOWN_PERSON}
    if before is not None and before != champion.number:
        tags["promoted_over"] = str(before)
        registry.point(PREVIOUS, registry.version(champion.pipeline, before))
    registry.tag(champion, tags)


def _number(version: Version | None) -> int | None:
    return None if version is None else version.number
