"""The versions of a pipeline's model: what each learnt, how it did, and what the gate said of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from pydantic import Field

from pynomaly_pipelines.operations.errors import NoChampion, NotFound, RegistryError
from pynomaly_pipelines.resources.registry import CHAMPION, Registry, Version
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.conditional import tag_of, unchanged
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.keeping import as_answer
from pynomaly_pipelines.service.paging import (
    Answer,
    Offset,
    Paged,
    decoded,
    encoded,
    link_next,
    next_of,
    no_query,
    wrong_cursor,
)
from pynomaly_pipelines.service.problems import problems
from pynomaly_pipelines.stages.gate.verdict import Criterion, Verdict
from pynomaly_pipelines.stages.promotion import champions
from pynomaly_pipelines.stages.promotion.registration import GATE, GATE_REASON, verdict_of

router = bodies.router("/pipelines/{name}/models", "models")
Reader = Annotated[Caller, Depends(require(Permission.MODELS_READ))]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of a version.")]


class ModelSummary(Answer):
    """A version in the list."""

    version: int
    detector: str
    aliases: tuple[str, ...] = Field(description="`champion` scores, `challenger` was judged last.")
    threshold: float | None = Field(description="Null for a version that was registered elsewhere.")
    threshold_rule: str
    gate: str | None = Field(description="`passed`, `refused`, `held`; null where the gate was never asked.")
    gate_reason: str | None


class ModelPage(Answer):
    """A page of versions, the newest first."""

    items: tuple[ModelSummary, ...]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


class Rule(Answer):
    """One rule of the gate, what both models did, and what follows."""

    name: str
    rule: str
    outcome: str
    sentence: str
    challenger: float | None
    champion: float | None
    low: float | None = Field(description="95 % interval of the difference, or of the challenger's own figure.")
    high: float | None


class GateVerdict(Answer):
    """What the gate decided, and why."""

    outcome: str
    against: int | None = Field(description="The champion it was held against.")
    reasons: tuple[str, ...]
    rules: tuple[Rule, ...]
    judged_on: str | None = Field(description="The rows, in words.")


class ModelDetail(ModelSummary):
    """One version."""

    metrics: dict[str, float] = Field(description="Figures of its evaluation.")
    verdict: GateVerdict | None
    card: str = Field(description="The model card, Markdown.")
    plots: tuple[str, ...] = Field(description="Names to ask for below `plots/`.")
    code_version: str
    trained_on: str = Field(description="Partitions of its training.")


class Difference(Answer):
    """One figure of two versions."""

    metric: str
    version: float | None
    champion: float | None
    difference: float | None


class Comparison(Answer):
    """A version beside the champion."""

    version: int
    champion: int
    metrics: tuple[Difference, ...] = Field(
        description="Of each as it was evaluated, on what its own training held out; the verdict has the same rows."
    )
    verdict: GateVerdict | None = Field(description="Null where the gate did not compare these two.")


class MoveTold(Answer):
    """One move of the alias `champion`."""

    at: datetime | None
    what: str
    version: int | None
    before: int | None
    by: str
    reason: str


class History(Answer):
    """Who was champion when."""

    items: tuple[MoveTold, ...] = Field(description="The latest first.")
    next: str | None


@router.get("", summary="List model versions", response_model=ModelPage)
def list_models(
    service: TheService,
    request: Request,
    response: Response,
    name: str,
    asked: Annotated[Paged, Query()],
    _caller: Reader,
) -> Any:
    """The registered versions, the newest first, with aliases and what the gate said."""
    spec = service.specs.of(name)
    below = None if asked.cursor is None else _number_of(asked.cursor, "models")
    body = service.kept.of_registry("models", spec, (asked,), lambda: _page(service, name, asked, below))
    link_next(request, response, next_of(body))
    return as_answer(request, response, body, tag_of(body))


def _page(service: Service, name: str, asked: Paged, below: int | None) -> ModelPage:
    versions = [one for one in service.registry.versions(name) if below is None or one.number < below]
    shown = versions[: asked.limit]
    more = encoded(Offset(after=str(shown[-1].number), digest="models")) if len(versions) > len(shown) else None
    return ModelPage(items=tuple(ModelSummary(**_summary(one)) for one in shown), next=more)


@router.get("/champion", summary="The champion", response_model=ModelSummary, dependencies=[Depends(no_query)])
def get_champion(service: TheService, request: Request, response: Response, name: str, _caller: Reader) -> Any:
    """The version that scores. Its `ETag` is what a promotion or rollback may name in `If-Match`."""
    service.specs.of(name)
    champion = champion_of(service.registry, name)
    return unchanged(request, response, champion_tag(champion.number)) or ModelSummary(**_summary(champion))


@router.get("/champion/history", summary="Who was champion when", response_model=History)
def list_champions(service: TheService, name: str, asked: Annotated[Paged, Query()], _caller: Reader) -> Any:
    """Every move of the champion: by the gate, by a person, in the registry, and the way back."""
    service.specs.of(name)
    moves = list(enumerate(champions.history(service.lake, name)))[::-1]
    if asked.cursor is not None:
        moves = [(number, move) for number, move in moves if number < _number_of(asked.cursor, "champions")]
    shown = moves[: asked.limit]
    more = encoded(Offset(after=str(shown[-1][0]), digest="champions")) if len(moves) > len(shown) else None
    items = tuple(
        MoveTold(at=m.at, what=m.what, version=m.version, before=m.before, by=m.by, reason=m.reason) for _, m in shown
    )
    return History(items=items, next=more)


@router.get("/{version}", summary="One version", response_model=ModelDetail, dependencies=[Depends(no_query)])
def get_model(
    service: TheService, request: Request, response: Response, name: str, version: Number, _caller: Reader
) -> Any:
    """A version with its evaluation, the gate's verdict, its card and the names of its plots."""
    spec = service.specs.of(name)
    # Its tags and aliases are asked for each time; what was written once, with its run, is kept under them.
    found = version_of(service.registry, name, version)
    body = service.kept.of("model", spec, (found,), lambda: _detail(service.registry, found))
    return as_answer(request, response, body, tag_of(body))


