"""Who becomes champion by a person's word, and the way back; of several at once, one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import Field, StringConstraints

from pynomaly_pipelines.operations.errors import ChampionMoved, PreconditionFailed, RegistryError, Unprocessable
from pynomaly_pipelines.resources.registry import CHAMPION
from pynomaly_pipelines.service import audit, bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.audit.entries import Detail
from pynomaly_pipelines.service.conditional import matches
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.paging import Answer, StrictQuery, no_query
from pynomaly_pipelines.service.problems import problems
from pynomaly_pipelines.service.rescoring import Rescoring, ask_for_rescoring
from pynomaly_pipelines.service.routes.models import Number, champion_tag, version_of
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.promotion import registration
from pynomaly_pipelines.stages.promotion.registration import Trace

router = bodies.router("/pipelines/{name}/models", "models")
Promoter = Annotated[Caller, Depends(require(Permission.MODELS_PROMOTE))]
IfMatch = Annotated[
    str | None,
    Header(
        max_length=200, description="`ETag` of the champion the decision is about; refused with 412 if it is another."
    ),
]
Why = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000)]
MAY_ANSWER = problems(
    412,
    refused=RegistryError(
        "the gate did not let version 4 of 'flights' through: refused: alert rate 0.031 is over 0.004",
        rule="without force, a version that passed the gate is promoted",
        fix="choose a version that passed, or force it and say why",
    ),
    moved=ChampionMoved(
        "the champion of 'flights' was moved meanwhile",
        rule="a move is decided on the champion as it stands, and one of several at a time is made",
        fix="look at the champion, then decide again",
    ),
)


class PromotionAsked(StrictQuery):
    """Why a version becomes champion."""

    reason: Why = Field("", description="Kept with the move.")
    force: bool = Field(
        False,
        strict=True,
        description="Promote although the gate refused it or was never asked; needs a reason. "
        "An unsound model is refused all the same.",
    )


class RollbackAsked(StrictQuery):
    """Why an earlier champion comes back."""

    reason: Why = Field("", description="Kept with the move, and with the version that is taken back.")
    to: int | None = Field(
        None, ge=1, le=2**31 - 1, strict=True, description="An earlier champion; by default the last."
    )


class Moved(Answer):
    """The champion after a move."""

    pipeline: str
    before: int | None
    champion: int
    detector: str
    rescoring: Rescoring


@router.post(
    "/{version}/promote",
    summary="Promote a version",
    response_model=Moved,
    responses=MAY_ANSWER,
    dependencies=[Depends(no_query)],
)
def promote_model(
    request: Request,
    service: TheService,
    name: str,
    version: Number,
    asked: PromotionAsked,
    caller: Promoter,
    if_match: IfMatch = None,
) -> Any:
    """Make a version champion: one that passed the gate, or with `force` and a reason any that is sound.

    Of several moves asked for at once one is made, the others get 409 and change nothing.
    """
    spec = service.specs.of(name)
    if asked.force and not asked.reason:
        raise Unprocessable(
            f"version {version} of {name!r} would be forced without a reason",
            rule="who reads the history later must see why the gate was passed over",
            fix="give `reason`",
        )
    version_of(service.registry, name, version)
    with _refusals_noted(service, request, caller, name, version=version, reason=asked.reason, forced=asked.force):
        _refuse_stale(service, name, if_match)
        before = registration.promote(
            spec, service.lake, service.registry, version, Trace(caller.name, asked.reason), forced=asked.force
        )
    former = None if before is None else before.number
    audit.note(
        service, request, caller, audit.Action.MODEL_PROMOTED, f"pipeline:{name}",
        version=version, before=former, reason=asked.reason, forced=asked.force,
    )  # fmt: skip
    return _moved(service, spec, former, caller)


@router.post(
    "/rollback",
    summary="Roll back to an earlier champion",
    response_model=Moved,
    responses=MAY_ANSWER,
    dependencies=[Depends(no_query)],
)
def rollback_model(
    request: Request,
    service: TheService,
    name: str,
    asked: RollbackAsked,
    caller: Promoter,
    if_match: IfMatch = None,
) -> Any:
    """Make the previous champion, or version `to` that once was, the champion again.

    The version taken back is not promoted again by itself.
    """
    spec = service.specs.of(name)
    with _refusals_noted(service, request, caller, name, to=asked.to, reason=asked.reason):
        _refuse_stale(service, name, if_match)
        lost, back = registration.rollback(
            spec, service.lake, service.registry, Trace(caller.name, asked.reason), asked.to
        )
    audit.note(
        service, request, caller, audit.Action.MODEL_ROLLED_BACK, f"pipeline:{name}",
        before=lost.number, version=back.number, reason=asked.reason,
    )  # fmt: skip
    return _moved(service, spec, lost.number, caller)


@contextmanager
def _refusals_noted(service: Service, request: Request, caller: Caller, name: str, **entry: Detail) -> Iterator[None]:
    """A move that was asked for and refused has its entry, too: who tried to pass the gate is worth knowing."""
    try:
        yield
    except (RegistryError, PreconditionFailed) as error:
        action, why = audit.Action.MODEL_REFUSED, {"code": error.code, "why": error.problem}
        audit.note(service, request, caller, action, f"pipeline:{name}", **entry, **why)
        raise


def _refuse_stale(service: Service, name: str, if_match: str | None) -> None:
    """Refuse a decision about another champion than the one there is."""
    if if_match is None:
        return
    champion = service.registry.aliased(name, CHAMPION)
    tag = "" if champion is None else champion_tag(champion.number)
    if not matches(if_match, tag):
        raise PreconditionFailed(
            f"the champion of {name!r} is {tag or 'none'}, not {if_match[:60]}",
            rule="`If-Match` names the champion that the decision is about",
            fix=f"GET /v1/pipelines/{name}/models/champion, then decide again",
        )


def _moved(service: Service, spec: PipelineSpec, before: int | None, caller: Caller) -> Moved:
    champion = service.registry.champion(spec.name)
    return Moved(
        pipeline=spec.name,
        before=before,
        champion=champion.number,
        detector=champion.detector,
        rescoring=ask_for_rescoring(service, spec, champion, f"by {caller.name}"),
    )
