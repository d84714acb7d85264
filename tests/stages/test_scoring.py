"""Validated rows and the champion -> scores: the scorer's own, once, with reasons, whatever else is in the run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import DetectorError, NoChampion
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages import scoring
from pynomaly_pipelines.stages.promotion.registration import Trace, promote, rollback
from pynomaly_pipelines.stages.summary import as_json_lines, pictures, readable, summarise, top_scores
from tests.small_pipelines import ROWS, START, Small, Trained, put, records, series, spec, trained

FEATURES = ["amount", "tax", "items", "country", "gift"]
WHEN_AND_WHO = ["scored_at", "run_id"]


def same_scores(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Bit for bit, reasons included; only who scored when may differ."""
    keep = [column for column in one.columns if column not in WHEN_AND_WHO]
    assert list(one.columns) == list(other.columns)
    for column in keep:
        left, right = one[column].tolist(), other[column].tolist()
        assert [repr(value) for value in left] == [repr(value) for value in right], column


# -------------------------------------------------------------------------------------------------- records


def test_scores_are_the_scorers_own(shop: Trained) -> None:
    stored = shop.scores()
    expected = shop.registry.load(shop.registry.champion("shop")).assess(shop.small.rows[FEATURES], top=0)
    np.testing.assert_array_equal(stored["score"].to_numpy(), expected.score)
    np.testing.assert_array_equal(stored["raw_score"].to_numpy(), expected.raw_score)


def test_each_row_keeps_what_identifies_it(shop: Trained) -> None:
    stored = shop.scores()
    assert stored["id"].tolist() == list(range(600))
    assert stored["at"].tolist() == shop.small.rows["at"].tolist()
    assert stored["_partition"].tolist() == [f"2025-01-{1 + row // ROWS:02}" for row in range(600)]
    assert stored["_row"].tolist() == list(range(600))
    # Features stay in the table of validated rows.
    assert "amount" not in stored.columns


def test_each_row_says_who_scored_it(shop: Trained) -> None:
    stored = shop.scores()
    champion = shop.registry.champion("shop")
    assert set(stored["model_version"]) == {champion.number}
    assert set(stored["model_run_id"]) == {champion.run_id}
    assert set(stored["run_id"]) == {"run-1"}
    assert set(stored["threshold"]) == {champion.threshold}
    assert stored["scored_at"].nunique() == 1


def test_an_anomaly_lies_over_the_threshold(shop: Trained) -> None:
    stored = shop.scores()
    np.testing.assert_array_equal(stored["is_anomaly"], stored["score"] > stored["threshold"])
    assert 0 < stored["is_anomaly"].sum() < 60
    # The frauds of the data are far off.
    assert stored.loc[shop.small.rows["fraud"] == 1, "is_anomaly"].mean() > 0.7


def test_anomalies_have_reasons_and_ordinary_rows_none(shop: Trained) -> None:
    stored = shop.scores()
    told = stored["reasons"].map(lambda reasons: reasons is not None)
    assert told[stored["is_anomaly"]].all()
    assert not told[stored["score"] < 0.3].any()
    for row, reasons in zip(stored.index[told], stored.loc[told, "reasons"], strict=True):
        assert 1 <= len(reasons) <= 3
        shares = [reason["share"] for reason in reasons]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1 + 1e-9
        for reason in reasons:
            assert reason["column"] in FEATURES
            if reason["column"] == "items":
                assert float(reason["value"]) == shop.small.rows.loc[row, "items"]


def test_a_frauds_first_reason_is_what_was_changed(shop: Trained) -> None:
    stored = shop.scores()
    first = [r[0]["column"] for r in stored.loc[(shop.small.rows["fraud"] == 1) & stored["is_anomaly"], "reasons"]]
    assert set(first) <= {"tax", "items"}


def test_the_report_counts(shop: Trained) -> None:
    stored, report = shop.scores(), shop.scoring
    assert (report.rows, report.unscored) == (600, 0)
    assert report.anomalies == stored["is_anomaly"].sum()
    assert report.per_partition["2025-01-03"] == (
        60,
        int(stored.loc[stored["_partition"] == "2025-01-03", "is_anomaly"].sum()),
    )
    assert report.top["score"].is_monotonic_decreasing
    assert len(report.top) == 20
    assert {"scores.png", "reasons.png"} <= set(report.pictures)


def test_a_partition_scored_twice_is_there_once(shop_copy: Trained) -> None:
    before = shop_copy.scores()
    keys = shop_copy.partitions("2025-01-03", "2025-01-04")
    scoring.score(shop_copy.spec, keys, shop_copy.lake, shop_copy.registry, run_id="run-2")
    after = shop_copy.scores()
    assert len(after) == 600
    same_scores(before, after)
    again = after["_partition"].isin(["2025-01-03", "2025-01-04"])
    assert set(after.loc[again, "run_id"]) == {"run-2"}
    assert set(after.loc[~again, "run_id"]) == {"run-1"}


