"""Who is told of which incident: state, snooze, score, age, and what was told before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pynomaly_pipelines.stages.incidents.incident import Incident
from pynomaly_pipelines.stages.incidents.states import Action, Entry, standings
from pynomaly_pipelines.stages.notifications.due import Near, due, why_not
from tests.small_pipelines import spec

NOON = datetime(2025, 1, 9, 12, tzinfo=UTC)
SPEC = spec(notify={"receivers": {"mail": "MAIL", "chat": "CHAT"}, "min_score": 0.5, "fresh_hours": 24})
INCIDENT = Incident("a", "shop", "DE", NOON, NOON, NOON, 0.9, 4, "", (), (), ("2025-01-09",), 1)


def said(action: Action, minute: int, who: str = "ada", note: str = "", **more: Any) -> Entry:
    return Entry("a", action, NOON + timedelta(minutes=minute), who, note, "DE", **more)


def told_to(*entries: Entry, incident: Incident = INCIDENT, latest: datetime = NOON, **more: Any) -> list[str]:
    near = Near(tuple(standings([incident], entries)), latest)
    return [receiver for receiver in ("mail", "chat") if due(SPEC, near, receiver, **more)]


def test_each_receiver_has_its_own_mark() -> None:
    assert told_to() == ["mail", "chat"]
    assert told_to(said(Action.NOTIFIED, 1, "mail", "4 anomalies")) == ["chat"]


@pytest.mark.parametrize("action", [Action.ACKNOWLEDGED, Action.RESOLVED, Action.DISMISSED, Action.CONFIRMED])
def test_what_somebody_has_in_hand_is_not_told(action: Action) -> None:
    assert told_to(said(action, 1)) == []
    assert told_to(said(action, 1), said(Action.REOPENED, 2)) == ["mail", "chat"]


@pytest.mark.parametrize(("anomalies", "again"), [(5, []), (7, []), (8, ["mail"]), (40, ["mail"])])
def test_told_again_with_twice_the_anomalies(anomalies: int, again: list[str]) -> None:
    marks = (said(Action.NOTIFIED, 1, "mail", "4 anomalies"), said(Action.NOTIFIED, 1, "chat", "40 anomalies"))
    assert told_to(*marks, incident=replace(INCIDENT, anomalies=anomalies)) == again


def test_opened_again_is_told_once_more() -> None:
    marks = [said(Action.NOTIFIED, 1, name, "4 anomalies") for name in ("mail", "chat")]
    again = [*marks, said(Action.RESOLVED, 2), said(Action.REOPENED, 3)]
    assert told_to(*again) == ["mail", "chat"]
    assert told_to(*again, said(Action.NOTIFIED, 4, "mail", "4 anomalies")) == ["chat"]


def test_a_snooze_of_the_entity_ends() -> None:
    now = datetime.now(UTC)
    snoozed = said(Action.SNOOZED, 1, until=now + timedelta(hours=1))
    assert told_to(snoozed) == []
    assert told_to(snoozed, incident=replace(INCIDENT, id="b")) == []
    assert told_to(snoozed, incident=replace(INCIDENT, entity="FR")) == ["mail", "chat"]
    assert told_to(said(Action.SNOOZED, 1, until=now - timedelta(hours=1))) == ["mail", "chat"]


def test_age_goes_by_the_data_and_what_waits_does_not_grow_stale() -> None:
    a_day = NOON + timedelta(hours=24)
    assert told_to(latest=a_day) == ["mail", "chat"]
    assert told_to(latest=a_day + timedelta(seconds=1)) == []
    assert told_to(latest=a_day + timedelta(days=90), waiting=["a"]) == ["mail", "chat"]


@pytest.mark.parametrize(
    ("incident", "latest", "why"),
    [
        (INCIDENT, NOON, ""),
        (replace(INCIDENT, quiet="too few"), NOON, "quiet"),
        (replace(INCIDENT, score=0.4), NOON, "below 0.5 (`notify.min_score`)"),
        (
            INCIDENT,
            NOON + timedelta(days=2),
            "more than 24 hours before the latest scored data (`notify.fresh_hours`)",
        ),
    ],
)
def test_why_nobody_is_told(incident: Incident, latest: datetime, why: str) -> None:
    (standing,) = standings([incident], [])
    assert why_not(SPEC, standing, latest) == why
