"""Rows in = rows of `raw`: whatever is wrong with a row or a file, it is told and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pynomaly_pipelines.operations.errors import SchemaError, SourceMissing, SourceUnreadable
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
DAY = "2025-01-01"
HEADER = "at,item,amount\n"
ROW = "2025-01-01 10:00:00,apple,1.5\n"


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


# ------------------------------------------------------------------------------------------------- good rows


def test_rows_keep_their_columns_and_get_their_origin(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW + "2025-01-01 11:30:00,pear,2\n")
    report = shop.ingest(DAY)
    assert (report.rows, report.rejected) == (2, 0)
    assert shop.lake.read("shop", "raw").to_pylist()[1] == {
        "at": moment(2025, 1, 1, 11, 30),
        "item": "pear",
        "amount": 2.0,
        "_partition": DAY,
        "_source": "in/2025-01-01.csv",
        "_row": 3,
        "_rejected": None,
        "_text": None,
    }


def test_types_are_found_in_the_files(zone: Make) -> None:
    shop = zone()
    shop.drop(
        "2025-01-01.csv",
        "at,count,share,yes,day,zip,mixed,nothing,seen\n"
        "2025-01-01T10:00:00Z,1,0.5,true,2025-01-01,02138,1,,2025-01-01 08:00\n"
        "2025-01-01T11:00:00Z,NA,1e3,False,2025-01-02,10115,x,,2025-01-01 09:00\n",
    )
    report = shop.ingest(DAY)
    assert dict(zip(report.schema.names, report.schema.types, strict=True)) == {
        "at": pa.timestamp("us", "UTC"),
        "count": pa.int64(),
        "share": pa.float64(),
        "yes": pa.bool_(),
        "day": pa.date32(),
        "zip": pa.string(),
        "mixed": pa.string(),
        "seen": pa.timestamp("us", "UTC"),
    }
    row = shop.lake.read("shop", "raw").to_pylist()[1]
    assert (row["count"], row["share"], row["yes"], row["day"]) == (None, 1000.0, False, date(2025, 1, 2))
    assert (row["zip"], row["mixed"], row["seen"]) == ("10115", "x", moment(2025, 1, 1, 9))


def test_types_hold_for_files_spread_over_all_there_are(zone: Make) -> None:
    shop = zone()
    for day in range(1, 31):
        shop.drop(f"2025-01-{day:02d}.csv", f"at,amount\n2025-01-{day:02d},{day if day < 30 else '0.5'}\n")
    report = shop.ingest(DAY)
    assert report.schema.field("amount").type == pa.float64()


def test_a_column_gets_its_type_with_its_first_value(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + "2025-01-01,,1\n")
    assert shop.ingest(DAY).schema.names == ["at", "amount"]
    shop.drop("2025-01-02.csv", HEADER + "2025-01-02,apple,1\n")
    report = shop.ingest("2025-01-02")
    assert (report.schema.field("item").type, report.files[0].new) == (pa.string(), ("item",))


@pytest.mark.parametrize("attributes", [{"features": ["amount"]}, {"columns": {"amount": "number"}}])
def test_a_column_without_values_that_the_pipeline_names_is_a_number(zone: Make, attributes: dict[str, Any]) -> None:
    shop = zone(**attributes)
    shop.drop("2025-01-01.csv", HEADER + "2025-01-01,apple,\n2025-01-01,pear,NaN\n")
    assert shop.ingest(DAY).schema.field("amount").type == pa.float64()
    assert shop.rows()["amount"].isna().all()


def test_declared_types_rule(zone: Make) -> None:
    shop = zone(columns={"amount": "string", "item": "category"})
    shop.drop("2025-01-01.csv", HEADER + ROW)
    assert shop.ingest(DAY).schema.field("amount").type == pa.string()
    assert shop.rows()["amount"].tolist() == ["1.5"]


def test_a_declared_type_that_the_table_does_not_have_is_an_error(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW)
    shop.ingest(DAY)
    shop.attributes["columns"] = {"amount": "integer"}
    with pytest.raises(
        SchemaError, match=r"'amount' of pipeline 'shop' is declared as int64; the table has it as double"
    ):
        shop.ingest(DAY)


def test_the_same_partition_twice_leaves_the_same_rows_once(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW)
    shop.drop("2025-01-02.csv", HEADER + ROW.replace("01-01", "01-02"))
    shop.ingest(DAY, "2025-01-02")
    before = shop.lake.read("shop", "raw")
    shop.ingest(DAY)
    assert shop.lake.read("shop", "raw") == before
    assert shop.lake.counts("shop", "raw") == {DAY: 1, "2025-01-02": 1}


def test_a_changed_file_replaces_its_rows(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW * 3)
    shop.ingest(DAY)
    shop.drop("2025-01-01.csv", HEADER + ROW)
    shop.ingest(DAY)
    assert shop.lake.counts("shop", "raw") == {DAY: 1}


def test_a_range_is_one_commit(zone: Make) -> None:
    shop = zone()
    for day in ("2025-01-01", "2025-01-02", "2025-01-03"):
        shop.drop(f"{day}.csv", f"{HEADER}{day},apple,1\n")
    report = shop.ingest("2025-01-01", "2025-01-02", "2025-01-03")
    assert report.commit.version == 1
    assert {key: counts.rows for key, counts in report.partitions.items()} == {
        "2025-01-01": 1,
        "2025-01-02": 1,
        "2025-01-03": 1,
    }


def test_one_row(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", (HEADER + ROW).rstrip("\n"))
    assert shop.ingest(DAY).rows == 1


def test_windows_line_ends_a_byte_order_mark_and_blank_lines(zone: Make) -> None:
    shop = zone()
    text = "at,item,amount\r\n2025-01-01,apple,1\r\n\r\n2025-01-01,pear,x\r\n\r\n"
    shop.drop("2025-01-01.csv", b"\xef\xbb\xbf" + text.encode())
    shop.attributes["columns"] = {"amount": "number"}
    assert shop.ingest(DAY).rows == 2
    assert shop.rejected() == {4: "amount='x' is not a number"}


def test_line_breaks_in_values(zone: Make) -> None:
    shop = zone(columns={"amount": "number"})
    shop.drop("2025-01-01.csv", HEADER + '2025-01-01,"two\nlines",1\n2025-01-01,"a ""b""\nc",?\n')
    assert shop.ingest(DAY).rows == 2
    rows = shop.rows()
    assert rows["item"].tolist() == ["two\nlines", 'a "b"\nc']
    assert rows["_text"].tolist()[1] == '2025-01-01,"a ""b""\nc",?'


def test_other_delimiters_encodings_and_null_values(zone: Make) -> None:
    source = {"type": "csv", "path": "in/%Y-%m-%d.csv", "delimiter": ";", "encoding": "latin-1", "null_values": ["-"]}
    shop = zone(source=source)
    shop.drop("2025-01-01.csv", "at;item;amount\n2025-01-01;Käse;-\n2025-01-01;NA;1\n".encode("latin-1"))
    shop.ingest(DAY)
    assert shop.rows()["item"].tolist() == ["Käse", "NA"]
    assert shop.rows()["amount"].isna().tolist() == [True, False]


def test_names_that_start_with_an_underscore_lose_it(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", "at,_id,\n2025-01-01,7,x\n")
    assert shop.ingest(DAY).schema.names == ["at", "id", "column_3"]


# ---------------------------------------------------------------------------------------------- rejected rows


def test_a_value_that_does_not_convert_rejects_its_row_with_every_reason(zone: Make) -> None:
    shop = zone(columns={"amount": "number", "count": "integer", "yes": "boolean", "day": "date", "seen": "timestamp"})
    shop.drop(
        "2025-01-01.csv",
        "at,amount,count,yes,day,seen\n"
        "2025-01-01,1,2,true,2025-01-01,2025-01-01\n"
        "2025-01-01,abc,1.5,maybe,2025-02-30,soon\n"
        "2025-01-01,1e9, 3.0 ,0,2025-01-01,2025-01-01T00:00:00+02:00\n",
    )
    report = shop.ingest(DAY)
    assert (report.rows, report.rejected) == (3, 1)
    assert shop.rejected() == {
        3: "amount='abc' is not a number; count='1.5' is not an integer; yes='maybe' is neither true nor false; "
        "day='2025-02-30' is not a date such as 2025-01-31; seen='soon' is not a time in ISO 8601 form"
    }
    rows = shop.rows()
    assert rows["_text"].tolist()[1] == "2025-01-01,abc,1.5,maybe,2025-02-30,soon"
    assert rows["count"].tolist()[2] == 3
    assert rows["seen"].tolist()[2] == moment(2024, 12, 31, 22)


def test_ragged_rows_are_rejected_with_their_text(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW + "2025-01-01,pear\n" + ROW + "2025-01-01,fig,1,2\n")
    report = shop.ingest(DAY)
    assert (report.rows, report.rejected) == (4, 2)
    assert shop.rejected() == {3: "2 values for 3 columns", 5: "4 values for 3 columns"}
    assert shop.rows()["_row"].tolist() == [2, 3, 4, 5]
    assert shop.rows()["_text"].dropna().tolist() == ["2025-01-01,pear", "2025-01-01,fig,1,2"]


def test_infinite_numbers_are_rejected_and_missing_ones_are_not(zone: Make) -> None:
    shop = zone(columns={"amount": "number"})
    body = "".join(f"2025-01-01,apple,{text}\n" for text in ("inf", "-Infinity", "1e999", "NaN", "", "1"))
    shop.drop("2025-01-01.csv", HEADER + body)
    shop.ingest(DAY)
    assert shop.rejected() == {
        2: "amount='inf' is not finite",
        3: "amount='-Infinity' is not finite",
        4: "amount='1e999' is not finite",
    }


def test_an_integer_too_long_for_its_column_is_rejected(zone: Make) -> None:
    shop = zone(columns={"amount": "integer"})
    shop.drop("2025-01-01.csv", HEADER + "2025-01-01,apple,123456789012345678901\n2025-01-01,apple,7\n")
    shop.ingest(DAY)
    assert shop.rejected() == {2: "amount='123456789012345678901' has more than 18 digits"}


def test_unparsable_times_are_rejected_in_the_partition_of_their_file(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW + "yesterday,apple,1\n2025,apple,1\n")
    shop.ingest(DAY)
    assert shop.rejected() == {
        3: "at='yesterday' is not a time in ISO 8601 form",
        4: "at='2025' is not a time in ISO 8601 form",
    }
    assert shop.lake.counts("shop", "raw") == {DAY: 3}


def test_a_time_outside_the_partition_is_rejected(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW + "2099-01-01,apple,1\n2024-12-31 23:59:59,apple,1\n")
    shop.ingest(DAY)
    assert shop.rejected() == {
        3: "time 2099-01-01 00:00:00Z lies outside partition 2025-01-01",
        4: "time 2024-12-31 23:59:59Z lies outside partition 2025-01-01",
    }


def test_later_times_stay_where_the_future_is_allowed(zone: Make) -> None:
    shop = zone(allow_future=True)
    shop.drop("2025-01-01.csv", HEADER + ROW + "2099-01-01,apple,1\n2024-12-31,apple,1\n")
    shop.ingest(DAY)
    assert shop.rejected() == {4: "time 2024-12-31 00:00:00Z lies outside partition 2025-01-01"}
    assert shop.lake.counts("shop", "raw") == {DAY: 3}


def test_naive_times_are_local_and_others_are_what_they_say(zone: Make) -> None:
    shop = zone(timezone="America/New_York")
    shop.drop(
        "2025-07-01.csv", HEADER + "2025-07-01 00:30,a,1\n2025-07-01T05:30:00Z,b,1\n2025-07-01T23:59:59-04:00,c,1\n"
    )
    shop.ingest("2025-07-01")
    assert shop.rejected() == {}
    assert shop.rows()["at"].tolist() == [
        moment(2025, 7, 1, 4, 30),
        moment(2025, 7, 1, 5, 30),
        moment(2025, 7, 2, 3, 59, 59),
    ]


def test_local_times_that_are_no_single_moment_are_rejected(zone: Make) -> None:
    shop = zone(timezone="America/New_York")
    shop.drop("2025-03-09.csv", HEADER + "2025-03-09 02:30:00,a,1\n2025-03-09 03:30:00,b,1\n")
    shop.drop("2025-11-02.csv", HEADER + "2025-11-02 01:30:00,a,1\n2025-11-02 02:30:00,b,1\n")
    shop.ingest("2025-03-09", "2025-11-02")
    rows = shop.rows()
    assert rows["_rejected"].dropna().tolist() == [
        "at='2025-03-09 02:30:00' never happened in America/New_York, where the clocks were changed",
        "at='2025-11-02 01:30:00' happened twice in America/New_York, where the clocks were changed",
    ]
    assert rows["at"].dropna().tolist() == [moment(2025, 3, 9, 7, 30), moment(2025, 11, 2, 7, 30)]


# ------------------------------------------------------------------------------------------------ broken files


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"at,item,amount\n", "has a header and no rows"),
        (b"at,item,amount\n2025-01-01,K\xe4se,1\n", r"not text in utf-8: byte 0xe4 at position 27"),
        (b"\n\n\n", "has no header"),
        (b"at,item,Item\n2025-01-01,a,1\n", "column 'Item' twice"),
    ],
)
def test_the_only_file_being_unreadable_names_file_rule_and_fix(zone: Make, content: bytes, problem: str) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", content)
    with pytest.raises(SourceUnreadable, match=rf"in/2025-01-01.csv .*{problem}.*Fix: "):
        shop.ingest(DAY)
    assert not shop.lake.exists("shop", "raw")


def test_an_unreadable_file_is_set_aside_and_the_rest_goes_on(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/%Y-%m-%d*.csv"})
    shop.drop("2025-01-01-a.csv", b"")
    shop.drop("2025-01-01-b.csv", HEADER + ROW)
    report = shop.ingest(DAY)
    assert [(file.path, file.status, file.rows) for file in report.files] == [
        ("in/2025-01-01-a.csv", "unreadable", 0),
        ("in/2025-01-01-b.csv", "read", 1),
    ]
    assert "is empty" in str(report.files[0].reason)
    assert report.rows == 1


def test_a_partition_that_fails_leaves_the_others_and_its_own_old_rows(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW)
    shop.drop("2025-01-02.csv", HEADER + "2025-01-02,apple,1\n")
    shop.ingest(DAY, "2025-01-02")
    shop.drop("2025-01-02.csv", b"")
    shop.drop("2025-01-01.csv", HEADER + ROW * 2)
    report = shop.ingest(DAY, "2025-01-02", "2025-01-03")
    assert list(report.partitions) == [DAY]
    assert [(f.partition, type(f.error)) for f in report.failures] == [
        ("2025-01-02", SourceUnreadable),
        ("2025-01-03", SourceMissing),
    ]
    assert shop.lake.counts("shop", "raw") == {DAY: 2, "2025-01-02": 1}


def test_torn_parquet(zone: Make) -> None:
    shop = zone(source={"type": "parquet", "path": "in/%Y-%m-%d.parquet"})
    path = shop.drop("2025-01-01.parquet", pa.table({"at": [moment(2025, 1, 1)] * 100, "amount": list(range(100))}))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceUnreadable, match=r"in/2025-01-01.parquet is not a whole Parquet file"):
        shop.ingest(DAY)


def test_no_file_for_the_partition(zone: Make) -> None:
    shop = zone()
    with pytest.raises(SourceMissing, match=r"no file matches 'in/%Y-%m-%d.csv'"):
        shop.ingest(DAY)
    shop.drop("2025-01-02.csv", HEADER + ROW)
    with pytest.raises(SourceMissing, match="no file for partition '2025-01-01'"):
        shop.ingest(DAY)


def test_a_missing_column_that_the_pipeline_names(zone: Make) -> None:
    shop = zone(features=["amount"])
    shop.drop("2025-01-01.csv", "at,item\n2025-01-01,apple\n")
    with pytest.raises(SchemaError, match=r"in/2025-01-01.csv has no column 'amount'.*columns are 'at', 'item'"):
        shop.ingest(DAY)


def test_cells_that_another_mark_separates_are_said_to_be_so(zone: Make) -> None:
    shop = zone(features=["amount"])
    shop.drop("2025-01-01.csv", "at;item;amount\n2025-01-01;apple;1,5\n")
    with pytest.raises(SchemaError, match=r"separated by ';', not by ','.*`source.delimiter` to ';'"):
        shop.ingest(DAY)


def test_a_file_in_another_encoding_names_the_setting(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", "at,item,amount\n2025-01-01,Käse,1\n".encode("latin-1"))
    with pytest.raises(SourceUnreadable, match=r"not text in utf-8.*in utf-8, or set `source.encoding`"):
        shop.ingest(DAY)


def test_a_missing_column_that_nobody_names_is_null_and_told(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW)
    shop.drop("2025-01-02.csv", "at,item\n2025-01-02,apple\n")
    report = shop.ingest(DAY, "2025-01-02")
    assert report.files[1].missing == ("amount",)
    assert shop.rows()["amount"].isna().tolist() == [False, True]


def test_a_new_column_is_kept_and_told(zone: Make) -> None:
    shop = zone()
    shop.drop("2025-01-01.csv", HEADER + ROW)
    shop.ingest(DAY)
    shop.drop("2025-01-02.csv", "at,item,amount,colour\n2025-01-02,apple,1,red\n")
    report = shop.ingest("2025-01-02")
    assert report.files[0].new == ("colour",)
    assert shop.rows()["colour"].isna().tolist() == [True, False]


def test_a_new_column_with_different_types_in_two_files(zone: Make) -> None:
    shop = zone(source={"type": "parquet", "path": "in/%Y-%m-%d.parquet"})
    shop.drop("2025-01-01.parquet", pa.table({"at": [moment(2025, 1, 1)]}))
    shop.ingest(DAY)
    shop.drop("2025-01-02.parquet", pa.table({"at": [moment(2025, 1, 2)], "extra": [1]}))
    shop.drop("2025-01-03.parquet", pa.table({"at": [moment(2025, 1, 3)], "extra": ["x"]}))
    shop.ingest("2025-01-02", "2025-01-03")
    assert shop.rows()["extra"].tolist()[1:] == ["1", "x"]


# ------------------------------------------------------------------------------------------ Parquet, JSON lines


def test_parquet_types(zone: Make) -> None:
    from decimal import Decimal

    shop = zone(source={"type": "parquet", "path": "in/%Y-%m-%d.parquet"}, timezone="Europe/Berlin")
    shop.drop(
        "2025-01-01.parquet",
        pa.table(
            {
                "at": pa.array(["2025-01-01 01:00", "2025-01-01 02:00"]).cast(pa.timestamp("ns")),
                "small": pa.array([1, None], pa.uint8()),
                "price": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
                "ratio": pa.array([0.5, float("inf")], pa.float32()),
                "kind": pa.array(["x", None]).dictionary_encode(),
                "tags": pa.array([["a", "b"], None]),
                "day": pa.array([date(2025, 1, 1), None]),
            }
        ),
    )
    report = shop.ingest(DAY)
    assert [str(kind) for kind in report.schema.types] == [
        "timestamp[us, tz=UTC]", "int64", "double", "double", "string", "string", "date32[day]",
    ]  # fmt: skip
    row, second = shop.lake.read("shop", "raw").to_pylist()
    assert (row["at"], row["small"], row["price"], row["tags"]) == (moment(2025, 1, 1, 0), 1, 1.5, '["a", "b"]')
    assert second["_rejected"] == "ratio=inf is not finite"
    assert json.loads(second["_text"])["ratio"] == float("inf")
    assert second["_row"] == 2


def test_parquet_values_that_do_not_fit_the_declared_type(zone: Make) -> None:
    shop = zone(source={"type": "parquet", "path": "in/%Y-%m-%d.parquet"}, columns={"amount": "integer"})
    shop.drop("2025-01-01.parquet", pa.table({"at": [moment(2025, 1, 1)] * 3, "amount": ["7", "x", None]}))
    shop.ingest(DAY)
    assert shop.rejected() == {2: "amount='x' is not an integer"}
    assert shop.rows()["amount"].tolist()[0] == 7


def test_json_lines(zone: Make) -> None:
    shop = zone(source={"type": "jsonl", "path": "in/%Y-%m-%d.jsonl"}, columns={"amount": "number"})
    lines = [
        '{"at": "2025-01-01T10:00:00Z", "amount": 1.5, "tags": ["a"], "yes": true}',
        "",
        '{"at": "2025-01-01T10:00:00Z", "amount": "many"}',
        '{"at": "2025-01-01T10:0',
        "[1, 2]",
    ]
    shop.drop("2025-01-01.jsonl", "\n".join(lines))
    report = shop.ingest(DAY)
    assert (report.rows, report.rejected) == (4, 3)
    rejected = shop.rejected()
    assert rejected[3] == "amount='many' is not a number"
    assert rejected[4].startswith("not JSON: ")
    assert rejected[5] == "not a JSON object: [1, 2]"
    assert shop.rows()["_text"].dropna().tolist() == [lines[2], lines[3], lines[4]]
    first = shop.lake.read("shop", "raw").to_pylist()[0]
    assert (first["tags"], first["yes"], first["amount"]) == ('["a"]', True, 1.5)


def test_a_file_without_a_json_object(zone: Make) -> None:
    shop = zone(source={"type": "jsonl", "path": "in/%Y-%m-%d.jsonl"})
    shop.drop("2025-01-01.jsonl", "hello\nworld\n")
    with pytest.raises(SourceUnreadable, match="has no line with a JSON object"):
        shop.ingest(DAY)


# ------------------------------------------------------------------------------------------------- properties

FIELD = st.one_of(
    st.sampled_from(["", "1", "2.5", "NaN", "inf", "abc", "2025-01-01", "2025-01-01 12:00", "1999-01-01", "é", "a b"]),
    st.text(alphabet="abc019.-:+ ", max_size=12),
)
LINES = st.lists(st.lists(FIELD, min_size=2, max_size=4).map(",".join).filter(str.strip), min_size=1, max_size=15)


@given(LINES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_many_rows_as_lines(zone: Make, tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    from pynomaly_pipelines.resources.tables import Lake

    shop = zone(columns={"item": "string", "amount": "number"})
    shop.lake = Lake(str(tmp_path_factory.mktemp("lake")))
    shop.drop("2025-01-01.csv", HEADER + "\n".join(lines) + "\n")
    report = shop.ingest(DAY)
    rows = shop.rows()
    assert report.rows == len(rows) == len(lines)
    assert rows["_row"].tolist() == list(range(2, len(lines) + 2))
    bad = rows.dropna(subset=["_rejected"])
    assert bad["_text"].tolist() == [lines[row - 2] for row in bad["_row"]]
    good = rows[rows["_rejected"].isna()]
    assert all(len(lines[row - 2].split(",")) == 3 for row in good["_row"])
