"""News of a pipeline -> each receiver is told, once, in its rhythm; one that fails is tried again and delays no other.

A mark is written after a receiver took a message: in the log of incidents, on the failed run, or in the table `told`.
Whatever happens in between, the message is sent again. What fails is tried again after 1, 2, 4 … minutes, an hour at
most, and after `TRIES` failures once a day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import BaseModel, ConfigDict

from pynomaly_pipelines.automation import reported
from pynomaly_pipelines.automation.news import Calm, Known, News, gather
from pynomaly_pipelines.operations.secrets import variable
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.resources.configurable import LakeResource
from pynomaly_pipelines.resources.notifications import LONGEST_SECONDS, Message, Outcome, send_each
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec

TRIES = 8
FIRST_DELAY, LONGEST_DELAY = timedelta(minutes=1), timedelta(hours=1)
AFTER_TRIES = timedelta(days=1)
NEWCOMER = timedelta(days=2)
_MOST_WAITING = 500


class Receiver(BaseModel):
    """What is remembered of a receiver between two looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: datetime
    """Failures before that are not told."""
    digested: datetime
    """Its last time for news that has passed."""
    waiting: Mapping[str, str] = {}
    """Incidents that it is still to be told of, and the partition in which each began."""
    failures: int = 0
    """In a row."""
    next_try: datetime | None = None
    why: str = ""

    def failed(self, why: str, now: datetime) -> Receiver:
        """After one more failure."""
        failures = self.failures + 1
        delay = min(FIRST_DELAY * 2 ** (failures - 1), LONGEST_DELAY) if failures < TRIES else AFTER_TRIES
        return self.model_copy(update={"failures": failures, "next_try": now + delay, "why": why})