def test_one_partition_alone_scores_as_in_the_range(shop_copy: Trained) -> None:
    before = shop_copy.scores()
    for key in ("2025-01-01", "2025-01-10"):
        scoring.score(shop_copy.spec, shop_copy.partitions(key), shop_copy.lake, shop_copy.registry)
    same_scores(before, shop_copy.scores())


def test_a_column_with_gaps_scores_alike_alone_and_in_the_range(
    tmp_path: Path, new_registry: Callable[[Path], Registry]
) -> None:
    # Integers and booleans change their pandas type where a value is missing; one row must not change another.
    small = records(6, training={"detectors": [{"IForest": {"n_estimators": 10}}]})
    rows = small.rows.astype({"items": "Int64", "gift": "boolean"})
    rows.loc[rows.index % 11 == 3, "gift"] = pd.NA
    rows.loc[rows.index % 13 == 5, "items"] = pd.NA
    rows.loc[rows.index < ROWS, ["items"]] = 4
    rows.loc[rows.index < ROWS, ["gift"]] = True
    made = trained(Small(small.spec, rows), tmp_path, new_registry)
    whole = made.scores()
    for key in ("2025-01-01", "2025-01-02"):
        scoring.score(made.spec, made.partitions(key), made.lake, made.registry)
    same_scores(whole, made.scores())


def test_rescoring_after_a_rollback_replaces_everything(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    before = shop_copy.scores()
    promote(shop_copy.spec, shop_copy.lake, registry, 2, Trace("ann"))
    scoring.score(shop_copy.spec, shop_copy.partitions(), shop_copy.lake, registry)
    other = shop_copy.scores()
    assert set(other["model_version"]) == {2}
    assert not np.array_equal(other["score"], before["score"])
    rollback(shop_copy.spec, shop_copy.lake, registry, Trace("ann"))
    scoring.score(shop_copy.spec, shop_copy.partitions(), shop_copy.lake, registry)
    same_scores(before, shop_copy.scores())


def test_no_champion_no_scores(lake: Lake, registry: Registry) -> None:
    small = records(1)
    small.fill(lake)
    with pytest.raises(NoChampion, match="'shop' has no champion"):
        scoring.score(small.spec, [], lake, registry)
    assert not lake.exists("shop", "scores")


def test_a_partition_that_became_empty_loses_its_scores(shop_copy: Trained) -> None:
    put(shop_copy.lake, shop_copy.spec, shop_copy.small.rows.iloc[:0], partitions=["2025-01-03"])
    report = scoring.score(shop_copy.spec, shop_copy.partitions("2025-01-03"), shop_copy.lake, shop_copy.registry)
    assert (report.rows, report.anomalies) == (0, 0)
    assert report.per_partition == {"2025-01-03": (0, 0)}
    assert shop_copy.scores("2025-01-03").empty
    assert len(shop_copy.scores()) == 540


def test_rows_without_a_column_of_the_model_are_refused(shop_copy: Trained) -> None:
    narrow = shop_copy.spec.model_copy(update={"features": ("amount", "items")})
    before = shop_copy.scores()
    with pytest.raises(DetectorError, match="tax"):
        scoring.score(narrow, shop_copy.partitions("2025-01-01"), shop_copy.lake, shop_copy.registry)
    same_scores(before, shop_copy.scores())


# --------------------------------------------------------------------------------------------------- series


def test_points_are_the_scorers_own(meters: Trained) -> None:
    stored = meters.scores()
    points = stored.rename(columns={"at": "timestamp"})[["timestamp", "series", "value"]]
    expected = meters.registry.load(meters.registry.champion("meters")).score(points)
    np.testing.assert_array_equal(stored["score"].to_numpy(), expected)


def test_each_value_of_each_series_is_a_point(meters: Trained) -> None:
    stored = meters.scores()
    assert len(stored) == 2 * 24 * 28 - 1
    assert set(stored["series"]) == {"north/load", "south/load"}
    merged = stored.merge(meters.small.rows, on=["at", "meter"])
    np.testing.assert_array_equal(merged["value"], merged["load"])


def test_the_spike_is_the_worst_point(meters: Trained) -> None:
    worst = top_scores(meters.spec, meters.lake, 1).iloc[0]
    assert worst["value"] == 400.0
    assert worst["is_anomaly"]
    assert worst["reasons"][0]["value"] == "400"


def test_a_day_alone_scores_as_with_all_days(
    meters: Trained, tmp_path: Path, new_registry: Callable[[Path], Registry]
) -> None:
    mine = meters.copy(tmp_path / "mine", new_registry)
    before = mine.scores()
    for key in ("2025-01-20", "2025-01-27", "2025-01-28"):
        scoring.score(mine.spec, mine.partitions(key), mine.lake, mine.registry)
    same_scores(before, mine.scores())


def test_days_apart_see_the_days_between_them(
    meters: Trained, tmp_path: Path, new_registry: Callable[[Path], Registry]
) -> None:
    mine = meters.copy(tmp_path / "mine", new_registry)
    before = mine.scores()
    scoring.score(mine.spec, mine.partitions("2025-01-15", "2025-01-28"), mine.lake, mine.registry)
    same_scores(before, mine.scores())


def test_points_without_a_past_are_counted_not_scored(meters: Trained) -> None:
    stored = meters.scores()
    unscored = stored["score"].isna()
    assert meters.scoring.unscored == unscored.sum()
    assert not stored.loc[unscored, "is_anomaly"].any()


def test_an_id_column_may_be_called_series(tmp_path: Path, new_registry: Callable[[Path], Registry]) -> None:
    small = series(14, series="series", values="value")
    made = Small(small.spec, small.rows.rename(columns={"meter": "series", "load": "value"}))
    stored = trained(made, tmp_path, new_registry).scores()
    assert set(stored["series"]) == {"north/value", "south/value"}
    assert stored["value"].notna().all()


# -------------------------------------------------------------------------------------------- what is shown


def test_the_schema_of_scores_is_that_of_the_table(shop: Trained, meters: Trained) -> None:
    for pipeline in (shop, meters):
        validated = pipeline.lake.schema(pipeline.spec.name, "validated")
        stored = pipeline.lake.schema(pipeline.spec.name, "scores")
        assert scoring.scores_schema(pipeline.spec, validated).names == stored.names


@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        (None, ""),
        ([], ""),
        ([{"column": "a", "value": "5", "usual": "0 … 1", "share": 1.0}], "a = 5 (usually 0 … 1)"),
        (
            [
                {"column": "a", "value": "5", "usual": "0 … 1", "share": 0.7},
                {"column": "b", "value": "x", "usual": "y", "share": 0.2},
            ],
            "a = 5 (usually 0 … 1); b = x (usually y)",
        ),
    ],
)
def test_reasons_as_text(reasons: list[dict[str, object]] | None, text: str) -> None:
    assert scoring.reason_text(reasons) == text


