"""What a caller says of an incident -> the incident changed, and an entry in the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import Request

from pynomaly_pipelines.operations.errors import Conflict, Unprocessable
from pynomaly_pipelines.service import audit
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.audit.entries import Detail
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.incidents.finding import standing_of
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents import states
from pynomaly_pipelines.stages.incidents.finding import listed
from pynomaly_pipelines.stages.incidents.states import Action, Standing
from pynomaly_pipelines.stages.incidents.suggestions import Suggestion, suggest
from pynomaly_pipelines.stages.incidents.verdicts import Judged, Verdict, judge


@dataclass(frozen=True)
class Person:
    """Who says it, from where."""

    request: Request
    caller: Caller


def change(
    service: Service, spec: PipelineSpec, id: str, person: Person, action: Action, note: str, until: datetime | None
) -> Standing:
    """Acknowledge, resolve, reopen or snooze an incident; what it is already is not said again.

    Raises:
        NotFound: there is none of that id.
        Conflict: it was resolved or dismissed, and not opened again.
        Unprocessable: a snooze without an end to come, or an end of something else.
    """
    before = standing_of(spec, service.lake, id)
    _check_end(action, until)
    if not states.follows(before.state, action):
        raise Conflict(
            f"incident {id} is {before.state}, and cannot become {action}",
            rule="open → acknowledged → resolved or dismissed; what is done is opened again first",
            fix="look at it again; if it is to go on, send `reopened`",
        )
    if not states.changes(before.state, action):
        return before
    states.say(spec, service.lake, before.incident, action, who=person.caller.name, note=note, until=until)
    told = {"incident": id, "before": before.state.value, "said": action.value, "note": note}
    audit.note(service, person.request, person.caller, audit.Action.INCIDENT_CHANGED, f"pipeline:{spec.name}", **told)
    return standing_of(spec, service.lake, id)


def judged(
    service: Service, spec: PipelineSpec, id: str, person: Person, verdict: Verdict, note: str
) -> tuple[Standing, Judged, Suggestion | None]:
    """Confirm or dismiss an incident: how it stands then, what that changed, and the threshold that would fit better.

    Raises:
        NotFound: there is none of that id.
    """
    before = standing_of(spec, service.lake, id)
    done = judge(spec, service.lake, before.incident, verdict, who=person.caller.name, note=note)
    told: dict[str, Detail] = {"incident": id, "before": before.state.value, "verdict": verdict, "note": note}
    audit.note(
        service,
        person.request,
        person.caller,
        audit.Action.FEEDBACK_GIVEN,
        f"pipeline:{spec.name}",
        **told,
        rows=done.rows,
    )
    return standing_of(spec, service.lake, id), done, suggest(listed(spec, service.lake))


def _check_end(action: Action, until: datetime | None) -> None:
    if action is not Action.SNOOZED and until is not None:
        raise Unprocessable(f"`until` came with {action}", rule="only a snooze has an end", fix="leave `until` out")
    if action is Action.SNOOZED and (until is None or until <= datetime.now(UTC)):
        raise Unprocessable(
            "the snooze has no end" if until is None else f"the snooze ends at {until.isoformat()}, which is past",
            rule="it ends at a time that is to come",
            fix="give a later `until`",
        )
