"""Known incidents: who may name them, which rows they are, and that a training can be repeated."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pynomaly_pipelines.operations.errors import DataError, NotEnoughData, SchemaError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import exclusions, training
from pynomaly_pipelines.stages.exclusions import Exclusion
from tests.small_pipelines import ROWS, START, Small, records, series


def incident(first: int, last: int, hour: int = 0, **more: Any) -> Exclusion:
    """From a day of January, 2025 to another (exclusive)."""
    return Exclusion(datetime(2025, 1, first, hour, tzinfo=UTC), datetime(2025, 1, last, hour, tzinfo=UTC), **more)


@pytest.fixture
def shop(lake: Lake) -> Small:
    small = records(labels=None)
    small.fill(lake)
    return small


def read(spec: PipelineSpec, lake: Lake) -> training.Split:
    return training.read_window(spec, lake, training.choose_window(spec, lake))


# ------------------------------------------------------------------------------------------------- the table


def test_nothing_is_left_out_at_first(shop: Small, lake: Lake) -> None:
    assert exclusions.read(shop.spec, lake) == ()
    assert exclusions.sync(shop.spec, lake) is None
    assert training.choose_window(shop.spec, lake).exclusions is None


def test_what_was_added_is_read_and_added_once(shop: Small, lake: Lake) -> None:
    outage = incident(3, 4, where={"country": ("DE", "FR")}, reason="outage", who="ann")
    exclusions.add(shop.spec, lake, [outage])
    exclusions.add(shop.spec, lake, [outage])
    assert exclusions.read(shop.spec, lake) == (outage,)
    assert lake.read("shop", "exclusions").num_rows == 1


def test_removed_is_learnt_from_again_and_may_be_added_again(shop: Small, lake: Lake) -> None:
    outage = incident(3, 4)
    exclusions.add(shop.spec, lake, [outage])
    assert exclusions.remove(shop.spec, lake, [outage.id]) == (outage,)
    assert exclusions.read(shop.spec, lake) == ()
    exclusions.add(shop.spec, lake, [outage])
    assert exclusions.read(shop.spec, lake) == (outage,)


def test_an_older_version_of_the_table_is_as_it_was(shop: Small, lake: Lake) -> None:
    exclusions.add(shop.spec, lake, [incident(3, 4)])
    before = lake.version("shop", "exclusions")
    exclusions.add(shop.spec, lake, [incident(5, 6)])
    assert exclusions.read(shop.spec, lake, before) == (incident(3, 4),)
    assert len(exclusions.read(shop.spec, lake)) == 2


@pytest.mark.parametrize(
    ("exclusion", "error", "told"),
    [
        (incident(4, 3), DataError, "ends before it starts"),
        (incident(3, 4, where={"contry": ("DE",)}), SchemaError, "no column 'contry'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    exclusion: Exclusion, error: type[Exception], told: str, shop: Small, lake: Lake
) -> None:
    with pytest.raises(error, match=told):
        exclusions.add(shop.spec, lake, [exclusion])
    assert exclusions.read(shop.spec, lake) == ()


def test_an_unknown_id_is_told_with_the_known_ones(shop: Small, lake: Lake) -> None:
    outage = incident(3, 4)
    exclusions.add(shop.spec, lake, [outage])
    with pytest.raises(DataError, match=outage.id):
        exclusions.remove(shop.spec, lake, ["nothing"])


# ------------------------------------------------------------------------------------------- yaml and events


def test_the_table_follows_the_yaml(lake: Lake) -> None:
    # Midnight in Berlin is 23:00 of the day before, UTC.
    named = {"start": "2025-01-03", "end": "2025-01-04", "reason": "outage"}
    small = records(labels=None, timezone="Europe/Berlin", start="2024-12-31", training={"exclude": [named]})
    small.fill(lake)
    assert exclusions.sync(small.spec, lake) is not None
    (found,) = exclusions.read(small.spec, lake)
    assert (found.start, found.source, found.reason) == (datetime(2025, 1, 2, 23, tzinfo=UTC), "yaml", "outage")
    with pytest.raises(DataError, match=r"take it out of `training.exclude`"):
        exclusions.remove(small.spec, lake, [found.id])
    without = small.spec.model_copy(update={"training": small.spec.training.model_copy(update={"exclude": ()})})
    exclusions.sync(without, lake)
    assert exclusions.read(without, lake) == ()


def test_syncing_twice_writes_once(lake: Lake) -> None:
    small = records(labels=None, training={"exclude": [{"start": "2025-01-03", "end": "2025-01-04"}]})
    small.fill(lake)
    assert exclusions.sync(small.spec, lake) == exclusions.sync(small.spec, lake)


def test_known_events_may_be_left_out(lake: Lake, tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    events.write_text("start,end,meter,what\n2025-01-03T00:00:00Z,2025-01-04T00:00:00Z,north,storm\n")
    small = series(20, labels={"events": str(events)}, training={"exclude_events": True, "detectors": ["LevelShift"]})
    small.fill(lake)
    exclusions.sync(small.spec, lake)
    (found,) = exclusions.read(small.spec, lake)
    assert (found.where, found.reason, found.source) == ({"meter": ("north",)}, "storm", "events")
    # Labelled anomalies are left out of what is fitted, 24 hourly points of one meter.
    assert sum(read(small.spec, lake).excluded.values()) == 24


# -------------------------------------------------------------------------------------------------- the rows


def test_rows_of_an_incident_are_dropped(shop: Small, lake: Lake) -> None:
    whole = read(shop.spec, lake)
    exclusions.add(shop.spec, lake, [incident(3, 4, hour=12, reason="outage")])
    split = read(shop.spec, lake)
    out = (shop.rows["at"] >= "2025-01-03T12:00Z") & (shop.rows["at"] < "2025-01-04T12:00Z")
    assert out.sum() == ROWS
    np.testing.assert_array_equal(split.train["amount"], shop.rows["amount"][: 8 * ROWS][~out[: 8 * ROWS]])
    assert list(split.train.columns) == list(whole.train.columns)
    (told,) = split.excluded
    assert split.excluded[told] == ROWS
    assert told == "2025-01-03 12:00 … 2025-01-04 12:00: outage (manual)"


def test_only_rows_with_a_value_are_dropped(shop: Small, lake: Lake) -> None:
    exclusions.add(shop.spec, lake, [incident(1, 3, where={"country": ("DE",)})])
    split = read(shop.spec, lake)
    german = int((shop.rows["country"][: 2 * ROWS] == "DE").sum())
    assert 0 < german < 2 * ROWS
    assert len(split.train) == 8 * ROWS - german


def test_a_column_that_is_no_feature_can_name_rows(shop: Small, lake: Lake) -> None:
    exclusions.add(shop.spec, lake, [incident(1, 11, where={"id": ("5", "7")})])
    assert sum(read(shop.spec, lake).excluded.values()) == 2


def test_the_hold_out_has_no_incidents_either(shop: Small, lake: Lake) -> None:
    # The last day but one: the hold-out is the last two.
    exclusions.add(shop.spec, lake, [incident(9, 10, hour=12)])
    assert len(read(shop.spec, lake).holdout) == ROWS


def test_a_labelled_anomaly_stays_in_the_hold_out_to_be_found(lake: Lake) -> None:
    small = records()
    small.fill(lake)
    exclusions.add(small.spec, lake, [incident(9, 11, hour=1)])
    split = read(small.spec, lake)
    assert split.holdout_labels is not None
    assert split.holdout_labels.sum() == small.rows["fraud"][8 * ROWS :].sum()


def test_a_partition_that_is_out_as_a_whole_makes_room_for_an_older_one(lake: Lake) -> None:
    small = records(labels=None, training={"window": 5, "min_rows": 50})
    small.fill(lake)
    exclusions.add(small.spec, lake, [incident(8, 9)])
    window = training.choose_window(small.spec, lake)
    assert window.partitions == tuple(f"2025-01-{day:02}" for day in (5, 6, 7, 9, 10))
    assert window.without == ("2025-01-08",)
    assert training.Window.from_json(window.to_json(), lake, "shop") == window


def test_all_left_out_is_too_little_and_says_where_it_went(shop: Small, lake: Lake) -> None:
    exclusions.add(shop.spec, lake, [incident(1, 11)])
    with pytest.raises(NotEnoughData, match=r"10 more partitions are left out, `pynomaly exclude shop --list`"):
        training.choose_window(shop.spec, lake)


def test_points_of_a_series_keep_their_place_and_are_not_learnt(lake: Lake) -> None:
    small = series(20)
    small.fill(lake)
    before = read(small.spec, lake)
    exclusions.add(small.spec, lake, [incident(3, 4, where={"series": ("north/load",)})])
    split = read(small.spec, lake)
    assert len(split.train) == len(before.train)
    marked = split.train[split.train[training.EXCLUDED]]
    assert set(marked["series"]) == {"north/load"}
    assert (marked["timestamp"].min(), len(marked)) == (START + np.timedelta64(2, "D"), 24)
    fitted = training.fit(small.spec, small.spec.detectors[0], split.train)
    assert fitted.rows_fitted == training.fit(small.spec, small.spec.detectors[0], before.train).rows_fitted - 24


def test_points_of_an_incident_are_no_evidence(lake: Lake) -> None:
    small = series(20)
    small.fill(lake)
    exclusions.add(small.spec, lake, [incident(18, 19)])
    split = read(small.spec, lake)
    judged = split.judged(np.ones(len(split.holdout)))
    np.testing.assert_array_equal(np.isnan(judged), split.holdout["timestamp"].dt.day == 18)


# --------------------------------------------------------------------------------------------- reproducible


def test_a_training_says_what_it_left_out_and_can_be_repeated(shop: Small, lake: Lake, registry: Registry) -> None:
    spec = records(labels=None, training={"detectors": ["HBOS"]}).spec
    exclusions.add(spec, lake, [incident(3, 4, hour=12, reason="outage")])
    (version,) = training.train(spec, lake, registry)
    run = registry._client().get_run(version.run_id)
    assert run.data.params["rows_excluded"] == str(ROWS)
    model = registry._client().get_model_version("shop", str(version.number))
    assert "## Left out as known incidents\n\n- 2025-01-03 12:00 … 2025-01-04 12:00: outage (manual): 60 rows" in str(
        model.description
    )
    first = read(spec, lake)
    exclusions.add(spec, lake, [incident(5, 6)])
    window = training.Window.from_json(version.tags["window"], lake, "shop")
    assert json.loads(version.tags["window"])["exclusions"] == 1
    again = training.read_window(spec, lake, window)
    assert again.train.equals(first.train)
    assert len(read(spec, lake).train) < len(first.train)


def test_drift_forgets_what_came_before(shop: Small, lake: Lake) -> None:
    calendar = Calendar(shop.spec)
    exclusions.forget_before(shop.spec, lake, calendar.partition("2025-01-06"), "drift of amount")
    assert training.choose_window(shop.spec, lake).partitions == tuple(f"2025-01-{day:02}" for day in range(6, 11))