def test_top_scores_are_the_highest_of_all_partitions(shop: Trained) -> None:
    stored = shop.scores()
    top = top_scores(shop.spec, shop.lake, 7)
    assert top["score"].tolist() == sorted(stored["score"], reverse=True)[:7]
    assert len(top_scores(shop.spec, shop.lake)) == 600
    one = top_scores(shop.spec, shop.lake, 5, ["2025-01-02"])
    assert set(one["_partition"]) == {"2025-01-02"}
    assert top_scores(shop.spec, shop.lake, 5, ["2026-01-01"]).empty


def test_a_summary_counts_what_is_in_the_tables(shop: Trained) -> None:
    found = summarise(shop.spec, shop.lake, shop.registry)
    assert (found.pipeline, found.rows, found.quarantined) == ("shop", 0, 0)
    assert (found.trained_on, found.scored) == (480, 600)
    assert found.anomalies == shop.scores()["is_anomaly"].sum()
    assert found.champion is not None


def test_a_summary_of_nothing(lake: Lake, registry: Registry) -> None:
    found = summarise(spec(), lake, registry)
    assert (found.rows, found.trained_on, found.champion, found.scored, found.anomalies) == (0, 0, None, 0, 0)


def test_json_lines_are_json(shop: Trained, meters: Trained) -> None:
    import json

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    for pipeline in (shop, meters):
        stored = top_scores(pipeline.spec, pipeline.lake)
        stored.loc[3, "score"] = np.nan
        lines = [json.loads(line, parse_constant=refuse) for line in as_json_lines(stored)]
        assert lines[3]["score"] is None
        assert lines[0]["score"] == stored.loc[0, "score"]
        assert lines[0]["reasons"][0]["column"] == stored["reasons"].iloc[0][0]["column"]
        assert pd.Timestamp(lines[0]["at"]) == stored.loc[0, "at"]


def test_readable_scores_leave_out_ids_of_programs(shop: Trained) -> None:
    shown = readable(top_scores(shop.spec, shop.lake, 2))
    assert {"id", "at", "score", "threshold", "is_anomaly", "reasons", "model_version", "_partition"} == set(shown)
    assert "usually" in shown["reasons"].iloc[0]


def test_pictures_over_all_scores(shop: Trained, meters: Trained, lake: Lake) -> None:
    assert set(pictures(shop.spec, shop.lake)) == {"scores.png", "anomalies_over_time.png"}
    assert set(pictures(meters.spec, meters.lake)) == {"scores.png", "anomalies_over_time.png", "series.png"}
    put(lake, spec(), records(1).rows.iloc[:0], partitions=["2025-01-01"])
    empty = shop.lake.read("shop", "scores", partitions=[])
    lake.replace("shop", "scores", ["2025-01-01"], empty)
    assert pictures(spec(), lake) == {}


def test_scoring_changes_neither_table_nor_frame(shop: Trained) -> None:
    table = shop.lake.read("shop", "validated", partitions=["2025-01-01"])
    before = copy.deepcopy(table)
    version = shop.registry.champion("shop")
    scoring.assess_rows(shop.spec, shop.registry.load(version), table, None, version.threshold)
    assert table.equals(before)
    assert isinstance(table, pa.Table)
    assert table["at"][0].as_py() == START
