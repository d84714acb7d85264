"""Places in a run's log: what they name, and that nothing is lost or told twice at page borders."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from pynomaly_pipelines.operations.errors import BadRequest
from pynomaly_pipelines.service.launching.answers import EventPage, LogEvent
from pynomaly_pipelines.service.launching.news import Place, after, told

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
LOG = [
    *(LogEvent("ExecutionStepStartEvent", NOON, step=f"s{n}") for n in range(7)),
    LogEvent("EngineEvent", NOON),
    LogEvent("RunSuccessEvent", NOON),
    LogEvent("EngineEvent", NOON),
]


def cursor(number: int) -> str:
    return base64.b64encode(json.dumps({"type": "STORAGE_ID", "value": number}).encode()).decode()


def page(place: Place, size: int) -> EventPage:
    """As Dagster would give it."""
    begin = 0 if place.cursor is None else json.loads(base64.b64decode(place.cursor))["value"]
    events = tuple(LOG[begin : begin + size])
    return EventPage(events, cursor(begin + len(events)), begin + size < len(LOG), "SUCCESS", 7, 0, 7)


def read(place: Place, size: int) -> list[tuple[str, str]]:
    found = []
    while True:
        now = page(place, size)
        found += [(str(n.data.get("step", n.event)), str(n.place)) for n in told(now, place) if n.place]
        if now.last:
            return found
        place = after(now, place)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("later", [1, 2, 4, 100])
def test_from_every_place_the_rest_is_told_once(size: int, later: int) -> None:
    everything = read(Place(), size)
    names = [name for name, _ in everything]
    assert names == [*(f"s{n}" for n in range(7)), "end"]
    for number, (_, written) in enumerate(everything):
        rest = read(Place.parse(written), later)
        assert [name for name, _ in rest] == names[number + 1 :]


@pytest.mark.parametrize(
    "written",
    ["", "start", "start.-1", "x.1", "AAAA.0", f"{cursor(-1)}.0", "start.1\n", f"{'A' * 300}.0", "start.12345678"],
)
def test_what_is_no_place_is_refused(written: str) -> None:
    with pytest.raises(BadRequest, match="Last-Event-ID"):
        Place.parse(written)
