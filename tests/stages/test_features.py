"""Validated rows -> what a detector sees, and the labels that belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import SchemaError, SourceMissing, SourceUnreadable
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages import features


def spec(**attributes: Any) -> PipelineSpec:
    defaults = {"name": "shop", "source": {"type": "csv", "path": "a.csv"}, "time": "at"}
    return PipelineSpec.model_validate(defaults | attributes)


def series_spec(**attributes: Any) -> PipelineSpec:
    return spec(**{"kind": "series", "series": "meter", "values": ["load", "heat"]} | attributes)


def utc(*texts: str | None) -> pa.Array:
    return pa.array([None if t is None else pd.Timestamp(t, tz="UTC") for t in texts], pa.timestamp("us", "UTC"))


@pytest.fixture
def orders() -> pa.Table:
    return pa.table(
        {
            "id": [1, 2, 3],
            "at": utc("2025-01-01T00:00", "2025-01-01T12:00", "2025-01-02T00:00"),
            "amount": [1.0, 2.0, 3.0],
            "country": ["DE", "FR", None],
            "fraud": [0, 1, None],
            "_partition": ["all"] * 3,
            "_row": [0, 1, 2],
        }
    )


@pytest.fixture
def readings() -> pa.Table:
    return pa.table(
        {
            "at": utc("2025-01-01T00:00", "2025-01-01T00:00", "2025-01-01T01:00"),
            "meter": ["n", "s", "n"],
            "load": [1.0, 2.0, None],
            "heat": [10, 20, 30],
            "alarm": [0, 1, 1],
            "_partition": ["all"] * 3,
        }
    )


def events(folder: Path, text: str) -> dict[str, str]:
    (folder / "events.csv").write_text(text, encoding="utf-8")
    return {"events": str(folder / "events.csv")}


# --------------------------------------------------------------------------------------------------- frames


def test_features_are_what_has_no_other_role(orders: pa.Table) -> None:
    made = spec(key="id", labels={"column": "fraud"})
    assert features.feature_names(made, orders.schema) == ["amount", "country"]
    assert features.feature_names(spec(key="id", ignore=["fraud", "country"]), orders.schema) == ["amount"]


def test_named_features_keep_their_order(orders: pa.Table) -> None:
    made = spec(features=["country", "amount"])
    assert features.feature_names(made, orders.schema) == ["country", "amount"]
    frame = features.detector_frame(made, orders)
    assert list(frame.columns) == ["country", "amount"]
    assert frame["amount"].tolist() == [1.0, 2.0, 3.0]
    assert list(frame.index) == [0, 1, 2]


def test_a_key_named_as_a_feature_is_one(orders: pa.Table) -> None:
    assert features.feature_names(spec(key="id", features=["id"]), orders.schema) == ["id"]


def test_an_unknown_feature_is_told_with_the_known_ones(orders: pa.Table) -> None:
    with pytest.raises(SchemaError, match=r"no column 'amonut'.*amount, country"):
        features.feature_names(spec(features=["amonut"]), orders.schema)


def test_no_feature_left_is_an_error(orders: pa.Table) -> None:
    with pytest.raises(SchemaError, match="no feature"):
        features.feature_names(spec(ignore=["id", "amount", "country", "fraud"]), orders.schema)


def test_only_needed_columns_are_read(orders: pa.Table, readings: pa.Table, tmp_path: Path) -> None:
    made = spec(features=["amount"], labels={"column": "fraud"})
    assert features.needed_columns(made, orders.schema) == ["amount", "at", "fraud", "_partition"]
    made = series_spec(values=["load"], labels=events(tmp_path, "start,end,meter,alarm,other\n"))
    assert features.needed_columns(made, readings.schema) == ["meter", "load", "at", "alarm", "_partition"]


def test_a_series_frame_has_one_row_per_value(readings: pa.Table) -> None:
    frame = features.detector_frame(series_spec(), readings)
    assert frame["series"].tolist() == ["n/load", "s/load", "n/heat", "s/heat", "n/heat"]
    assert frame["value"].tolist() == [1.0, 2.0, 10.0, 20.0, 30.0]
    assert frame["_origin"].tolist() == [0, 1, 0, 1, 2]
    assert frame["timestamp"].dt.hour.tolist() == [0, 0, 0, 0, 1]
    assert list(frame.index) == [0, 1, 2, 3, 4]


def test_a_series_without_ids_is_named_by_its_value(readings: pa.Table) -> None:
    rows = readings.filter(pa.array([True, False, True]))
    frame = features.detector_frame(series_spec(series=(), values=["heat"]), rows)
    assert frame["series"].tolist() == ["heat", "heat"]


def test_a_number_may_identify_a_series(readings: pa.Table) -> None:
    rows = readings.append_column("site", pa.array([7, 7, 8]))
    frame = features.detector_frame(series_spec(series=["site", "meter"], values=["heat"]), rows)
    assert frame["series"].tolist() == ["7/n/heat", "7/s/heat", "8/n/heat"]


# --------------------------------------------------------------------------------------------------- labels


def labels(made: PipelineSpec, table: pa.Table) -> list[float | None]:
    found = features.labels_of(made, table, features.detector_frame(made, table))
    assert found is not None
    assert found.dtype == np.float64
    return [None if np.isnan(value) else float(value) for value in found]


def test_without_labels_there_are_none(orders: pa.Table) -> None:
    assert features.labels_of(spec(), orders, features.detector_frame(spec(), orders)) is None


def test_labels_of_a_column(orders: pa.Table) -> None:
    assert labels(spec(labels={"column": "fraud"}), orders) == [0.0, 1.0, None]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([False, True, None]),
        pa.array([0.0, 1.0, float("nan")]),
        pa.array(["0", "1", None]),
        pa.array([0, 1, None], pa.int8()),
    ],
    ids=["boolean", "number", "text", "small integer"],
)
def test_labels_of_any_type(orders: pa.Table, column: pa.Array) -> None:
    rows = orders.set_column(4, "fraud", column)
    assert labels(spec(labels={"column": "fraud"}), rows) == [0.0, 1.0, None]


def test_a_series_takes_the_label_of_its_row(readings: pa.Table) -> None:
    made = series_spec(labels={"column": "alarm"})
    assert labels(made, readings) == [0.0, 1.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("strange", [pa.array([0, 2, None]), pa.array(["no", "yes", None]), pa.array([0.0, 0.5, 1.0])])
def test_a_label_that_is_neither_0_nor_1_is_an_error(orders: pa.Table, strange: pa.Array) -> None:
    rows = orders.set_column(4, "fraud", strange)
    with pytest.raises(SchemaError, match="label column 'fraud' has the value"):
        labels(spec(labels={"column": "fraud"}), rows)


def test_an_unknown_label_column_is_an_error(orders: pa.Table) -> None:
    with pytest.raises(SchemaError, match="no label column 'farud'"):
        labels(spec(labels={"column": "farud"}), orders)


def test_an_event_is_its_start_and_not_its_end(orders: pa.Table, tmp_path: Path) -> None:
    made = spec(labels=events(tmp_path, "start,end\n2025-01-01T12:00Z,2025-01-02T00:00Z\n"))
    assert labels(made, orders) == [0.0, 1.0, 0.0]


def test_naive_event_times_are_of_the_pipelines_zone(orders: pa.Table, tmp_path: Path) -> None:
    # 07:00 in New York is 12:00 UTC; an offset says it all by itself.
    text = "start,end\n2025-01-01 07:00,2025-01-01 07:01\n2025-01-02T01:00+01:00,2025-01-02T01:01+01:00\n"
    assert labels(spec(timezone="America/New_York", labels=events(tmp_path, text)), orders) == [0.0, 1.0, 1.0]


def test_an_event_may_name_ids(orders: pa.Table, tmp_path: Path) -> None:
    text = "start,end,country,note\n2025-01-01,2025-01-03,DE;NL,strike\n"
    assert labels(spec(labels=events(tmp_path, text)), orders) == [1.0, 0.0, 0.0]
    text = "start,end,id,country\n2025-01-01,2025-01-03,2,\n"
    assert labels(spec(labels=events(tmp_path, text)), orders) == [0.0, 1.0, 0.0]


def test_an_event_that_names_values_leaves_the_others_unknown(readings: pa.Table, tmp_path: Path) -> None:
    text = "start,end,meter,values\n2025-01-01T00:00,2025-01-01T01:00,n,load\n"
    assert labels(series_spec(labels=events(tmp_path, text)), readings) == [1.0, 0.0, None, 0.0, 0.0]


def test_a_certain_event_outweighs_an_unknown_one(readings: pa.Table, tmp_path: Path) -> None:
    span = "2025-01-01T00:00,2025-01-01T01:00,n"
    for text in (f"{span},load\n{span},heat\n", f"{span},heat\n{span},load\n"):
        made = series_spec(labels=events(tmp_path, f"start,end,meter,values\n{text}"))
        assert labels(made, readings) == [1.0, 0.0, 1.0, 0.0, 0.0]


def test_columns_of_the_data_named_start_and_end_are_no_ids(orders: pa.Table, tmp_path: Path) -> None:
    trips = orders.append_column("start", pa.array(["a", "b", "c"])).append_column("end", pa.array([1, 2, 3]))
    made = spec(labels=events(tmp_path, "start,end\n2025-01-01T12:00Z,2025-01-02T00:00Z\n"), features=["amount"])
    assert labels(made, trips) == [0.0, 1.0, 0.0]
    assert features.needed_columns(made, trips.schema) == ["amount", "at", "_partition"]


def test_a_missing_events_file(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"no events file .*none.csv"):
        features.read_events(spec(labels={"events": str(tmp_path / "none.csv")}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("begin,end\n2025-01-01,2025-01-02\n", "start"),
        ("start,end\nyesterday,2025-01-02\n", "yesterday"),
        ("start,end\n,2025-01-02\n", "empty timestamp"),
        ("start,end\n2025-01-02,2025-01-03\n2025-01-02,2025-01-01\n", "line 3 does not end after its start"),
        ("", "No columns"),
        ("start,end\n2025-01-01,2025-01-02,x,y\n2025-01-01\n", ""),
        ("start,end\n2025-01-01,2025-01-02,caf\xe9\n", "utf-8"),
    ],
)
def test_an_events_file_that_cannot_be_used(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceUnreadable, match="events file") as caught:
        features.read_events(spec(labels={"events": str(tmp_path / "events.csv")}))
    assert problem in caught.value.problem
