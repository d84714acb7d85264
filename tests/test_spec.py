"""What a user may write: defaults, and each rule between values."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from pynomaly_pipelines.spec import SCORE_COLUMNS, PipelineSpec

CSV: dict[str, Any] = {"type": "csv", "path": "in/*.csv"}
DAILY: dict[str, Any] = {"time": "at", "partition": "daily", "start": "2025-01-01"}
SERIES: dict[str, Any] = {"kind": "series", "time": "at", "values": ["v"]}


def made(**attributes: Any) -> PipelineSpec:
    return PipelineSpec.model_validate({"name": "shop", "source": CSV, **attributes})


def told(**attributes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        made(**attributes)
    return str(caught.value)


def test_two_lines_are_a_pipeline() -> None:
    spec = made()
    assert (spec.kind, spec.partition, spec.timezone) == ("records", "whole", "UTC")
    assert [choice.name for choice in spec.detectors] == ["auto", "IForest"]
    assert (spec.alert_rate, spec.reasons) == (0.005, 3)
    assert (spec.training.window, spec.training.min_rows, spec.training.max_rows) == (90, 200, 200_000)
    assert (spec.validation.max_quarantined, spec.validation.min_rows) == (0.2, 1)
    assert spec.promotion.automatic
    assert spec.automation.retrain == "0 3 * * 0"
    assert spec.labels is None


def test_a_series_has_a_plain_detector_of_its_own() -> None:
    assert [choice.name for choice in made(**SERIES).detectors] == ["auto", "SeasonalResidual"]


def test_a_spec_does_not_change() -> None:
    spec = made()
    with pytest.raises(ValidationError, match="frozen"):
        spec.reasons = 5


def test_one_name_is_a_list_of_one() -> None:
    spec = made(key="id", features="amount", ignore="note")
    assert (spec.key, spec.features, spec.ignore) == (("id",), ("amount",), ("note",))


def test_expectations_and_detectors_are_written_short() -> None:
    spec = made(
        expectations=["expect_table_columns_to_match_set", {"expect_x": {"column": "a", "severity": "warn"}}],
        training={"detectors": ["auto", {"HBOS": None}, {"IForest": {"n_estimators": 5}}, {"name": "KNN"}]},
    )
    first, second = spec.expectations
    assert (first.name, first.arguments, first.severity) == ("expect_table_columns_to_match_set", {}, "error")
    assert (second.name, second.arguments, second.severity) == ("expect_x", {"column": "a"}, "warn")
    shown = [(choice.name, choice.parameters) for choice in spec.detectors]
    assert shown == [("auto", {}), ("HBOS", {}), ("IForest", {"n_estimators": 5}), ("KNN", {})]


def test_an_expectation_knows_its_columns() -> None:
    (one,) = made(
        expectations=[{"expect_x": {"column_A": "a", "column_B": "b", "column_list": ["c", "d"]}}]
    ).expectations
    assert one.columns == ("a", "b", "c", "d")


def test_not_features_are_time_key_ignored_and_label() -> None:
    spec = made(**DAILY, key="id", ignore="note", labels={"column": "fraud"})
    assert spec.not_features == {"at", "id", "note", "fraud"}


@pytest.mark.parametrize(("path", "dated"), [("in/%Y-%m-%d.csv", True), ("in/100%.csv", False), ("in/*.csv", False)])
def test_date_codes_make_a_path_dated(path: str, dated: bool) -> None:
    assert made(**DAILY, source={**CSV, "path": path}).source.dated is dated


def test_dates_are_dates() -> None:
    spec = made(**DAILY, end=date(2025, 2, 1))
    assert (spec.start, spec.end) == (date(2025, 1, 1), date(2025, 2, 1))


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"partition": "daily", "start": "2025-01-01"}, "`partition: daily` needs `time`"),
        ({"partition": "daily", "time": "at"}, "`partition: daily` needs `start`"),
        ({"kind": "series", "values": ["v"]}, "`kind: series` needs `time`"),
        ({"kind": "series", "time": "at"}, "`kind: series` needs `values`"),
        ({**SERIES, "features": ["v"]}, "`features` belongs to `kind: records`"),
        ({"values": ["v"]}, "belong to `kind: series`"),
        ({"series": ["s"]}, "belong to `kind: series`"),
        ({**DAILY, "end": "2025-01-01"}, "must be later than `start`"),
        ({"source": {**CSV, "path": "in/%Y.csv"}}, "has date codes"),
        ({"features": ["a", "y"], "labels": {"column": "y"}}, "the detector would see the answer"),
        ({**SERIES, "labels": {"column": "v"}}, "the detector would see the answer"),
        ({"labels": {"events": "e.csv"}}, "`labels.events` needs `time`"),
        ({"labels": {}}, "give `column` or `events`"),
        ({"labels": {"column": "y", "events": "e.csv"}}, "give `column` or `events`"),
        ({"threshold": {"alert_rate": 0.1, "score": 0.9}}, "give one of `alert_rate`, `score`, `budget` and `labels`"),
        ({"training": {"detectors": [{"IForest": {"seed": 1}}]}}, "takes its seed from `training.seed`"),
        ({"training": {"detectors": [{"IForest": {}, "HBOS": {}}]}}, "a detector is a name or one mapping"),
        ({"expectations": [{"expect_a": {}, "expect_b": {}}]}, "an expectation is one mapping"),
        ({"expectations": [{"expect_a": ["column"]}]}, "the arguments of expect_a are a mapping"),
    ],
)
def test_a_broken_rule_is_told(attributes: dict[str, Any], rule: str) -> None:
    assert rule in told(**attributes)


@pytest.mark.parametrize("role", ["columns", "key", "features", "ignore", "time", "labels"])
def test_names_with_an_underscore_are_reserved(role: str) -> None:
    value: Any = {"columns": {"_a": "number"}, "time": "_a", "labels": {"column": "_a"}}.get(role, ["_a"])
    assert "are the product's own" in told(**{role: value})


@pytest.mark.parametrize("name", sorted(SCORE_COLUMNS))
def test_what_identifies_a_row_is_not_named_like_a_column_of_scores(name: str) -> None:
    assert "the table of scores has a column of that name" in told(key=[name])
    # A feature is not in that table.
    assert made(features=[name]).features == (name,)


@pytest.mark.parametrize(
    "attributes",
    [
        {"name": "Shop"},
        {"name": "1shop"},
        {"name": "a" * 64},
        {"timezone": "Mars/Base"},
        {"automation": {"retrain": "whenever"}},
        {"automation": {"schedule": "0 3 * * * *"}},
        {"automation": {"retries": 11}},
        {"automation": {"partitions_per_run": 0}},
        {"validation": {"max_quarantined": 1.1}},
        {"validation": {"min_rows": -1}},
        {"training": {"window": 0}},
        {"training": {"detectors": []}},
        {"threshold": {"alert_rate": 0.0}},
        {"threshold": {"alert_rate": 1.0}},
        {"threshold": {"score": 1.5}},
        {"promotion": {"tolerance": -0.1}},
        {"reasons": 0},
        {"source": {"type": "cvs", "path": "a"}},
        {"source": {"type": "csv", "path": ""}},
        {"source": {"type": "csv", "path": "a", "delimiter": ";;"}},
        {"source": {"type": "parquet", "path": "a", "delimiter": ";"}},
        {"columns": {"a": "float"}},
        {"partition": "yearly"},
        {"colums": {}},
    ],
)
def test_values_out_of_bounds_are_refused(attributes: dict[str, Any]) -> None:
    assert told(**attributes)


# ---------------------------------------------------------------------------------------- drift and exclusions


def test_drift_is_looked_for_by_default_and_not_learnt_from_a_broken_feed() -> None:
    drift = made(**DAILY).drift
    assert (drift.enabled, drift.alpha, drift.lasting, drift.retrain) == (True, 0.01, 3, True)
    assert drift.retrain_on == ("features", "scores")


@pytest.mark.parametrize(
    ("drift", "problem"),
    [
        ({"alpha": 0}, "greater than 0"),
        ({"lasting": 0}, "greater than 0"),
        ({"min_partitions": 4}, "greater than or equal to 5"),
        ({"retrain_on": ["prices"]}, "'features', 'scores' or 'quality'"),
    ],
)
def test_settings_of_drift_that_make_no_sense(drift: dict[str, Any], problem: str) -> None:
    assert problem in told(**DAILY, drift=drift)


def test_an_exclusion_has_an_end_after_its_start() -> None:
    assert "must be later than" in told(**DAILY, training={"exclude": [{"start": "2025-02-02", "end": "2025-02-01"}]})


def test_an_exclusion_names_rows_by_any_value() -> None:
    (found,) = made(
        **DAILY, training={"exclude": [{"start": "2025-02-01", "end": "2025-02-02T12:00", "where": {"store": 12}}]}
    ).training.exclude
    assert found.where == {"store": ("12",)}
    assert found.end == datetime(2025, 2, 2, 12)  # noqa: DTZ001 (naive until the pipeline's zone is known)


def test_exclusions_need_what_they_go_by() -> None:
    assert "needs `time`" in told(training={"exclude": [{"start": "2025-02-01", "end": "2025-02-02"}]})
    assert "needs `labels.events`" in told(**DAILY, training={"exclude_events": True})
