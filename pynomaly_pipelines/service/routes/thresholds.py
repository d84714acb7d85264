"""The threshold of a pipeline's champion: what it is, how it changed, and what another one would have meant."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends
from pydantic import Field

from pynomaly_pipelines.operations.errors import TooManyRequests
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.paging import Answer, no_query
from pynomaly_pipelines.service.routes.models import champion_of
from pynomaly_pipelines.spec.threshold import Threshold
from pynomaly_pipelines.stages.thresholds import in_force
from pynomaly_pipelines.stages.thresholds.proposals import Effect, propose

router = bodies.router("/pipelines/{name}/threshold", "models")
Reader = Annotated[Caller, Depends(require(Permission.MODELS_READ))]
_ONE_AT_A_TIME = threading.BoundedSemaphore(1)
"""A preview scores a sample of past rows: some seconds of one core, which scoring requests need, too."""


class ThresholdChange(Answer):
    """One change of the champion's threshold."""

    version: int
    before: float
    after: float
    rule: str
    basis: str
    who: str
    when: datetime
    why: str


class ThresholdTold(Answer):
    """The threshold in force."""

    version: int
    threshold: float
    rule: str
    by: str = Field(description="Who made the rule: a person, or `defs.yaml`.")
    pending: bool = Field(description="Whether the rule was changed since the last scoring; the next one follows it.")
    history: tuple[ThresholdChange, ...] = Field(description="The latest first.")


class EffectTold(Answer):
    """A threshold, and what it would have meant over the periods that passed."""

    threshold: float
    rule: str
    basis: str
    alerts: dict[str, float] = Field(description="First day of each period -> alerts.")
    per: str
    caught: int | None = Field(description="Labelled anomalies or known events over it; null without labels.")


class Preview(Answer):
    """The threshold in force and the proposed one, on the same rows; nothing was changed."""

    version: int
    present: EffectTold
    proposed: EffectTold | None
    known: int | None = Field(description="Labelled anomalies or known events on these rows.")


@router.get("", summary="The threshold", response_model=ThresholdTold, dependencies=[Depends(no_query)])
def get_threshold(service: TheService, name: str, _caller: Reader) -> Any:
    """The champion's threshold, its rule, and every change."""
    spec = service.specs.of(name)
    champion = champion_of(service.registry, name)
    rule, who = in_force.rule_of(spec, service.registry)
    return ThresholdTold(
        version=champion.number,
        threshold=champion.threshold,
        rule=champion.tags.get("threshold_rule", ""),
        by=who,
        pending=not in_force.is_current(champion, rule),
        history=tuple(ThresholdChange(**vars(change)) for change in in_force.changes(champion)),
    )


@router.post("/preview", summary="Preview a threshold", response_model=Preview, dependencies=[Depends(no_query)])
def preview_threshold(service: TheService, name: str, asked: Threshold, _caller: Reader) -> Any:
    """What another rule would have meant for the rows so far, by the champion as it is; nothing changes.

    One preview is computed at a time.
    """
    spec = service.specs.of(name)
    champion_of(service.registry, name)
    if not _ONE_AT_A_TIME.acquire(timeout=5):
        raise TooManyRequests(
            "another preview is being computed", rule="one is at a time: it takes a core", fix="try again in a while"
        )
    try:
        found = propose(spec, service.lake, service.registry, asked)
    finally:
        _ONE_AT_A_TIME.release()
    return Preview(
        version=found.version.number,
        present=_effect(found.present),
        proposed=None if found.proposed is None else _effect(found.proposed),
        known=found.known,
    )


def _effect(effect: Effect) -> EffectTold:
    tried = effect.tried
    return EffectTold(
        threshold=effect.derived.score,
        rule=effect.derived.rule,
        basis=effect.derived.basis,
        alerts={f"{start:%Y-%m-%d}": float(count) for start, count in tried.alerts.items()},
        per=tried.per,
        caught=effect.caught,
    )