class Cursor(BaseModel):
    """What is remembered of all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    receivers: Mapping[str, Receiver] = {}
    calm: Calm | None = None

    def of(self, spec: PipelineSpec, now: datetime) -> dict[str, Receiver]:
        """Each receiver of the spec; to a new one, failures of the last two days are news."""
        assert spec.notify is not None
        new = Receiver(since=now - NEWCOMER, digested=now)
        return {name: self.receivers.get(name, new) for name in spec.notify.receivers}


def build_alerts(spec: PipelineSpec, *, live: bool) -> dg.SensorDefinition:
    """The sensor that tells people."""
    assert spec.notify is not None

    @dg.sensor(
        name=f"{spec.name}_alerts",
        description=f"Tells {', '.join(spec.notify.receivers)} of {' and '.join(spec.notify.about)} of {spec.name}.",
        asset_selection=dg.AssetSelection.groups(spec.name),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if live else dg.DefaultSensorStatus.STOPPED,
        tags={"pipeline": spec.name},
    )
    def alerts(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        cursor = Cursor.model_validate_json(context.cursor) if context.cursor else Cursor()
        said, after = tell(context.instance, spec, lake.open(), cursor, datetime.now(UTC))
        return dg.SensorResult(skip_reason="; ".join(said) or "no news", cursor=after.model_dump_json())

    return alerts


def tell(
    instance: dg.DagsterInstance,
    spec: PipelineSpec,
    lake: Lake,
    cursor: Cursor,
    now: datetime,
    seconds: float = LONGEST_SECONDS,
) -> tuple[list[str], Cursor]:
    """One look: send what is due to those whose time it is, and mark it; what happened, and what to remember."""
    from pynomaly_pipelines.stages.notifications.digests import last_slot

    receivers, slot = cursor.of(spec, now), last_slot(spec, now)
    known = {name: Known(state.since, state.waiting) for name, state in receivers.items()}
    every = gather(instance, spec, lake, known, now, cursor.calm)
    said: list[str] = []
    chosen: dict[str, News] = {}
    for name in receivers:
        receivers[name], ready, waits = _chosen(spec, receivers[name], every.of[name], slot, now)
        if ready:
            chosen[name] = ready
        if waits:
            said.append(f"{name} {waits}")
    outcomes = send_each(messages(spec, lake, chosen), url_of(spec), seconds) if chosen else ()
    for outcome in outcomes:
        state, told = receivers[outcome.receiver], chosen[outcome.receiver]
        said.append(_said(outcome, told))
        if outcome.sent:
            _mark(instance, spec, lake, told, outcome.receiver, now)
        receivers[outcome.receiver] = _after(state, outcome, told, slot, now)
    return said, Cursor(receivers=receivers, calm=every.calm)


def messages(spec: PipelineSpec, lake: Lake, chosen: Mapping[str, News]) -> dict[str, Message]:
    """One message for each receiver; pictures of the worst incidents are drawn once."""
    from pynomaly_pipelines.stages.notifications.messages import (
        DETAILED,
        about_failures,
        about_incidents,
        about_notices,
        joined,
    )
    from pynomaly_pipelines.stages.notifications.plots import picture

    public_url, drawn, found = Settings.from_environment().public_url, {}, {}
    for name, told in chosen.items():
        parts = []
        if told.incidents:
            worst = sorted(told.incidents, key=lambda incident: -incident.score)[:DETAILED]
            for incident in worst:
                if incident.id not in drawn:
                    drawn[incident.id] = picture(spec, lake, incident)
            pictures = [drawn[incident.id] for incident in worst]
            parts.append(about_incidents(spec, told.incidents, pictures, public_url))
        if told.notices:
            parts.append(about_notices(spec, told.notices, public_url))
        if told.failures:
            parts.append(about_failures(spec, told.failures, public_url))
        found[name] = joined(parts)
    return found


def url_of(spec: PipelineSpec) -> Callable[[str], str]:
    """Name of a receiver -> its Apprise URL."""
    assert spec.notify is not None
    receivers = spec.notify.receivers
    return lambda name: variable(receivers[name], purpose=f"the Apprise URL of the receiver {name}")


def _chosen(
    spec: PipelineSpec, state: Receiver, found: News, slot: datetime, now: datetime
) -> tuple[Receiver, News, str]:
    """What is sent to a receiver now, and what is said of the rest."""
    assert spec.notify is not None
    waiting = {incident.id: incident.partitions[0] for incident in found.incidents[-_MOST_WAITING:]}
    state = state.model_copy(update={"waiting": waiting})
    if state.next_try is not None and now < state.next_try:
        again = f"is tried again at {state.next_try:%m-%d %H:%M} UTC after {state.failures} failures"
        return state, News(), f"{again} ({found} wait): {state.why}"
    if spec.notify.digest == "immediate" or slot > state.digested:
        # A time for news that passes without any is used up, too.
        return (state if found else state.model_copy(update={"digested": slot})), found, ""
    later = found.in_rhythm
    return state, News(failures=found.failures), f"has {later} in its next {spec.notify.digest} digest" if later else ""


def _mark(
    instance: dg.DagsterInstance, spec: PipelineSpec, lake: Lake, told: News, receiver: str, now: datetime
) -> None:
    from pynomaly_pipelines.stages.notifications import due, marks

    for incident in told.incidents:
        due.mark(spec, lake, incident, receiver)
    for failure in told.failures:
        reported.mark(instance, failure.run_id, receiver, now)
    for notice in told.notices:
        marks.write(spec, lake, notice, receiver)


def _after(state: Receiver, outcome: Outcome, told: News, slot: datetime, now: datetime) -> Receiver:
    if not outcome.sent:
        return state.failed(outcome.why_not, now)
    state = state.model_copy(update={"failures": 0, "next_try": None, "why": ""})
    return state.model_copy(update={"waiting": {}, "digested": slot}) if told.in_rhythm else state


def _said(outcome: Outcome, told: News) -> str:
    return f"{outcome.receiver} was told: {told}" if outcome.sent else f"{outcome.receiver} failed: {outcome.why_not}"
