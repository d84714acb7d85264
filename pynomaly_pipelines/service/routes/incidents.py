"""Incidents: pages of them, one of them with its reasons and picture, and what people say of it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from pynomaly_pipelines.operations.errors import Conflict
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.conditional import tag_of, unchanged
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.incidents import acting
from pynomaly_pipelines.service.incidents.acting import Person
from pynomaly_pipelines.service.incidents.finding import Asked, page, standing_of
from pynomaly_pipelines.service.paging import Answer, Paged, StrictQuery, link_next, no_query
from pynomaly_pipelines.service.problems import problems
from pynomaly_pipelines.service.routes.exclusions import ExclusionTold, told
from pynomaly_pipelines.stages.incidents.states import Action, Standing, State

router = bodies.router("/pipelines/{name}/incidents", "incidents")
Reader = Annotated[Caller, Depends(require(Permission.INCIDENTS_READ))]
Judge = Annotated[Caller, Depends(require(Permission.FEEDBACK_WRITE))]
Id = Annotated[str, Path(max_length=64, description="Its `id`, ten hexadecimal digits.", examples=["663617cf31"])]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]*$")]
DONE_ALREADY = Conflict(
    "incident 663617cf31 is resolved, and cannot become acknowledged",
    rule="open → acknowledged → resolved or dismissed; what is done is opened again first",
    fix="look at it again; if it is to go on, send `reopened`",
)


class Chosen(Paged):
    """Which incidents, and how many."""

    state: Annotated[
        tuple[State, ...], Field(max_length=5, description="Only in one of these states; may be given again.")
    ] = ()
    since: AwareDatetime | None = Field(None, description="Only those that ended then or later; with its zone.")
    until: AwareDatetime | None = Field(None, description="Only those that began before.")
    entity: str | None = Field(None, max_length=500, description="Only of this entity, as it is listed.")


class StateAsked(StrictQuery):
    """What becomes of an incident."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"state": "acknowledged", "note": "looking at it"},
                {"state": "snoozed", "until": "2030-03-01T08:00:00Z", "note": "works on the line until then"},
            ]
        }
    )

    state: Literal["acknowledged", "resolved", "reopened", "snoozed"]
    until: AwareDatetime | None = Field(None, description="End of a snooze, which needs one; nothing else has one.")
    note: Note = Field("", description="Why; it stands in the log.")


