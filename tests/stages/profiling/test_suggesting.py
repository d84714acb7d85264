"""What rows propose: every kind of expectation on data made for it, held against all partitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.spec import Expectation
from pynomaly_pipelines.stages.expectations.arguments import check_expectations
from pynomaly_pipelines.stages.profiling.suggesting import Proposal, suggest
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
DAYS = [f"2025-01-0{day}" for day in range(1, 7)]
ROWS = 60


@pytest.fixture
def shop(zone: Make) -> Zone:
    """Six days of orders: the first has one amount far off; notes are missing now and then; refs look alike."""
    shop = zone(key=["id"], labels={"column": "fraud"}, columns={"amount": "number", "note": "string"})
    for number, day in enumerate(DAYS):
        lines = ["at,id,amount,country,ref,note,fraud"]
        for row in range(ROWS):
            amount = 9000 if number == row == 0 else 10 + (7 * row + number) % 50
            note = "" if row % 10 == 0 else f"note {row}"
            lines.append(
                f"{day}T{row // 3:02d}:{row % 3}0Z,{row},{amount},{'DE' if row % 3 else 'FR'},"
                f"R-{number}{row:04d},{note},{int(row == 5)}"
            )
        shop.drop(f"{day}.csv", "\n".join(lines) + "\n")
    shop.ingest(*DAYS)
    return shop


def proposals(shop: Zone, *partitions: str) -> dict[tuple[str, tuple[str, ...]], Proposal]:
    found = suggest(shop.spec, shop.lake, partitions or None)
    return {(p.expectation.name.removeprefix("expect_"), p.expectation.columns): p for p in found}


def test_each_kind_is_proposed_with_what_speaks_for_it(shop: Zone) -> None:
    found = proposals(shop)
    assert {key: (p.expectation.arguments, p.expectation.severity) for key, p in found.items()} == {
        ("column_values_to_not_be_null", ("at",)): ({"column": "at"}, "error"),
        ("column_values_to_be_increasing", ("at",)): ({"column": "at"}, "warn"),
        ("column_values_to_not_be_null", ("id",)): ({"column": "id"}, "error"),
        ("column_values_to_not_be_null", ("amount",)): ({"column": "amount"}, "warn"),
        # 10 to 59 without the two at either end, and as much again; the one amount far off does not count.
        ("column_values_to_be_between", ("amount",)): ({"column": "amount", "min_value": 0, "max_value": 110}, "warn"),
        ("column_values_to_not_be_null", ("country",)): ({"column": "country"}, "warn"),
        ("column_values_to_be_in_set", ("country",)): ({"column": "country", "value_set": ["DE", "FR"]}, "warn"),
        ("column_values_to_not_be_null", ("ref",)): ({"column": "ref"}, "warn"),
        ("column_values_to_match_regex", ("ref",)): ({"column": "ref", "regex": r"^[A-Z]\-[0-9]{5}$"}, "warn"),
        ("column_values_to_be_unique", ("ref",)): ({"column": "ref"}, "warn"),
        ("column_values_to_not_be_null", ("note",)): ({"column": "note", "mostly": 0.8}, "warn"),
        ("table_row_count_to_be_between", ()): ({"min_value": 30, "max_value": 120}, "warn"),
    }  # fmt: skip
    assert found["column_values_to_not_be_null", ("note",)].evidence == (
        "note: 10.00% of 360 values are missing, 10.00% in the worst partition"
    )
    spec = shop.spec.model_copy(update={"expectations": tuple(p.expectation for p in found.values())})
    assert check_expectations(spec) == []


def test_the_backtest_counts_what_would_have_been_flagged(shop: Zone) -> None:
    """Learnt from a quiet day, the range is broken by the one amount far off, on the first day."""
    between = proposals(shop, DAYS[3])["column_values_to_be_between", ("amount",)]
    assert between.expectation.arguments == {"column": "amount", "min_value": 0, "max_value": 110}
    assert str(between.trial) == "1 of 360 rows break it, in 1 of 6 partitions"
    assert between.lines() == [
        "# amount: 93.3% of 60 values lie in [12, 57], all in [10, 59]",
        "# backtest: 1 of 360 rows break it, in 1 of 6 partitions",
        "- expect_column_values_to_be_between: {column: amount, min_value: 0, max_value: 110, severity: warn}",
    ]


def test_what_would_have_set_rows_aside_is_no_error(shop: Zone) -> None:
    shop.drop("2025-01-07.csv", "at,id,amount,country,ref,note,fraud\n2025-01-07T00:00Z,,1,DE,R-60000,,0\n")
    shop.ingest("2025-01-07")
    found = proposals(shop, *DAYS)["column_values_to_not_be_null", ("id",)]
    assert str(found.trial) == "1 of 361 rows break it, in 1 of 7 partitions"
    assert found.expectation.severity == "warn"


def test_what_is_there_is_not_proposed_again(shop: Zone) -> None:
    lines = [line for proposal in proposals(shop).values() for line in proposal.lines()]
    written: list[Any] = yaml.safe_load("\n".join(lines))
    again = Zone(shop.project, shop.lake, shop.attributes | {"expectations": written})
    assert [Expectation.model_validate(item).name for item in written]
    assert proposals(again) == {}


def test_too_few_rows(zone: Make) -> None:
    shop = zone()
    shop.drop(f"{DAYS[0]}.csv", f"at,x\n{DAYS[0]},1\n")
    shop.ingest(DAYS[0])
    with pytest.raises(NotEnoughData, match="1 rows of shop to learn from, in 1 partitions"):
        suggest(shop.spec, shop.lake)
