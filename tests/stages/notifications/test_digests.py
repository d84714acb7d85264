"""Times of news, tick by tick, over changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.notifications.digests import last_slot
from tests.small_pipelines import spec


def rhythm(digest: str, zone: str, **more: Any) -> PipelineSpec:
    return spec(timezone=zone, notify={"receivers": {"mail": "MAIL"}, "digest": digest, **more})


def slots(pipeline: PipelineSpec, first: datetime, last: datetime) -> list[str]:
    """The times of news between two times, as a look each ten minutes sees them; none before it has come."""
    found, now = [], first
    while now <= last:
        slot = last_slot(pipeline, now)
        assert slot <= now
        found.append(slot)
        now += timedelta(minutes=10)
    assert found == sorted(found)
    return [f"{slot:%m-%d %H:%M}" for slot in dict.fromkeys(found) if slot >= first]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_at_once_is_now() -> None:
    now = at("2025-01-01 10:07:03")
    assert last_slot(rhythm("immediate", "UTC"), now) == now


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", ["01-01 10:00", "01-01 11:00", "01-01 12:00"]),
        # India is five and a half hours ahead, Nepal five and three quarters.
        ("Asia/Kolkata", ["01-01 10:30", "01-01 11:30"]),
        ("Asia/Kathmandu", ["01-01 10:15", "01-01 11:15"]),
    ],
)
def test_hourly_is_the_full_hour_of_the_zone(zone: str, expected: list[str]) -> None:
    assert slots(rhythm("hourly", zone), at("2025-01-01 10:00"), at("2025-01-01 12:00")) == expected


@pytest.mark.parametrize("day", ["2025-03-30", "2025-10-26"])
def test_hourly_news_come_each_hour_of_a_day_with_a_change_of_the_clock(day: str) -> None:
    """In Berlin 02:00 is skipped in March, and comes twice in October; the hours of UTC go on."""
    first = at(f"{day} 00:00")
    expected = [f"{first + timedelta(hours=hour):%m-%d %H:%M}" for hour in range(6)]
    assert slots(rhythm("hourly", "Europe/Berlin"), first, first + timedelta(hours=5)) == expected


@pytest.mark.parametrize(
    ("digest_at", "around", "expected"),
    [
        # Berlin is one hour ahead in winter, two in summer.
        ("08:00", "2025-03-29", ["03-29 07:00", "03-30 06:00", "03-31 06:00"]),
        ("08:00", "2025-10-25", ["10-25 06:00", "10-26 07:00", "10-27 07:00"]),
        # 02:30 does not exist on 30 March: it comes an hour later, and is not left out.
        ("02:30", "2025-03-29", ["03-29 01:30", "03-30 01:30", "03-31 00:30"]),
        # It exists twice on 26 October: one message, the first time.
        ("02:30", "2025-10-25", ["10-25 00:30", "10-26 00:30", "10-27 01:30"]),
        ("00:00", "2025-10-25", ["10-25 22:00", "10-26 23:00", "10-27 23:00"]),
    ],
)
def test_daily_is_once_each_local_day(digest_at: str, around: str, expected: list[str]) -> None:
    pipeline, first = rhythm("daily", "Europe/Berlin", digest_at=digest_at), at(f"{around} 00:00")
    assert slots(pipeline, first, first + timedelta(days=3) - timedelta(minutes=10)) == expected
