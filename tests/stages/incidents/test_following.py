"""Scored partitions -> the table of incidents: over borders, after late rows, with the ids people know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents import following, grouping
from pynomaly_pipelines.stages.incidents.following import IncidentsReport, follow, read
from pynomaly_pipelines.stages.incidents.states import Action, State, log, say, standings
from tests.small_pipelines import spec

SPEC = spec(incidents={"gap_hours": 2})
REASONS = [{"column": "amount", "value": "900", "usual": "10 … 80", "share": 0.8}]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def score(lake: Lake, day: str, *anomalous: str, spec: PipelineSpec = SPEC) -> IncidentsReport:
    """A day is scored, with anomalies at these times and ordinary rows at each hour; its incidents are followed."""
    ordinary = [f"{hour:02}:30" for hour in range(24)]
    times = sorted([*ordinary, *anomalous])
    frame = pd.DataFrame(
        {
            "at": pd.to_datetime([f"{day} {time}" for time in times], utc=True),
            "id": range(len(times)),
            "_partition": day,
            "_source": f"in/{day}.csv",
            "_row": range(len(times)),
            "score": [0.9 if time in anomalous else 0.1 for time in times],
            "is_anomaly": [time in anomalous for time in times],
            "reasons": [REASONS if time in anomalous else None for time in times],
            "model_version": 1,
        }
    )
    lake.replace(spec.name, "scores", [day], pa.Table.from_pandas(frame, preserve_index=False))
    return follow(spec, [Calendar(spec).partition(day)], lake)


def shown(lake: Lake) -> list[tuple[str, str, int]]:
    return [(f"{i.start:%d %H:%M}", f"{i.end:%d %H:%M}", i.anomalies) for i in read(SPEC, lake)]


def test_an_incident_grows_over_midnight_and_keeps_its_id(lake: Lake) -> None:
    (first,) = score(lake, "2025-01-01", "23:00").new
    report = score(lake, "2025-01-02", "00:15", "12:00")
    (grown,) = report.changed
    assert grown.id == first.id
    assert len(report.new) == 1
    assert report.partitions == ("2025-01-01", "2025-01-02")
    assert shown(lake) == [("01 23:00", "02 00:15", 2), ("02 12:00", "02 12:00", 1)]


def test_the_same_again_changes_nothing(lake: Lake) -> None:
    score(lake, "2025-01-01", "10:00", "23:00")
    score(lake, "2025-01-02", "00:15")
    before = read(SPEC, lake)
    report = score(lake, "2025-01-02", "00:15")
    assert (report.new, report.changed, report.gone) == ((), (), ())
    assert read(SPEC, lake) == before


def test_days_scored_in_any_order_give_the_same_incidents(tmp_path: Path) -> None:
    days = {"2025-01-01": ["22:40"], "2025-01-02": ["00:10", "23:50"], "2025-01-03": ["01:40", "09:00"]}
    tables = []
    for number, order in enumerate(
        (sorted(days), sorted(days, reverse=True), ["2025-01-02", "2025-01-03", "2025-01-01"])
    ):
        lake = Lake(str(tmp_path / str(number)))
        for day in order:
            score(lake, day, *days[day])
        tables.append(shown(lake))
    assert tables[0] == [("01 22:40", "02 00:10", 2), ("02 23:50", "03 01:40", 2), ("03 09:00", "03 09:00", 1)]
    assert tables[0] == tables[1] == tables[2]


def test_a_late_row_joins_two_incidents_under_the_older_id(lake: Lake) -> None:
    first, second = score(lake, "2025-01-01", "10:00", "13:00").new
    report = score(lake, "2025-01-01", "10:00", "11:30", "13:00")
    assert [i.id for i in report.changed] == [first.id]
    assert [i.id for i in report.gone] == [second.id]


def test_what_scores_otherwise_now_is_gone_and_its_log_stays(lake: Lake) -> None:
    (found,) = score(lake, "2025-01-01", "10:00").new
    say(SPEC, lake, found, Action.DISMISSED, who="ada", note="a test order")
    report = score(lake, "2025-01-01")
    assert [i.id for i in report.gone] == [found.id]
    (entry,) = log(SPEC, lake)
    assert (entry.incident, entry.start, entry.end) == (found.id, found.start, found.end)


def test_states_follow_from_what_was_said(lake: Lake) -> None:
    first, second = score(lake, "2025-01-01", "10:00", "20:00").new

    def state() -> list[State]:
        return [s.state for s in standings(read(SPEC, lake), log(SPEC, lake))]

    assert state() == [State.OPEN, State.OPEN]
    say(SPEC, lake, first, Action.ACKNOWLEDGED, who="ada")
    say(SPEC, lake, first, Action.NOTIFIED, who="")
    assert state() == [State.ACKNOWLEDGED, State.OPEN]
    say(SPEC, lake, first, Action.RESOLVED, who="ada")
    say(SPEC, lake, second, Action.CONFIRMED, who="grace")
    assert state() == [State.RESOLVED, State.ACKNOWLEDGED]
    say(SPEC, lake, first, Action.REOPENED, who="grace")
    say(SPEC, lake, second, Action.DISMISSED, who="grace", note="wrong after all")
    one, two = standings(read(SPEC, lake), log(SPEC, lake))
    assert (one.state, two.state, one.verdict, two.verdict) == (State.OPEN, State.DISMISSED, None, Action.DISMISSED)
    assert [entry.action for entry in two.log] == [Action.CONFIRMED, Action.DISMISSED]


def test_a_snooze_is_of_the_entity_and_ends(lake: Lake) -> None:
    (first,) = score(lake, "2025-01-01", "10:00").new
    until = datetime.now(UTC) + timedelta(hours=2)
    say(SPEC, lake, first, Action.SNOOZED, who="ada", until=until)
    score(lake, "2025-01-01", "10:00", "20:00")
    incidents, entries = read(SPEC, lake), log(SPEC, lake)
    assert [s.snoozed_until is not None for s in standings(incidents, entries)] == [True, True]
    assert [s.snoozed_until for s in standings(incidents, entries, until + timedelta(seconds=1))] == [None, None]
    with pytest.raises(DataError, match="ends at a time that is to come"):
        say(SPEC, lake, first, Action.SNOOZED, who="ada", until=datetime(2025, 1, 1, tzinfo=UTC))


def test_what_nobody_is_told_of_is_quiet_until_somebody_looks(lake: Lake) -> None:
    quiet = spec(incidents={"min_anomalies": 2})
    (found,) = score(lake, "2025-01-01", "10:00", spec=quiet).new
    assert [s.state for s in standings([found], [])] == [State.QUIET]


def test_what_lasts_too_long_goes_on_as_another_whatever_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An anomaly each two hours for eight days, scored day by day, or the last half first."""
    monkeypatch.setattr(grouping, "LONGEST", 3)
    monkeypatch.setattr(following, "LONGEST", 3)
    days = [f"2025-01-0{day}" for day in range(1, 9)]
    hours = [f"{hour:02}:00" for hour in range(0, 24, 2)]
    forward, backward = Lake(str(tmp_path / "a")), Lake(str(tmp_path / "b"))
    for day in days:
        score(forward, day, *hours)
    assert [i.anomalies for i in read(SPEC, forward)] == [36, 36, 24]
    for day in (*days[4:], *days[:4]):
        score(backward, day, *hours)
    found = read(SPEC, backward)
    assert sum(i.anomalies for i in found) == 96
    assert max(len(i.partitions) for i in found) <= 3