def _detail(registry: Registry, found: Version) -> ModelDetail:
    return ModelDetail(
        **_summary(found),
        metrics=registry.metrics(found),
        verdict=_verdict(registry, found),
        card=registry.file(found, "model_card.md").decode("utf-8", "replace"),
        plots=tuple(registry.plots(found)),
        code_version=found.tags.get("code_version", ""),
        trained_on=found.tags.get("partitions", ""),
    )


@router.get(
    "/{version}/comparison",
    summary="A version beside the champion",
    response_model=Comparison,
    dependencies=[Depends(no_query)],
    responses=problems(NoChampion),
)
def compare_model(service: TheService, name: str, version: Number, _caller: Reader) -> Any:
    """The figures of a version and of the champion, and the verdict where the gate compared the two."""
    service.specs.of(name)
    found, champion = version_of(service.registry, name, version), service.registry.champion(name)
    own, other = service.registry.metrics(found), service.registry.metrics(champion)
    verdict = _verdict(service.registry, found)
    return Comparison(
        version=found.number,
        champion=champion.number,
        metrics=tuple(_difference(metric, own, other) for metric in sorted({**own, **other})),
        verdict=verdict if verdict is not None and verdict.against == champion.number else None,
    )


@router.get(
    "/{version}/plots/{plot}",
    summary="A plot of a version",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
    dependencies=[Depends(no_query)],
)
def get_plot(service: TheService, name: str, version: Number, plot: str, _caller: Reader) -> Response:
    """A picture, by one of the names the version is told with."""
    service.specs.of(name)
    found = version_of(service.registry, name, version)
    known = service.registry.plots(found)
    # Only names that are listed reach the store: no path is ever made of what a caller sends.
    if plot not in known or not plot.endswith(".png"):
        raise NotFound(
            f"version {version} of {name!r} has no plot {plot[:60]!r}",
            rule=f"its plots are {', '.join(known) or 'none'}",
            fix="name one of these",
        )
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=3600"}
    return Response(service.registry.picture(found, plot), media_type="image/png", headers=headers)


def champion_of(registry: Registry, pipeline: str) -> Version:
    """The version that scores.

    Raises:
        NotFound: there is none yet.
    """
    found = registry.aliased(pipeline, CHAMPION)
    if found is None:
        raise NotFound(
            f"pipeline {pipeline!r} has no champion yet",
            rule="the gate makes the first sound version champion",
            fix=f"GET /v1/pipelines/{pipeline}/models says why it refused those there are",
        )
    return found


def version_of(registry: Registry, pipeline: str, number: int) -> Version:
    """A version by its number.

    Raises:
        NotFound: there is none.
    """
    try:
        return registry.version(pipeline, number)
    except RegistryError as error:
        raise NotFound(
            error.problem, rule=error.rule, fix=f"GET /v1/pipelines/{pipeline}/models lists the versions"
        ) from error


def champion_tag(number: int) -> str:
    """The entity tag of a champion."""
    return f'"champion-{number}"'


def _summary(version: Version) -> dict[str, Any]:
    told = "threshold" in version.tags
    return {
        "version": version.number,
        "detector": version.detector,
        "aliases": version.aliases,
        "threshold": version.threshold if told else None,
        "threshold_rule": version.tags.get("threshold_rule", ""),
        "gate": version.tags.get(GATE),
        "gate_reason": version.tags.get(GATE_REASON),
    }


def _verdict(registry: Registry, version: Version) -> GateVerdict | None:
    if GATE not in version.tags:
        return None
    found: Verdict = verdict_of(registry, version)
    return GateVerdict(
        outcome=found.outcome,
        against=found.champion,
        reasons=found.reasons,
        rules=tuple(_rule(one) for one in found.criteria),
        judged_on=None if found.rows is None else found.rows.sentence(),
    )


def _rule(one: Criterion) -> Rule:
    return Rule(
        name=one.name,
        rule=one.rule,
        outcome=one.outcome,
        sentence=one.sentence,
        challenger=one.challenger,
        champion=one.champion,
        low=one.low,
        high=one.high,
    )


def _difference(metric: str, own: dict[str, float], other: dict[str, float]) -> Difference:
    mine, theirs = own.get(metric), other.get(metric)
    known = mine is not None and theirs is not None
    return Difference(
        metric=metric,
        version=mine,
        champion=theirs,
        difference=mine - theirs if known else None,  # type: ignore[operator]
    )


def _number_of(cursor: str, digest: str) -> int:
    place = decoded(cursor, Offset)
    if place.digest != digest or not place.after.isdecimal() or len(place.after) > 12:
        raise wrong_cursor(cursor)
    return int(place.after)
