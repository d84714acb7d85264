"""Anomalies -> incidents: who belongs together, which side counts, who is told."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pynomaly_pipelines.stages.incidents.grouping import group, sides
from tests.small_pipelines import records, spec
from tests.small_pipelines import series as small_series

HIGH = [{"column": "amount", "value": "900", "usual": "10 … 80", "share": 0.8}]
LOW = [{"column": "amount", "value": "-3", "usual": "10 … 80", "share": 0.6}]
ODD = [{"column": "country", "value": "XX", "usual": "DE, FR", "share": 0.9}]


def anomalies(*rows: tuple[str, str, float, Any]) -> pd.DataFrame:
    """(time, country, score, reasons) each."""
    frame = pd.DataFrame(rows, columns=["at", "country", "score", "reasons"])
    frame["at"] = pd.to_datetime(frame["at"], utc=True)
    frame["_partition"] = frame["at"].dt.strftime("%Y-%m-%d")
    return frame.assign(id=range(len(frame)), _source="in.csv", _row=range(len(frame)), model_version=3)


def spans(found: Any) -> list[tuple[str, str, int]]:
    return [(f"{i.start:%d %H:%M}", f"{i.end:%d %H:%M}", i.anomalies) for i in found]


def test_anomalies_within_the_gap_are_one_incident_over_midnight_too() -> None:
    rows = anomalies(
        ("2025-01-01 20:00", "DE", 0.90, HIGH),
        ("2025-01-02 01:00", "DE", 0.99, HIGH),
        ("2025-01-02 07:00", "DE", 0.91, LOW),
        ("2025-01-02 13:01", "DE", 0.92, ODD),
    )
    first, second = group(spec(incidents={"gap_hours": 6}), rows)
    assert spans([first, second]) == [("01 20:00", "02 07:00", 3), ("02 13:01", "02 13:01", 1)]
    assert f"{first.peak:%d %H:%M}" == "02 01:00"
    assert first.score == 0.99
    assert first.partitions == ("2025-01-01", "2025-01-02")
    assert first.direction == "both"
    assert second.direction == ""
    (reason,) = first.reasons
    assert str(reason) == "amount = 900 (usually 10 … 80)"
    assert reason.rows == 3
    assert reason.share == pytest.approx((0.8 + 0.8 + 0.6) / 3)
    assert [sample.score for sample in first.samples] == [0.99, 0.91, 0.90]
    assert first.samples[0].row == "id=1"


def test_each_entity_has_its_own() -> None:
    rows = anomalies(("2025-01-01 10:00", "DE", 0.9, HIGH), ("2025-01-01 10:05", "FR", 0.9, HIGH))
    found = group(spec(incidents={"entity": "country"}), rows)
    assert [i.entity for i in found] == ["country=DE", "country=FR"]
    assert len(group(spec(), rows)) == 1
    assert len({i.id for i in found}) == 2


def test_values_of_one_series_id_belong_together() -> None:
    rows = anomalies(("2025-01-01 10:00", "x", 0.9, HIGH), ("2025-01-01 10:00", "x", 0.8, HIGH))
    rows = rows.assign(series=["JFK/delay", "JFK/flights"], value=[1.0, 2.0])
    (found,) = group(small_series().spec, rows)
    assert (found.entity, found.anomalies) == ("JFK", 2)
    assert [reason.column for reason in found.reasons] == ["delay: amount", "flights: amount"]


def test_only_one_direction_counts() -> None:
    rows = anomalies(
        ("2025-01-01 10:00", "DE", 0.9, HIGH),
        ("2025-01-01 10:10", "DE", 0.9, LOW),
        ("2025-01-01 10:20", "DE", 0.9, ODD),
    )
    assert spans(group(spec(incidents={"direction": "high"}), rows)) == [("01 10:00", "01 10:00", 1)]
    assert spans(group(spec(incidents={"direction": "low"}), rows)) == [("01 10:10", "01 10:10", 1)]
    assert sides(ODD) == set()
    assert sides(None) == set()
    assert sides([{"column": "a", "value": "0", "usual": "20.87 … 27.13 after the last 24 points", "share": 1.0}]) == {
        "low"
    }
    assert sides([{"column": "a", "value": "-1.5e-3", "usual": "0 … 1e+06", "share": 1.0}]) == {"low"}


@pytest.mark.parametrize(
    ("rules", "quiet"),
    [
        ({"min_anomalies": 3}, "2 of 3 anomalies (`min_anomalies`)"),
        ({"min_minutes": 45}, "30 of 45 minutes (`min_minutes`)"),
        ({"min_anomalies": 2, "min_minutes": 30}, ""),
        ({"suppress": [{"where": {"country": "DE"}, "reason": "a known leak"}]}, "a known leak"),
        ({"suppress": [{"where": {"country": "FR"}}]}, ""),
        # 2025-01-04 is a Saturday; 22:15 and 22:45 UTC are 23:15 and 23:45 in Berlin.
        ({"quiet": [{"days": ["sat", "sun"]}]}, "`quiet[0]`"),
        ({"quiet": [{"days": ["fri"]}]}, ""),
        ({"quiet": [{"dates": ["2025-01-04"], "reason": "stocktaking"}]}, "stocktaking"),
        ({"quiet": [{"start": "23:00", "end": "06:00"}]}, "`quiet[0]`"),
        ({"quiet": [{"start": "22:00", "end": "23:30"}]}, ""),
    ],
)
def test_who_is_told(rules: dict[str, Any], quiet: str) -> None:
    rows = anomalies(("2025-01-04 22:15", "DE", 0.9, HIGH), ("2025-01-04 22:45", "DE", 0.9, HIGH))
    (found,) = group(spec(timezone="Europe/Berlin", incidents=rules), rows)
    assert found.quiet == quiet


def test_a_night_belongs_to_the_evening_it_began_in() -> None:
    """Saturday's night is quiet until Sunday morning; the night before is not."""
    rule = {"quiet": [{"days": ["sat"], "start": "22:00", "end": "06:00"}]}
    sunday, saturday = (
        anomalies(("2025-01-05 03:00", "DE", 0.9, HIGH)),
        anomalies(("2025-01-04 03:00", "DE", 0.9, HIGH)),
    )
    assert group(spec(incidents=rule), sunday)[0].quiet
    assert not group(spec(incidents=rule), saturday)[0].quiet


def test_no_anomalies_no_incidents() -> None:
    assert group(records().spec, anomalies().astype({"score": float})) == []


def test_a_quiet_time_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="would never end"):
        spec(incidents={"quiet": [{"reason": "always"}]})
