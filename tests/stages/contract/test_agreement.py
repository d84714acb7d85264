"""The contract: columns declared or learned, what becomes of files that do not keep to it, and its history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import SchemaError, TableError
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.contract.agreement import Deviation, history, in_force
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
D1, D2, D3 = "2025-01-01", "2025-01-02", "2025-01-03"
FIRST = "at,item,amount\n2025-01-01,apple,10\n2025-01-01,pear,20\n"


@pytest.fixture
def begun(zone: Make) -> Make:
    def make(**contract: str) -> Zone:
        shop = zone(contract=contract)
        shop.drop(f"{D1}.csv", FIRST)
        shop.ingest(D1)
        return shop

    return make


def only(deviations: tuple[Deviation, ...]) -> Deviation:
    (found,) = deviations
    return found


def terms(shop: Zone) -> dict[str, tuple[str, str, bool]]:
    return {n: (t.type, t.origin, t.optional) for n, t in in_force(shop.spec, shop.lake).items()}


def test_the_first_files_make_the_contract(zone: Make) -> None:
    shop = zone(columns={"amount": "number"})
    shop.drop(f"{D1}.csv", FIRST)
    shop.drop(f"{D2}.csv", "at,amount,note\n2025-01-02,7,x\n")
    assert shop.ingest(D1, D2).deviations == ()
    # What not every one of the first files had, none need have.
    assert terms(shop) == {
        "at": ("timestamp", "declared", False),
        "item": ("string", "learned", True),
        "amount": ("number", "declared", False),
        "note": ("string", "learned", True),
    }
    assert {term.change for term in history(shop.spec, shop.lake)} == {"first files"}


# ------------------------------------------------------------------------------------------------ new columns


NEW = "at,item,amount,colour\n2025-01-02,apple,1,red\n"


def test_a_new_column_is_accepted_null_in_older_rows_and_written_down(begun: Make) -> None:
    shop = begun()
    shop.drop(f"{D2}.csv", NEW)
    report = shop.ingest(D2)
    found = only(report.deviations)
    assert (found.column, found.was, found.now, found.response) == ("colour", "not there", "there", "accept")
    assert (found.file, found.partitions) == (f"in/{D2}.csv", (D2,))
    assert shop.rows()["colour"].fillna("none").tolist() == ["none", "none", "red"]
    last = history(shop.spec, shop.lake)[-1]
    assert (last.column, last.type, last.change, last.file) == ("colour", "string", "new column", f"in/{D2}.csv")
    assert last.version == report.commit.version
    # The next file with it is no news.
    shop.drop(f"{D3}.csv", NEW.replace(D2, D3))
    assert shop.ingest(D3).deviations == ()


def test_a_column_that_came_later_is_not_lost_where_earlier_files_are_read_again(begun: Make) -> None:
    shop = begun()
    shop.drop(f"{D3}.csv", NEW.replace(D2, D3))
    shop.ingest(D3)
    assert terms(shop)["colour"] == ("string", "learned", True)
    # A file of the time before, and one that is read again.
    shop.drop(f"{D2}.csv", FIRST.replace(D1, D2))
    assert shop.ingest(D1, D2).deviations == ()
    assert shop.rejected() == {}


def test_rows_with_a_new_column_go_to_quarantine_as_they_came(begun: Make) -> None:
    shop = begun(new_column="quarantine")
    shop.drop(f"{D2}.csv", NEW)
    report = shop.ingest(D2)
    assert only(report.deviations).response == "quarantine"
    assert shop.rejected() == {2: "the file has a column 'colour' that is not in the contract"}
    rows = shop.rows()
    assert "colour" not in rows
    assert rows["_text"].dropna().tolist() == ["2025-01-02,apple,1,red"]
    shop.validate(D2)
    (reasons,) = shop.rows("quarantine")["_reasons"].tolist()
    assert reasons[0] == "the file has a column 'colour' that is not in the contract"


def test_a_new_column_fails_its_partition_and_no_other(begun: Make) -> None:
    shop = begun(new_column="fail")
    shop.drop(f"{D2}.csv", NEW)
    shop.drop(f"{D3}.csv", FIRST.replace(D1, D3))
    report = shop.ingest(D2, D3)
    assert [f.partition for f in report.failures] == [D2]
    assert "column 'colour' was not there and is there in in/2025-01-02.csv" in str(report.failures[0].error)
    assert only(report.deviations).response == "fail"
    assert list(shop.lake.counts("shop", "raw")) == [D1, D3]
    assert "colour" not in shop.rows()
    with pytest.raises(SchemaError, match="new_column: accept"):
        shop.ingest(D2)


# ----------------------------------------------------------------------------------------------- lost columns


LOST = "at,item\n2025-01-02,apple\n2025-01-02,pear\n"


def test_rows_that_lost_a_column_go_to_quarantine(begun: Make) -> None:
    shop = begun()
    shop.drop(f"{D2}.csv", LOST)
    found = only(shop.ingest(D2).deviations)
    assert (found.column, found.was, found.now, found.response) == ("amount", "integer", "not there", "quarantine")
    assert shop.rejected() == dict.fromkeys([2, 3], "the file has lost the column 'amount'")
    assert "amount" in in_force(shop.spec, shop.lake)


def test_a_lost_column_is_accepted_once_and_for_all(begun: Make) -> None:
    shop = begun(lost_column="accept")
    shop.drop(f"{D2}.csv", LOST)
    assert only(shop.ingest(D2).deviations).response == "accept"
    assert shop.rejected() == {}
    assert shop.rows()["amount"].isna().tolist() == [False, False, True, True]
    assert terms(shop)["amount"] == ("integer", "learned", True)
    assert history(shop.spec, shop.lake)[-1].change == "files may lack it"
    shop.drop(f"{D3}.csv", LOST.replace(D2, D3))
    assert shop.ingest(D3).deviations == ()


def test_a_lost_column_fails_its_partition(begun: Make) -> None:
    shop = begun(lost_column="fail")
    shop.drop(f"{D2}.csv", LOST)
    with pytest.raises(SchemaError, match=r"column 'amount' was integer and is not there in in/2025-01-02.csv"):
        shop.ingest(D2)
    # What was there before stays.
    shop.drop(f"{D1}.csv", LOST.replace(D2, D1))
    with pytest.raises(SchemaError):
        shop.ingest(D1)
    assert shop.rows()["amount"].tolist() == [10, 20]


def test_a_lost_feature_is_lost_like_any_other(zone: Make) -> None:
    shop = zone(features=["amount"])
    shop.drop(f"{D1}.csv", FIRST)
    shop.ingest(D1)
    shop.drop(f"{D2}.csv", LOST)
    assert only(shop.ingest(D2).deviations).response == "quarantine"


def test_optional_keys_of_json_lines_are_not_lost(zone: Make) -> None:
    shop = zone(source={"type": "jsonl", "path": "in/%Y-%m-%d.jsonl"})
    shop.drop(f"{D1}.jsonl", '{"at": "2025-01-01", "amount": 1, "note": "x"}\n')
    shop.drop(f"{D2}.jsonl", '{"at": "2025-01-02", "amount": 1}\n')
    shop.ingest(D1, D2)
    shop.drop(f"{D3}.jsonl", '{"at": "2025-01-03", "amount": 1}\n')
    assert shop.ingest(D3).deviations == ()


# ---------------------------------------------------------------------------------------------- changed types


DECIMALS = "at,item,amount\n2025-01-02,apple,1.5\n2025-01-02,pear,2\n2025-01-02,fig,?\n"
WORDS = "at,item,amount\n2025-01-02,apple,cheap\n2025-01-02,pear,dear\n2025-01-02,fig,3\n"


def test_values_of_another_type_are_set_aside_row_by_row(begun: Make) -> None:
    shop = begun()
    shop.drop(f"{D2}.csv", DECIMALS)
    found = only(shop.ingest(D2).deviations)
    assert (found.column, found.was, found.now) == ("amount", "integer", "number ('1.5')")
    assert (found.response, found.rows) == ("quarantine", 2)
    assert "columns: {amount: number}" in found.fix
    assert shop.rejected() == {2: "amount='1.5' is not an integer", 4: "amount='?' is not an integer"}


def test_an_integer_that_may_become_a_number_does_in_every_table(begun: Make) -> None:
    shop = begun(changed_type="accept")
    shop.attributes["validation"] = {"max_quarantined": 0.5}
    shop.validate(D1)
    before = shop.lake.version("shop", "raw")
    shop.drop(f"{D2}.csv", DECIMALS)
    report = shop.ingest(D2)
    told = [(d.now, d.response, d.rows) for d in report.deviations]
    assert told == [("unreadable ('?')", "quarantine", 1), ("number ('1.5')", "accept", 0)]
    assert shop.rows()["amount"].fillna(-1).tolist() == [10.0, 20.0, 1.5, 2.0, -1.0]
    assert shop.rejected() == {4: "amount='?' is not a number"}
    assert shop.lake.schema("shop", "raw").field("amount").type == pa.float64()
    shop.validate(D2)
    assert shop.rows("validated")["amount"].tolist() == [10.0, 20.0, 1.5, 2.0]
    # Older versions are as they were.
    assert shop.lake.read("shop", "raw", version=before).schema.field("amount").type == pa.int64()
    last = history(shop.spec, shop.lake)[-1]
    assert (last.column, last.type, last.change, last.version) == (
        "amount",
        "number",
        "was integer",
        report.commit.version,
    )


def test_a_column_that_is_mostly_text_may_become_text(begun: Make) -> None:
    shop = begun(changed_type="accept")
    shop.drop(f"{D2}.csv", WORDS)
    shop.ingest(D2)
    assert shop.rows()["amount"].tolist() == ["10", "20", "cheap", "dear", "3"]
    assert terms(shop)["amount"][0] == "string"


@pytest.mark.parametrize("role", [{"features": ["amount"]}, {"columns": {"amount": "integer"}}, {"key": ["amount"]}])
def test_what_is_declared_or_needed_as_a_number_never_becomes_text(zone: Make, role: dict[str, Any]) -> None:
    shop = zone(contract={"changed_type": "accept"}, **role)
    shop.drop(f"{D1}.csv", FIRST)
    shop.ingest(D1)
    shop.drop(f"{D2}.csv", WORDS)
    assert only(shop.ingest(D2).deviations).response == "quarantine"
    assert set(shop.rejected()) == {2, 3}


def test_a_changed_type_fails_its_partition_but_single_bad_values_do_not(begun: Make) -> None:
    shop = begun(changed_type="fail")
    shop.drop(f"{D2}.csv", "at,item,amount\n2025-01-02,a,1\n2025-01-02,b,2\n2025-01-02,c,?\n")
    found = only(shop.ingest(D2).deviations)
    assert (found.now, found.response, found.rows) == ("unreadable ('?')", "quarantine", 1)
    shop.drop(f"{D2}.csv", WORDS, age_seconds=30)
    with pytest.raises(SchemaError, match="column 'amount' was integer and is string"):
        shop.ingest(D2)


def test_times_in_another_form_are_told(begun: Make) -> None:
    shop = begun(changed_type="fail")
    shop.drop(f"{D2}.csv", "at,item,amount\n02.01.2025,a,1\n02.01.2025,b,2\n")
    with pytest.raises(SchemaError, match=r"column 'at' was timestamp and is string \('02.01.2025'\)"):
        shop.ingest(D2)


def test_decimals_beyond_the_sample_of_the_first_files_make_a_number(zone: Make) -> None:
    shop = zone(source={"type": "csv", "path": "in/%Y-%m-%d.csv", "memory_mb": 32})
    rows = "".join(f"2025-01-01,item number {i:09d} with a long name,{i}\n" for i in range(60_000))
    shop.drop(f"{D1}.csv", "at,item,amount\n" + rows + "2025-01-01,last,1.5\n")
    report = shop.ingest(D1)
    assert (report.rejected, report.deviations) == (0, ())
    assert terms(shop)["amount"][0] == "number"


def test_a_wider_declaration_widens_what_was_learned(begun: Make) -> None:
    shop = begun()
    shop.attributes["columns"] = {"amount": "number"}
    shop.drop(f"{D2}.csv", "at,item,amount\n2025-01-02,apple,1.5\n")
    report = shop.ingest(D2)
    assert (report.rejected, report.deviations) == (0, ())
    assert shop.rows()["amount"].tolist() == [10.0, 20.0, 1.5]
    assert terms(shop)["amount"] == ("number", "declared", False)
    shop.attributes["columns"] = {"amount": "date"}
    with pytest.raises(SchemaError, match="gets a wider one"):
        shop.ingest(D2)


def test_an_integer_too_long_for_a_number_stays(tmp_path: Any) -> None:
    lake = Lake(str(tmp_path))
    rows = pa.table({"_partition": ["a", "b"], "id": [1, 2**53 + 1]})
    lake.replace("shop", "raw", ["a", "b"], rows)
    with pytest.raises(TableError, match="holds every value"):
        lake.widen("shop", "raw", {"id": pa.float64()})
    assert lake.read("shop", "raw")["id"].to_pylist() == [1, 2**53 + 1]
    lake.widen("shop", "raw", {"id": pa.string()})
    lake.widen("shop", "raw", {"id": pa.string()})
    assert lake.version("shop", "raw") == 2
    assert pd.Series(lake.read("shop", "raw")["id"].to_pylist()).tolist() == ["1", str(2**53 + 1)]
