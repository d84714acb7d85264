"""Quarantine: what is in it, and what comes back after a fix or by a person's word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.stages.expectations.acceptance import accept, row_ids
from pynomaly_pipelines.stages.expectations.releasing import Change, decide, held, release
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
DAY, NEXT = "2025-01-01", "2025-01-02"
LENIENT = {"max_quarantined": 1.0, "min_rows": 0}
NOTE = {"released by": "ann", "reason": "the limit was too low"}


def at_most(limit: float) -> list[dict[str, Any]]:
    return [
        {"expect_column_values_to_be_between": {"column": "amount", "max_value": limit}},
        {"expect_column_values_to_not_be_null": {"column": "item"}},
    ]


def drop(shop: Zone, *lines: str, day: str = DAY) -> None:
    shop.drop(f"{day}.csv", "\n".join(["at,item,amount", *(f"{day} 10:00,{line}" for line in lines)]) + "\n")
    shop.ingest(day)
    shop.validate(day)


@pytest.fixture
def shop(zone: Make) -> Zone:
    """Two days; of the first three rows are held, of the second one."""
    shop = zone(validation=LENIENT, key=["item"], columns={"amount": "number"}, expectations=at_most(10))
    drop(shop, "apple,1", "pear,11", ",12", "fig,x", "apple,2")
    drop(shop, "apple,1", "pear,20", day=NEXT)
    return shop


def mended(shop: Zone, limit: float) -> Zone:
    return Zone(shop.project, shop.lake, shop.attributes | {"expectations": at_most(limit)})


def test_what_is_held_is_counted_by_reason_and_shown(shop: Zone) -> None:
    found = held(shop.spec, shop.lake)
    assert found.partitions == {DAY: 4, NEXT: 1}
    assert found.reasons == {
        "expect_column_values_to_be_between(amount, max_value=10)": 3,
        "expect_column_values_to_not_be_null(item)": 1,
        "rejected at ingestion: amount is not a number": 1,
        "duplicate key (item)": 1,
    }
    first = found.rows[0]
    assert (first.partition, first.row) == (DAY, 3)
    assert first.values.endswith("item=pear, amount=11.0")
    assert first.reasons == ("expect_column_values_to_be_between(amount, max_value=10)",)
    assert held(shop.spec, shop.lake, [NEXT]).partitions == {NEXT: 1}
    assert held(shop.spec, shop.lake, None, "to_not_be_null").partitions == {DAY: 1}
    assert held(shop.spec, shop.lake, None, "expect_column_values_to_be_unique").partitions == {}


def test_after_a_fix_the_rows_that_pass_are_valid_and_the_rest_stays(shop: Zone) -> None:
    fixed = mended(shop, 15)
    report, changes = release(fixed.spec, fixed.partitions([DAY, NEXT]), fixed.lake, NOTE)
    assert changes == {DAY: Change(4, 1, 0), NEXT: Change(1, 0, 0)}
    assert report.valid_per_partition == {DAY: 2, NEXT: 1}
    assert shop.rows("validated")["item"].tolist() == ["apple", "pear", "apple"]
    kept = {
        row: list(why)
        for row, why in zip(shop.rows("quarantine")["_row"], shop.rows("quarantine")["_reasons"], strict=True)
    }
    assert kept[4] == ["expect_column_values_to_not_be_null(item)"]
    assert shop.lake.history("shop", "validated", 1)[0]["released by"] == "ann"
    assert shop.lake.history("shop", "quarantine", 1)[0]["reason"] == "the limit was too low"
    # The second time nothing changes.
    before = shop.rows("validated")
    assert release(fixed.spec, fixed.partitions([DAY]), fixed.lake, NOTE)[1] == {DAY: Change(3, 0, 0)}
    assert shop.rows("validated").equals(before)


def test_a_stricter_rule_takes_rows_back(shop: Zone) -> None:
    strict = mended(shop, 0)
    changes = release(strict.spec, strict.partitions([NEXT]), strict.lake, NOTE)[1]
    assert changes == {NEXT: Change(1, 0, 1)}


# ------------------------------------------------------------------------------------------------- acceptance


def let_through(shop: Zone, row: int, **more: Any) -> None:
    (wanted,) = (r for r in held(shop.spec, shop.lake).rows if r.row == row and r.partition == DAY)
    accept(shop.spec, shop.lake, decide(shop.spec, shop.lake, [wanted.id], reason="seen the invoice", by="ann", **more))


def test_an_accepted_row_is_valid_and_stays_so_when_it_is_delivered_again(shop: Zone) -> None:
    let_through(shop, 3)
    report = shop.validate(DAY)
    assert report.valid == 2
    # The expectation still says what it saw.
    assert report.results[0].unexpected == 2
    # Delivered again in another place of another file, it is known; what differs in one value is not.
    drop(shop, "plum,3", "pear,11", "pear,11.5")
    assert shop.rows("validated").query("_partition == @DAY")["item"].tolist() == ["plum", "pear"]
    log = shop.lake.read("shop", "accepted").to_pylist()
    assert [(r["reason"], r["by"], r["_partition"]) for r in log] == [("seen the invoice", "ann", DAY)]


@pytest.mark.parametrize(("row", "told"), [(5, "is not a number"), (6, "duplicate key")])
def test_what_no_expectation_holds_back_cannot_be_accepted(shop: Zone, row: int, told: str) -> None:
    with pytest.raises(DataError, match=told):
        let_through(shop, row)


def test_an_acceptance_needs_a_reason_and_a_row(shop: Zone) -> None:
    row = held(shop.spec, shop.lake).rows[0].id
    with pytest.raises(DataError, match="without a reason"):
        accept(shop.spec, shop.lake, decide(shop.spec, shop.lake, [row], reason=" ", by="ann"))
    with pytest.raises(DataError, match="no quarantined row of shop has the id 'abc'"):
        decide(shop.spec, shop.lake, ["abc"], reason="so", by="ann")
    with pytest.raises(DataError, match="looked at 1 quarantined partitions"):
        decide(shop.spec, shop.lake, [row], reason="so", by="ann", partitions=[NEXT])


def test_the_id_of_a_row_is_that_of_its_content() -> None:
    rows = pa.table({"_partition": ["a", "a", "b"], "x": [1.5, None, 1.5], "y": ["1", "2", "1"], "_row": [1, 2, 3]})
    ids = row_ids(rows)
    assert len(set(ids)) == 3
    assert all(len(row) == 16 for row in ids)
    shuffled = rows.take(pa.array([2, 0, 1])).select(["y", "_partition", "x"])
    assert row_ids(shuffled).tolist() == ids[[2, 0, 1]].tolist()
    wider = rows.append_column("new", pa.nulls(3, pa.string()))
    assert np.array_equal(row_ids(wider), ids)
    # A value under one column's name is not the same under another's.
    swapped = pa.table({"_partition": ["a"], "x": ["1"], "y": [1.5]})
    assert row_ids(swapped)[0] not in ids