class FeedbackAsked(StrictQuery):
    """Whether it was one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"verdict": "dismissed", "note": "the fair was in town, as each year"}]}
    )

    verdict: Literal["confirmed", "dismissed"]
    note: Note = Field("", description="Why; it stands in the log and in the model card.")


class ReasonTold(Answer):
    """A column that made its rows anomalous."""

    column: str
    rows: int = Field(description="Of how many of its rows it is a reason.")
    value: str = Field(description="In the most anomalous of them.")
    usual: str = Field(description="What would have been expected.")
    share: float = Field(description="Of their scores, on average, in [0, 1].")


class SampleTold(Answer):
    """One of its most anomalous rows."""

    time: AwareDatetime
    row: str = Field(description="What identifies it.")
    source: str = Field(description="File and line.")
    score: float
    reasons: str


class SaidTold(Answer):
    """One line of its log."""

    at: AwareDatetime
    action: Action
    by: str = Field(description="Empty for what the product wrote.")
    note: str
    until: AwareDatetime | None = Field(description="End of a snooze.")


class IncidentSummary(Answer):
    """An incident as it is listed."""

    id: str
    headline: str
    state: State = Field(description="`quiet`: recorded, and nobody was told.")
    entity: str = Field(description="Whose it is; empty where all rows are of one.")
    start: AwareDatetime = Field(description="Of the first anomaly.")
    end: AwareDatetime = Field(description="Of the last.")
    peak: AwareDatetime = Field(description="Of the most anomalous.")
    score: float = Field(description="Of the most anomalous, in [0, 1].")
    anomalies: int
    direction: str = Field(description="`high`, `low`, `both`; empty where it cannot be told.")
    verdict: Literal["confirmed", "dismissed"] | None = Field(description="The latest.")
    quiet: str = Field(description="Why nobody was told; empty if people were.")
    snoozed_until: AwareDatetime | None = Field(description="Until then nobody is told of its entity.")


class Incident(IncidentSummary):
    """An incident with all that is known of it."""

    partitions: tuple[str, ...]
    model_version: int
    reasons: tuple[ReasonTold, ...] = Field(description="The weightiest first.")
    samples: tuple[SampleTold, ...] = Field(description="The most anomalous first.")
    log: tuple[SaidTold, ...] = Field(description="What was said of it, in time order.")


class IncidentPage(Answer):
    """A page of incidents, the newest first."""

    items: tuple[IncidentSummary, ...]
    next: str | None = Field(description="Cursor of the next page; null on the last.")
    total: int = Field(description="Incidents that meet the question, on all pages.")


class SuggestedThreshold(Answer):
    """A threshold that fits all verdicts so far better than the one in force, and what it would have meant."""

    score: float
    told: int = Field(description="Incidents that people were told of.")
    still_told: int = Field(description="Of these, with this threshold.")
    confirmed: int
    still_confirmed: int
    dismissed: int
    still_dismissed: int


class Feedback(Answer):
    """What a verdict changed."""

    incident: Incident
    labelled_rows: int = Field(description="Rows that evaluations count as anomalies, or as ordinary, from now on.")
    excluded: ExclusionTold | None = Field(description="What the next training leaves out.")
    learnt_again: tuple[ExclusionTold, ...] = Field(description="What it does not leave out any longer.")
    suggested_threshold: SuggestedThreshold | None = Field(
        description="Null where none is better. `POST …/threshold/preview` shows what it means for all rows."
    )


@router.get("", summary="List incidents", response_model=IncidentPage)
def list_incidents(
    service: TheService, request: Request, response: Response, name: str, asked: Annotated[Chosen, Query()], _by: Reader
) -> Any:
    """Anomalies that belong together, the newest first, in pages."""
    spec = service.specs.of(name)
    wanted = Asked(asked.state, asked.since, asked.until, asked.entity)
    found = page([spec], service.lake, wanted, most=asked.limit, cursor=asked.cursor)
    link_next(request, response, found.next)
    return IncidentPage(items=tuple(_summary(s) for s in found.items), next=found.next, total=found.total)


@router.get("/{incident}", summary="One incident", response_model=Incident, dependencies=[Depends(no_query)])
def get_incident(service: TheService, name: str, incident: Id, _by: Reader) -> Any:
    """Its reasons, sample rows, state, and what was said of it."""
    return whole(standing_of(service.specs.of(name), service.lake, incident))


@router.get(
    "/{incident}/plot.png",
    summary="Picture of an incident",
    response_class=Response,
    responses={
        200: {
            "description": "The series, or the scores around it; anomalies in red.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    dependencies=[Depends(no_query)],
)
async def get_incident_plot(service: TheService, request: Request, name: str, incident: Id, _by: Reader) -> Response:
    """Drawn beside the event loop, a few at a time; 429 if too many wait."""
    png = await service.pictures.of(service.specs.of(name), incident)
    found = Response(png, media_type="image/png")
    return unchanged(request, found, tag_of(hashlib.sha256(png).hexdigest())) or found


@router.post(
    "/{incident}/state",
    summary="Say what becomes of an incident",
    response_model=Incident,
    responses=problems(done_already=DONE_ALREADY),
    dependencies=[Depends(no_query)],
)
def change_incident(
    service: TheService, request: Request, name: str, incident: Id, asked: StateAsked, caller: Judge
) -> Any:
    """Acknowledge, resolve, reopen or snooze it.

    What it is already is not said again. What is resolved or dismissed is reopened before it goes on: 409 otherwise.
    A snooze keeps its entity quiet until it ends.
    """
    spec, person = service.specs.of(name), Person(request, caller)
    return whole(acting.change(service, spec, incident, person, Action(asked.state), asked.note, asked.until))


@router.post(
    "/{incident}/feedback",
    summary="Confirm or dismiss an incident",
    response_model=Feedback,
    responses=problems(404),
    dependencies=[Depends(no_query)],
)
def give_feedback(
    service: TheService, request: Request, name: str, incident: Id, asked: FeedbackAsked, caller: Judge
) -> Any:
    """Say whether it was one, and see what that changed.

    Its rows become labels for evaluations. A confirmed one is left out of the next training, a dismissed one is learnt
    from. A later verdict takes the place of an earlier one.
    """
    spec, person = service.specs.of(name), Person(request, caller)
    after, done, better = acting.judged(service, spec, incident, person, asked.verdict, asked.note)
    return Feedback(
        incident=whole(after),
        labelled_rows=done.rows,
        excluded=None if done.excluded is None else told(done.excluded),
        learnt_again=tuple(told(one) for one in done.learnt_again),
        suggested_threshold=None if better is None else SuggestedThreshold.model_validate(better, from_attributes=True),
    )


def whole(standing: Standing) -> Incident:
    """An incident as it is answered."""
    found = standing.incident
    return Incident(
        **dict(_summary(standing)),
        partitions=found.partitions,
        model_version=found.version,
        reasons=tuple(ReasonTold.model_validate(reason, from_attributes=True) for reason in found.reasons),
        samples=tuple(SampleTold.model_validate(sample, from_attributes=True) for sample in found.samples),
        log=tuple(SaidTold(at=e.at, action=e.action, by=e.who, note=e.note, until=e.until) for e in standing.log),
    )


def _summary(standing: Standing) -> IncidentSummary:
    found = standing.incident
    return IncidentSummary(
        id=found.id,
        headline=found.headline,
        state=standing.state,
        entity=found.entity,
        start=found.start,
        end=found.end,
        peak=found.peak,
        score=found.score,
        anomalies=found.anomalies,
        direction=found.direction,
        verdict=standing.verdict and standing.verdict.value,  # type: ignore[arg-type]
        quiet=found.quiet,
        snoozed_until=standing.snoozed_until,
    )
