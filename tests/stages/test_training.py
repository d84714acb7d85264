"""A window of validated partitions -> fitted candidates: which rows, which of them held out, what is registered."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Detector
from pynomaly_pipelines.operations.errors import NotEnoughData, TableError, UnknownDetector
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages import training
from tests.small_pipelines import ROWS, START, Small, Trained, put, records, series, spec


def days(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"2025-01-{day:02}" for day in range(first, last + 1))


# --------------------------------------------------------------------------------------------------- window


def test_the_window_is_the_latest_partitions(lake: Lake) -> None:
    small = records(training={"window": 7, "min_rows": 50})
    small.fill(lake)
    window = training.choose_window(small.spec, lake)
    assert window.partitions == days(4, 10)
    # A fifth of seven, rounded: the latest one.
    assert window.holdout == days(10, 10)
    assert window.table_version == lake.version("shop", "validated")


@pytest.mark.parametrize(("count", "held"), [(4, 0), (5, 1), (8, 2), (10, 2)])
def test_a_fifth_of_the_partitions_is_held_out(lake: Lake, count: int, held: int) -> None:
    small = records(count)
    small.fill(lake)
    assert training.choose_window(small.spec, lake).holdout == days(count - held + 1, count)


def test_partitions_without_valid_rows_do_not_count(lake: Lake) -> None:
    small = records(6)
    put(lake, small.spec, small.rows, partitions=days(7, 9))
    assert training.choose_window(small.spec, lake).partitions == days(1, 6)


def test_too_few_rows_are_told_with_their_number(lake: Lake) -> None:
    small = records(3)
    small.fill(lake)
    with pytest.raises(NotEnoughData, match=r"180 valid rows in 3 partitions.*at least 200"):
        training.choose_window(small.spec, lake)


def test_nothing_validated_yet(lake: Lake) -> None:
    with pytest.raises(TableError, match="'validated' of pipeline 'shop' does not exist"):
        training.choose_window(spec(), lake)


def test_zero_rows_after_validation(lake: Lake) -> None:
    small = records(1)
    put(lake, small.spec, small.rows.iloc[:0], partitions=days(1, 3))
    with pytest.raises(NotEnoughData, match="0 valid rows in 0 partitions"):
        training.choose_window(small.spec, lake)


def test_a_window_is_read_again_from_its_tag(lake: Lake) -> None:
    small = records()
    small.fill(lake)
    window = training.choose_window(small.spec, lake)
    later = small.rows.assign(at=small.rows["at"] + pd.Timedelta(days=10))
    put(lake, small.spec, later)
    assert training.Window.from_json(window.to_json(), lake, "shop") == window
    assert json.loads(window.to_json())["holdout_from"] == "2025-01-09"


def test_a_window_does_not_see_later_changes(lake: Lake) -> None:
    small = records()
    small.fill(lake)
    window = training.choose_window(small.spec, lake)
    before = training.read_window(small.spec, lake, window)
    put(lake, small.spec, small.rows.assign(amount=0.0))
    again = training.read_window(small.spec, lake, window)
    pd.testing.assert_frame_equal(before.train, again.train)
    pd.testing.assert_frame_equal(before.holdout, again.holdout)


# ---------------------------------------------------------------------------------------------------- split


def test_the_holdout_is_later_than_what_is_fitted(lake: Lake) -> None:
    small = records()
    small.fill(lake)
    split = training.read_window(small.spec, lake, training.choose_window(small.spec, lake))
    # Ten days of 60 rows: eight are fitted, two are held out.
    expected = small.rows[["amount", "tax", "items", "country", "gift"]]
    pd.testing.assert_frame_equal(split.train, expected.iloc[: 8 * ROWS], check_dtype=False)
    pd.testing.assert_frame_equal(split.holdout, expected.iloc[8 * ROWS :].reset_index(drop=True), check_dtype=False)
    assert split.train_labels is not None
    assert split.holdout_labels is not None
    np.testing.assert_array_equal(
        np.r_[split.train_labels, split.holdout_labels], small.rows["fraud"].to_numpy("float64")
    )


def whole(**attributes: Any) -> Small:
    return records(partition="whole", start=None, source={"type": "csv", "path": "a.csv"}, **attributes)


def test_the_whole_is_split_row_by_row(lake: Lake) -> None:
    small = whole(training={"seed": 3})
    small.fill(lake)
    split = training.read_window(small.spec, lake, training.choose_window(small.spec, lake))
    # Three tenths of 600, give or take three standard deviations.
    assert 147 <= len(split.holdout) <= 213
    together = pd.concat([split.train, split.holdout]).sort_values("amount")["amount"].to_numpy()
    np.testing.assert_array_equal(together, np.sort(small.rows["amount"].to_numpy()))
    other = small.spec.model_copy(update={"training": small.spec.training.model_copy(update={"seed": 4})})
    different = training.read_window(other, lake, training.choose_window(other, lake))
    assert not split.holdout.equals(different.holdout)


@pytest.mark.parametrize("key", ["id", ()])
def test_a_row_stays_on_its_side_when_rows_are_added(lake: Lake, key: str) -> None:
    small = whole(key=key, ignore=() if key else ("id",))
    half = Small(small.spec, small.rows.iloc[:300])
    half.fill(lake)
    before = training.read_window(small.spec, lake, training.choose_window(small.spec, lake))
    # The table grows, in another order, and what was unknown of a label is known now.
    Small(small.spec, small.rows.sample(frac=1.0, random_state=1).assign(fraud=1)).fill(lake)
    after = training.read_window(small.spec, lake, training.choose_window(small.spec, lake))
    assert set(before.holdout["amount"]) <= set(after.holdout["amount"])
    assert set(before.train["amount"]) <= set(after.train["amount"])
    assert len(after.holdout) > len(before.holdout)


def test_a_series_is_split_by_time_and_keeps_its_past(lake: Lake) -> None:
    small = series(20)
    # Written in any order: within a partition rows come as the files had them.
    put(lake, small.spec, small.rows.sample(frac=1.0, random_state=1))
    split = training.read_window(small.spec, lake, training.choose_window(small.spec, lake))
    border = START + pd.Timedelta(days=16)
    assert (split.train["timestamp"] < border).all()
    assert (split.holdout["timestamp"] >= border).all()
    assert split.train["timestamp"].is_monotonic_increasing
    assert split.holdout["timestamp"].is_monotonic_increasing
    # One value of one meter is missing.
    assert (len(split.train), len(split.holdout)) == (2 * 24 * 16 - 1, 2 * 24 * 4)
    pd.testing.assert_frame_equal(split.history, split.train)


def test_a_whole_series_is_split_at_its_last_fifth(lake: Lake) -> None:
    small = series(10, partition="whole", start=None, source={"type": "csv", "path": "a.csv"})
    small.fill(lake)
    split = training.read_window(small.spec, lake, training.choose_window(small.spec, lake))
    assert split.train["timestamp"].max() < split.holdout["timestamp"].min()
    assert len(split.holdout) == pytest.approx(0.2 * 479, abs=3)


# ------------------------------------------------------------------------------------------------- sampling


def sampled(lake: Lake, most: int, seed: int = 0) -> pd.DataFrame:
    small = records(training={"max_rows": most, "seed": seed, "min_rows": 50})
    if not lake.exists("shop", "validated"):
        small.fill(lake)
    split = training.read_window(small.spec, lake, training.choose_window(small.spec, lake))
    return pd.concat([split.train, split.holdout], ignore_index=True)


def test_more_rows_than_allowed_are_sampled_the_same_way_each_time(lake: Lake) -> None:
    once, again, other = sampled(lake, 100), sampled(lake, 100), sampled(lake, 100, seed=1)
    assert len(once) == 100
    pd.testing.assert_frame_equal(once, again)
    assert not once.equals(other)


def test_each_partition_gives_its_share_without_repeats(lake: Lake) -> None:
    found = sampled(lake, 300)
    rows = records().rows
    origin = [int(np.flatnonzero(rows["amount"].to_numpy() == value)[0]) for value in found["amount"]]
    assert len(set(origin)) == 300
    assert set(Counter(row // ROWS for row in origin).values()) == {30}
    assert origin == sorted(origin)


def test_the_limit_holds_where_shares_are_no_whole_rows(lake: Lake) -> None:
    # 595 of 600 rows are 59.5 of each day's 60.
    assert len(sampled(lake, 595)) == 590


def test_a_partitions_sample_does_not_depend_on_its_neighbours(lake: Lake) -> None:
    small = records()
    small.fill(lake)
    window = training.Window(days(1, 10), (), lake.version("shop", "validated"), 300, 0)
    half = training.Window(days(4, 6), (), lake.version("shop", "validated"), 90, 0)
    whole = dict(training.read_sampled(small.spec, lake, window))
    alone = dict(training.read_sampled(small.spec, lake, half))
    for key in days(4, 6):
        assert whole[key].equals(alone[key])


def test_a_series_is_never_thinned(lake: Lake) -> None:
    small = series(20, training={"max_rows": 100, "detectors": ["SeasonalResidual"]})
    small.fill(lake)
    split = training.read_window(small.spec, lake, training.choose_window(small.spec, lake))
    assert len(split.train) + len(split.holdout) == 2 * 24 * 20 - 1


# ------------------------------------------------------------------------------------------------- training


def test_candidates_are_versions_with_aliases(shop: Trained) -> None:
    found = shop.registry.candidates("shop")
    assert sorted((v.number, v.detector) for v in found) == [(1, "IForest"), (2, "HBOS")]
    aliases = {alias for v in found for alias in v.aliases}
    assert {"candidate-1-iforest", "candidate-2-hbos"} <= aliases


def test_the_next_training_takes_the_candidates_aliases(shop_copy: Trained) -> None:
    one = shop_copy.spec.model_copy(
        update={"training": shop_copy.spec.training.model_copy(update={"detectors": shop_copy.spec.detectors[1:]})}
    )
    (version,) = training.train(one, shop_copy.lake, shop_copy.registry)
    assert version.number == 3
    assert [v.number for v in shop_copy.registry.candidates("shop")] == [3]


def test_a_version_says_what_it_was_trained_on(shop: Trained) -> None:
    tags = shop.versions[0].tags
    assert tags["data_version"] == "shop/validated@1"
    assert tags["threshold_rule"] == "alert rate 0.02"
    # -log10(0.02) / (1 - log10(0.02)): the score that one ordinary row in fifty exceeds.
    assert float(tags["threshold"]) == pytest.approx(1.6989700043 / 2.6989700043, abs=1e-9)
    assert (tags["kind"], tags["detector"]) == ("records", "IForest")
    assert json.loads(tags["window"])["count"] == 10


def test_a_fixed_threshold_is_taken_as_it_is(lake: Lake, registry: Registry) -> None:
    small = records(4, threshold={"score": 0.9}, training={"detectors": ["HBOS"]})
    small.fill(lake)
    (version,) = training.train(small.spec, lake, registry)
    assert version.threshold == 0.9
    assert version.tags["threshold_rule"] == "fixed score"


def test_the_same_window_and_seed_give_the_same_scorer(shop: Trained) -> None:
    split = training.read_window(shop.spec, shop.lake, training.choose_window(shop.spec, shop.lake))
    kept = shop.registry.load(shop.versions[0])
    anew = Detector("IForest", seed=0, n_estimators=25).fit(split.train)
    np.testing.assert_array_equal(kept.score(split.holdout), anew.score(split.holdout))


def test_the_schema_hash_tells_types_apart(shop: Trained) -> None:
    schema = shop.lake.schema("shop", "validated")
    assert shop.versions[0].tags["schema_hash"] == training.schema_hash(schema)
    assert training.schema_hash(schema) != training.schema_hash(schema.remove(0))


def test_the_example_of_a_series_is_one_series(meters: Trained) -> None:
    split = training.read_window(meters.spec, meters.lake, training.choose_window(meters.spec, meters.lake))
    example = training.example_rows(meters.spec, split.train)
    assert list(example.columns) == ["timestamp", "series", "value"]
    assert (len(example), example["series"].nunique()) == (5, 1)


def test_an_unknown_detector_is_told(lake: Lake, registry: Registry) -> None:
    small = records(4, training={"detectors": ["IForrest"]})
    small.fill(lake)
    with pytest.raises(UnknownDetector, match="IForest"):
        training.train(small.spec, lake, registry)


# ----------------------------------------------------------------------------------------------- bad columns


def filled(lake: Lake, **columns: Any) -> Small:
    small = records(5, training={"detectors": [{"IForest": {"n_estimators": 10}}], "min_rows": 1})
    changed = Small(small.spec, small.rows.assign(**columns))
    changed.fill(lake)
    return changed


@pytest.mark.parametrize("value", [3.0, np.nan], ids=["constant", "empty"])
def test_a_column_that_says_nothing_does_not_stop_a_training(value: float, lake: Lake, registry: Registry) -> None:
    small = filled(lake, amount=value)
    (version,) = training.train(small.spec, lake, registry)
    scorer = registry.load(version)
    scores = scorer.score(small.rows[["amount", "tax", "items", "country", "gift"]])
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) > 10


NOTHING = {"amount": np.nan, "tax": np.nan, "items": np.nan, "country": pd.NA, "gift": None}


def test_only_empty_columns_are_an_error(lake: Lake, registry: Registry) -> None:
    small = filled(lake, **NOTHING)
    with pytest.raises(NotEnoughData, match="no column holds a value"):
        training.train(small.spec, lake, registry)


def test_of_constant_columns_a_model_learns_what_is_always_so(lake: Lake, registry: Registry) -> None:
    small = filled(lake, amount=1.0, tax=2.0, items=4, country="DE", gift=False)
    (version,) = training.train(small.spec, lake, registry)
    rows = small.rows[["amount", "tax", "items", "country", "gift"]].head(2).assign(amount=[1.0, 50.0])
    usual, changed = registry.load(version).score(rows)
    assert changed > max(usual, version.threshold)


def test_one_row_is_too_few(lake: Lake, registry: Registry) -> None:
    small = records(1, training={"detectors": ["IForest"], "min_rows": 1})
    Small(small.spec, small.rows.head(1)).fill(lake)
    with pytest.raises(NotEnoughData):
        training.train(small.spec, lake, registry)


def test_a_training_that_fails_registers_nothing(lake: Lake, registry: Registry, tmp_path: Path) -> None:
    small = filled(lake, **NOTHING)
    with pytest.raises(NotEnoughData):
        training.train(small.spec, lake, registry)
    assert registry.versions("shop") == []


# --------------------------------------------------------------------------------------------------- labels


def labelled_rows() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.normal(size=600), "b": rng.normal(size=600)})
    labels = np.where(np.arange(600) % 30 == 0, 1.0, np.where(np.arange(600) % 7 == 0, 0.0, np.nan))
    return frame, labels


@pytest.mark.parametrize(("train", "told"), [(False, "Labels: 0 anomalies"), (True, "Labels: 20 anomalies")])
def test_a_detector_sees_labels_only_where_the_pipeline_says_so(train: bool, told: str) -> None:
    frame, labels = labelled_rows()
    pipeline = spec(labels={"column": "odd", "train": train})
    scorer = training.fit(pipeline, pipeline.detectors[0], frame, training.shown_labels(pipeline, labels))
    assert told in scorer.card()


def test_a_series_leaves_known_anomalies_out() -> None:
    hours = pd.date_range("2025-01-01", periods=24 * 28, freq="h", tz="UTC")
    frame = pd.DataFrame({"timestamp": hours, "series": "m", "value": np.sin(np.arange(len(hours)) / 24 * 2 * np.pi)})
    labels = np.zeros(len(hours))
    labels[100:112] = 1
    pipeline = spec(kind="series", key=(), features=(), values=["value"], labels={"column": "odd", "train": True})
    scorer = training.fit(pipeline, pipeline.detectors[1], frame, training.shown_labels(pipeline, labels))
    assert scorer.rows_fitted == len(hours) - 12
