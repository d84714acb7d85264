"""The data's own clock over a whole leap year: changes of the clock, leap day, year end; no row is lost or doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.spec import PipelineSpec
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
# An hour in spring and autumn, north and south; half an hour on Lord Howe; New York behind UTC, the others ahead.
ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe"]
MONTHS = [f"2024-{month:02d}-01" for month in range(1, 13)]
HALF_HOUR = timedelta(minutes=30)


def moments(zone: str) -> list[datetime]:
    """Every half hour of 2024 on that zone's calendar, in UTC."""
    now = datetime(2024, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = datetime(2025, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = []
    while now < end:
        found.append(now)
        now += HALF_HOUR
    return found


def year(make: Make, zone: str, texts: list[str]) -> Zone:
    """The rows of a year, numbered, ingested and validated by month."""
    source = {"type": "csv", "path": "in/year.csv"}
    shop = make(source=source, partition="monthly", start="2024-01-01", timezone=zone, key="id")
    shop.drop("year.csv", "id,at\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts)))
    shop.ingest(*MONTHS)
    shop.validate(*MONTHS)
    return shop


@pytest.mark.parametrize("place", ZONES)
def test_a_year_of_local_times_without_offset(place: str, zone: Make) -> None:
    truth = moments(place)
    texts = [moment.astimezone(ZoneInfo(place)).strftime("%Y-%m-%d %H:%M") for moment in truth]
    # What a clock shows twice is no single moment: both are set aside, with the reason, and nothing else is.
    shown = Counter(texts)
    twice = {i for i, text in enumerate(texts) if shown[text] == 2}
    assert len(twice) == (2 if place == "Australia/Lord_Howe" else 4)
    shop = year(zone, place, texts)
    valid, aside = shop.rows("validated"), shop.rows("quarantine")
    assert set(aside["id"]) == twice
    assert {reason for reasons in aside["_reasons"] for reason in reasons} == {
        f"at='{texts[i]}' happened twice in {place}, where the clocks were changed" for i in twice
    }
    assert sorted([*valid["id"], *aside["id"]]) == list(range(len(truth)))
    assert all(at == truth[i] for i, at in zip(valid["id"], valid["at"], strict=True))
    assert all(key == f"{texts[i][:7]}-01" for i, key in zip(valid["id"], valid["_partition"], strict=True))


@pytest.mark.parametrize("place", ZONES)
def test_a_year_of_times_with_offset_is_whole(place: str, zone: Make) -> None:
    truth = moments(place)
    # Every other one in UTC, so that forms are mixed.
    texts = [(m if i % 2 else m.astimezone(ZoneInfo(place))).isoformat() for i, m in enumerate(truth)]
    shop = year(zone, place, texts)
    valid = shop.rows("validated")
    assert sorted(valid["id"]) == list(range(len(truth)))
    assert len(shop.rows("quarantine")) == 0
    assert all(at == truth[i] for i, at in zip(valid["id"], valid["at"], strict=True))
    counts = Counter(valid["_partition"])
    # 29 days of 48 half hours; the months of the changes are an hour (or half of one) shorter and longer.
    assert counts["2024-02-01"] == 29 * 48
    assert sum(counts.values()) == 366 * 48
    shift = 1 if place == "Australia/Lord_Howe" else 2
    spring = {"America/New_York": "03", "Europe/Berlin": "03", "Australia/Lord_Howe": "10"}[place]
    autumn = {"America/New_York": "11", "Europe/Berlin": "10", "Australia/Lord_Howe": "04"}[place]
    assert counts[f"2024-{spring}-01"] == 31 * 48 - shift
    assert counts[f"2024-{autumn}-01"] == (31 if autumn == "10" else 30) * 48 + shift


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("America/New_York", "2024-03-10 02:30"),
        ("Europe/Berlin", "2024-03-31 02:30"),
        ("Australia/Lord_Howe", "2024-10-06 02:15"),
    ],
)
def test_times_that_never_happened_are_set_aside(place: str, text: str, zone: Make) -> None:
    day = text[:10]
    shop = zone(timezone=place)
    shop.attributes["start"] = "2024-01-01"
    shop.drop(f"{day}.csv", f"at,amount\n{text},1\n{day} 01:30,2\n{day} 03:30,3\n{day} 02:30Z,4\n")
    shop.ingest(day)
    rejected = shop.rejected()
    assert rejected[2] == f"at='{text}' never happened in {place}, where the clocks were changed"
    assert rejected.keys() <= {2, 5}
    assert shop.lake.counts("shop", "raw") == {day: 4}


def test_the_hour_that_comes_twice_is_two_partitions(zone: Make) -> None:
    clock = ZoneInfo("America/New_York")
    shop = zone(
        source={"type": "csv", "path": "in/*.csv"}, partition="hourly", start="2024-11-03", timezone="America/New_York"
    )
    start = datetime(2024, 11, 3, tzinfo=clock).astimezone(UTC)
    every = [start + HALF_HOUR * i for i in range(50)]
    shop.drop("night.csv", "at,amount\n" + "".join(f"{m.astimezone(clock).isoformat()},1\n" for m in every))
    keys = [(start + timedelta(hours=i)).strftime("%Y-%m-%d-%H:00") for i in range(25)]
    shop.ingest(*keys)
    assert shop.lake.counts("shop", "raw") == dict.fromkeys(keys, 2)


@pytest.mark.parametrize(
    ("cadence", "moment", "key", "days"),
    [
        ("daily", "2024-02-29T12:00", "2024-02-29", 1),
        ("daily", "2024-03-01T00:00", "2024-03-01", 1),
        ("weekly", "2024-02-29T12:00", "2024-02-25", 7),
        ("monthly", "2024-02-29T23:59", "2024-02-01", 29),
        ("monthly", "2023-02-28T23:59", "2023-02-01", 28),
        # No leap year, though divisible by four.
        ("monthly", "2100-02-28T23:59", "2100-02-01", 28),
        # Weeks begin on Sunday, and belong to the year in which they begin.
        ("weekly", "2024-12-31T23:59", "2024-12-29", 7),
        ("weekly", "2025-01-04T23:59", "2024-12-29", 7),
        ("weekly", "2025-01-05T00:00", "2025-01-05", 7),
        ("monthly", "2024-12-31T23:59", "2024-12-01", 31),
        ("daily", "2025-01-01T00:00", "2025-01-01", 1),
    ],
)
@pytest.mark.parametrize("place", [*ZONES, "UTC", "Asia/Kolkata"])
def test_leap_days_and_year_ends(cadence: str, moment: str, key: str, days: int, place: str) -> None:
    attributes = {"name": "p", "source": {"type": "csv", "path": "a.csv"}, "time": "at", "timezone": place}
    calendar = Calendar(PipelineSpec.model_validate(attributes | {"partition": cadence, "start": "2020-01-01"}))
    part = calendar.containing(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(place)).astimezone(UTC))
    assert part.key == key
    first = datetime.fromisoformat(key).replace(tzinfo=ZoneInfo(place))
    assert part.start == first.astimezone(UTC)
    assert part.end == (first + timedelta(days=days)).astimezone(UTC)
