"""Every raw row ends in `validated` or in `quarantine`, and each partition stands or falls by its own rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pynomaly_pipelines.operations.errors import SpecError, TableError
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.expectations.reports import ValidationReport
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
DAY, NEXT = "2025-01-01", "2025-01-02"
LENIENT = {"max_quarantined": 1.0, "min_rows": 0}


def judged(shop: Zone, *lines: str, header: str = "at,item,amount", day: str = DAY) -> ValidationReport:
    """Ingest these lines, of which `{day}` begins each, as a day's file and validate it."""
    shop.drop(f"{day}.csv", "\n".join([header, *(f"{day} 10:00,{line}" for line in lines)]) + "\n")
    shop.ingest(day)
    return shop.validate(day)


def reasons(shop: Zone) -> dict[int, list[str]]:
    rows = shop.rows("quarantine")
    return {row: list(why) for row, why in zip(rows["_row"], rows["_reasons"], strict=True)}


def test_without_expectations_all_rows_are_valid(zone: Make) -> None:
    shop = zone()
    report = judged(shop, "apple,1", "pear,2")
    assert (report.rows, report.valid, report.quarantined, report.passed) == (2, 2, 0, True)
    assert shop.lake.read("shop", "validated").column_names == [
        "at", "item", "amount", "_partition", "_source", "_row",
    ]  # fmt: skip
    assert shop.lake.read("shop", "quarantine").column_names == [
        "at", "item", "amount", "_partition", "_source", "_row", "_reasons", "_text",
    ]  # fmt: skip
    assert report.valid_per_partition == {DAY: 2}
    assert report.validated.version == report.quarantine.version == 1


def test_rows_that_break_expectations_are_quarantined_with_every_reason(zone: Make) -> None:
    shop = zone(
        validation=LENIENT,
        expectations=[
            {"expect_column_values_to_not_be_null": {"column": "item"}},
            {"expect_column_values_to_be_between": {"column": "amount", "min_value": 0, "max_value": 10}},
            {"expect_column_values_to_be_in_set": {"column": "item", "value_set": ["apple", "pear"]}},
        ],
    )
    report = judged(shop, "apple,1", ",11", "fig,-1", "pear,", "apple,10")
    assert (report.valid, report.quarantined) == (3, 2)
    between = "expect_column_values_to_be_between(amount, max_value=10, min_value=0)"
    in_set = "expect_column_values_to_be_in_set(item, value_set=['apple', 'pear'])"
    assert reasons(shop) == {3: ["expect_column_values_to_not_be_null(item)", between], 4: [between, in_set]}
    assert report.reasons == {between: 2, "expect_column_values_to_not_be_null(item)": 1, in_set: 1}
    result = report.results[1]
    assert (result.name, result.column, result.success) == ("expect_column_values_to_be_between", "amount", False)
    assert (result.unexpected, result.share, result.examples) == (2, 0.4, ("11", "-1"))


def test_a_warning_is_counted_and_quarantines_nothing(zone: Make) -> None:
    shop = zone(
        expectations=[{"expect_column_values_to_be_between": {"column": "amount", "max_value": 10, "severity": "warn"}}]
    )
    report = judged(shop, "apple,11", "pear,2")
    assert (report.valid, report.passed) == (2, True)
    assert (report.results[0].severity, report.results[0].unexpected, report.results[0].success) == ("warn", 1, False)


def test_rows_rejected_at_ingestion_keep_their_text(zone: Make) -> None:
    shop = zone(columns={"amount": "number"}, validation=LENIENT)
    report = judged(shop, "apple,1", "pear,x", "fig")
    assert (report.valid, report.quarantined) == (1, 2)
    assert reasons(shop) == {3: ["amount='x' is not a number"], 4: ["2 values for 3 columns"]}
    assert shop.rows("quarantine")["_text"].tolist() == [f"{DAY} 10:00,pear,x", f"{DAY} 10:00,fig"]
    assert report.reasons == {"rejected at ingestion": 2}


def test_a_row_without_a_time_is_quarantined(zone: Make) -> None:
    shop = zone(validation=LENIENT)
    shop.drop("2025-01-01.csv", f"at,x\n{DAY},1\n,2\n")
    shop.ingest(DAY)
    assert shop.validate(DAY).quarantined == 1
    assert reasons(shop) == {3: ["at is missing"]}


def test_of_rows_with_the_same_key_the_first_valid_one_stays(zone: Make) -> None:
    shop = zone(
        key=["item"],
        validation=LENIENT,
        expectations=[{"expect_column_values_to_be_between": {"column": "amount", "min_value": 0}}],
    )
    judged(shop, "apple,-1", "apple,1", "pear,1", "apple,2", ",1", ",2")
    assert shop.rows("validated")["_row"].tolist() == [3, 4, 6]
    assert reasons(shop) == {
        2: ["expect_column_values_to_be_between(amount, min_value=0)"],
        5: ["duplicate key (item): row 3 of in/2025-01-01.csv came first"],
        7: ["duplicate key (item): row 6 of in/2025-01-01.csv came first"],
    }


def test_the_same_key_may_come_again_in_another_partition(zone: Make) -> None:
    shop = zone(key=["item"])
    for day in (DAY, NEXT):
        judged(shop, "apple,1", day=day)
    assert shop.validate(DAY, NEXT).valid == 2


def test_a_point_of_a_series_is_there_once(zone: Make) -> None:
    shop = zone(kind="series", series=["item"], values=["amount"], validation=LENIENT)
    report = judged(shop, "apple,1", "pear,1", "apple,2")
    assert (report.valid, report.quarantined) == (2, 1)
    assert reasons(shop) == {4: ["duplicate key (item, at): row 2 of in/2025-01-01.csv came first"]}


# ---------------------------------------------------------------------------------------- refused partitions


def test_too_many_quarantined_rows_refuse_the_partition_and_only_it(zone: Make) -> None:
    shop = zone(expectations=[{"expect_column_values_to_not_be_null": {"column": "item"}}])
    judged(shop, "apple,1", "pear,2", ",3")
    judged(shop, "apple,1", "pear,2", day=NEXT)
    report = shop.validate(DAY, NEXT)
    assert shop.lake.counts("shop", "validated") == {NEXT: 2}
    assert shop.lake.counts("shop", "quarantine") == {DAY: 3}
    assert (report.rows, report.valid, report.quarantined, report.passed) == (5, 2, 3, False)
    (refusal,) = report.refused
    assert (refusal.partition, refusal.rule) == (DAY, "validation.max_quarantined is 20.0%")
    assert refusal.value == "1 of 3 rows (33.3%) are quarantined"
    assert refusal.fix.startswith("1 of them: expect_column_values_to_not_be_null(item) (")
    because = "partition refused: validation.max_quarantined is 20.0%, 1 of 3 rows (33.3%) are quarantined"
    assert reasons(shop) == {
        2: [because],
        3: [because],
        4: ["expect_column_values_to_not_be_null(item)", because],
    }


def test_zero_valid_rows_refuse_the_partition(zone: Make) -> None:
    shop = zone(
        validation={"max_quarantined": 1.0},
        expectations=[{"expect_column_values_to_not_be_null": {"column": "item"}}],
    )
    report = judged(shop, ",1", ",2")
    assert [(r.rule, r.value) for r in report.refused] == [("validation.min_rows is 1", "0 rows are valid")]
    assert report.refused[0].fix.startswith("2 of them: expect_column_values_to_not_be_null(item) (")
    assert report.quarantined == 2


def test_too_few_rows_refuse_the_partition(zone: Make) -> None:
    report = judged(zone(validation={"min_rows": 3}), "apple,1", "pear,2")
    assert [(r.rule, r.value) for r in report.refused] == [("validation.min_rows is 3", "2 rows are valid")]


def test_a_partition_without_rows_is_refused(zone: Make) -> None:
    shop = zone()
    judged(shop, "apple,1")
    report = shop.validate(DAY, NEXT)
    assert [(r.partition, r.value) for r in report.refused] == [(NEXT, "the partition has no rows")]
    assert report.partitions[NEXT].valid == 0
    assert shop.lake.counts("shop", "validated") == {DAY: 1}


def test_a_refused_partition_is_refused_again_and_accepted_when_mended(zone: Make) -> None:
    shop = zone(expectations=[{"expect_column_values_to_not_be_null": {"column": "item"}}])
    judged(shop, ",1")
    assert not shop.validate(DAY).passed
    assert shop.lake.counts("shop", "quarantine") == {DAY: 1}
    assert judged(shop, "apple,1").passed
    assert shop.lake.counts("shop", "quarantine") == {}
    assert shop.lake.counts("shop", "validated") == {DAY: 1}


@pytest.mark.parametrize(
    "attributes",
    [
        {"features": ["colour"]},
        {"key": ["colour"]},
        {"expectations": [{"expect_column_values_to_not_be_null": {"column": "colour"}}]},
        {"labels": {"column": "colour"}},
    ],
)
def test_a_column_that_is_named_and_not_there_refuses_the_partition(zone: Make, attributes: dict[str, Any]) -> None:
    shop = zone()
    judged(shop, "apple,1")
    shop.attributes |= attributes
    report = shop.validate(DAY)
    assert [r.rule for r in report.refused] == ["column 'colour' is named in defs.yaml"]
    assert "'at', 'item', 'amount'" in report.refused[0].fix
    assert report.quarantined == report.rows == 1


def test_expectations_about_tables_judge_each_partition(zone: Make) -> None:
    shop = zone(
        expectations=[
            {"expect_table_row_count_to_be_between": {"min_value": 2}},
            {"expect_column_mean_to_be_between": {"column": "amount", "max_value": 5, "severity": "warn"}},
            {"expect_column_to_exist": {"column": "colour", "severity": "warn"}},
        ]
    )
    judged(shop, "apple,1")
    judged(shop, "apple,9", "pear,9", day=NEXT)
    report = shop.validate(DAY, NEXT)
    assert [(r.partition, r.rule, r.value) for r in report.refused] == [
        (DAY, "expect_table_row_count_to_be_between(min_value=2)", "observed 1")
    ]
    count, mean, exists = report.results
    assert (count.unexpected, count.share, count.success) == (1, 0.5, False)
    assert mean.examples == (f"{NEXT}: 9.0",)
    assert exists.unexpected == 2
    assert shop.lake.counts("shop", "validated") == {NEXT: 2}


def test_what_depends_on_other_rows_is_judged_within_the_partition(zone: Make) -> None:
    shop = zone(validation=LENIENT, expectations=[{"expect_column_values_to_be_unique": {"column": "item"}}])
    judged(shop, "apple,1", "pear,1", "pear,2")
    judged(shop, "apple,1", day=NEXT)
    report = shop.validate(DAY, NEXT)
    assert (report.valid, report.results[0].unexpected) == (2, 2)
    assert list(reasons(shop)) == [3, 4]


def test_mostly_forgives_within_each_partition(zone: Make) -> None:
    shop = zone(
        validation=LENIENT,
        expectations=[{"expect_column_values_to_not_be_null": {"column": "item", "mostly": 0.75}}],
    )
    judged(shop, "apple,1", "pear,1", "fig,1", ",1")
    judged(shop, "apple,1", ",1", day=NEXT)
    report = shop.validate(DAY, NEXT)
    assert report.valid_per_partition == {DAY: 4, NEXT: 1}
    assert report.results[0].unexpected == 2


def test_mostly_is_a_share_of_the_rows_that_have_a_value(zone: Make) -> None:
    """As in Great Expectations: one amount of two is too high, however many rows have none."""
    shop = zone(
        validation=LENIENT,
        expectations=[{"expect_column_values_to_be_between": {"column": "amount", "max_value": 5, "mostly": 0.75}}],
    )
    report = judged(shop, "apple,1", "pear,9", "fig,", "fig,", "fig,", "fig,")
    assert (report.valid, report.results[0].unexpected, report.results[0].success) == (5, 1, False)
    report = judged(shop, "apple,1", "pear,9", "fig,2", "fig,3")
    assert (report.valid, report.results[0].unexpected, report.results[0].success) == (4, 1, True)


def test_the_outcome_in_each_partition_is_kept(zone: Make) -> None:
    shop = zone(
        validation=LENIENT,
        expectations=[
            {"expect_column_values_to_be_between": {"column": "amount", "max_value": 5}},
            {"expect_table_row_count_to_be_between": {"min_value": 2, "severity": "warn"}},
        ],
    )
    judged(shop, "apple,1", "pear,9")
    judged(shop, "apple,1", "pear,2", day=NEXT)
    between, count = shop.validate(DAY, NEXT).results
    assert [(o.success, o.unexpected, o.judged, o.examples) for o in between.outcomes.values()] == [
        (False, 1, 2, ("9",)),
        (True, 0, 2, ()),
    ]
    assert {key: (o.success, o.examples) for key, o in count.outcomes.items()} == {
        DAY: (False, ("1",)),
        NEXT: (True, ("2",)),
    }


def test_pairs_of_columns_and_dates(zone: Make) -> None:
    shop = zone(
        timezone="America/New_York",
        validation=LENIENT,
        expectations=[
            {"expect_column_pair_values_a_to_be_greater_than_b": {"column_A": "high", "column_B": "low"}},
            {"expect_column_values_to_be_between": {"column": "at", "min_value": "2025-01-01 10:00"}},
        ],
    )
    judged(shop, "2,1", "1,2", header="at,high,low")
    assert reasons(shop) == {3: ["expect_column_pair_values_a_to_be_greater_than_b(high, low)"]}


@pytest.mark.parametrize("values", [["3", "3", "3"], ["", "", ""]])
def test_constant_and_empty_columns_are_no_fault(zone: Make, values: list[str]) -> None:
    report = judged(zone(), *[f"apple,{value}" for value in values])
    assert (report.valid, report.passed) == (3, True)


def test_one_row(zone: Make) -> None:
    assert judged(zone(), "apple,1").valid == 1


# -------------------------------------------------------------------------------------------------- the spec


def test_an_expectation_that_cannot_be_applied_is_the_spec_s_fault(zone: Make) -> None:
    shop = zone(expectations=[{"expect_column_values_to_be_between": {"column": "item", "min_value": 0}}])
    with pytest.raises(SpecError, match=r"expect_column_values_to_be_between can't be applied to item"):
        judged(shop, "apple,1")
    assert not shop.lake.exists("shop", "validated")


def test_an_unknown_expectation(zone: Make) -> None:
    shop = zone(expectations=[{"expect_column_values_to_be_betwen": {"column": "amount"}}])
    with pytest.raises(SpecError, match=r"did you mean 'expect_column_values_to_be_between'"):
        judged(shop, "apple,1")


def test_nothing_ingested(zone: Make) -> None:
    with pytest.raises(TableError, match="'raw' of pipeline 'shop' does not exist"):
        zone().validate(DAY)


def test_the_report_is_readable(zone: Make) -> None:
    shop = zone(expectations=[{"expect_column_values_to_not_be_null": {"column": "item"}}])
    assert judged(shop, "apple,1", "pear,2", ",3").markdown() == (
        "**0** of 3 rows are valid; 3 (100.00%) are quarantined. **1 partition is refused.**\n\n"
        "### Refused\n\n"
        "| partition | rule | seen | fix |\n"
        "| --- | --- | --- | --- |\n"
        "| 2025-01-01 | validation.max_quarantined is 20.0% | 1 of 3 rows (33.3%) are quarantined "
        "| 1 of them: expect_column_values_to_not_be_null(item) (`pynomaly quarantine shop --partition 2025-01-01` "
        "shows all); correct the source or the expectation, or raise the limit |\n\n"
        "### Expectations\n\n"
        "|  | expectation | column | unexpected | share | for example |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| ✗ | expect_column_values_to_not_be_null | item | 1 | 33.33% | None |\n\n"
        "### Why rows were quarantined\n\n"
        "| reason | rows |\n"
        "| --- | --- |\n"
        "| partition refused | 3 |\n"
        "| expect_column_values_to_not_be_null(item) | 1 |\n"
    )


# ----------------------------------------------------------------------------------------------------- series


def test_a_point_without_its_series_or_said_twice_is_set_aside(zone: Make) -> None:
    meters = zone(kind="series", series=["meter"], values=["load"], key=["id"], validation=LENIENT)
    meters.drop(
        "2025-01-01.csv",
        "id,at,meter,load\n1,2025-01-01T00:00Z,n,5\n2,2025-01-01T00:00Z,,5\n3,2025-01-01T00:00Z,n,6\n"
        "4,2025-01-01T01:00Z,n,7\n4,2025-01-01T02:00Z,n,8\n",
    )
    meters.ingest("2025-01-01")
    report = meters.validate("2025-01-01")
    assert meters.rows("validated")["load"].tolist() == [5, 7]
    assert report.reasons == {"meter is missing": 1, "duplicate key (id)": 1, "duplicate key (meter, at)": 1}


# ------------------------------------------------------------------------------------------------- properties

LINE = st.tuples(st.sampled_from(["apple", "pear", "", "é"]), st.sampled_from(["1", "-1", "x", "inf", "NaN", ""]))


@given(st.lists(st.lists(LINE.map(",".join), min_size=1, max_size=8), min_size=1, max_size=3), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_is_valid_or_quarantined(
    zone: Make, tmp_path_factory: pytest.TempPathFactory, days: list[list[str]], lenient: bool
) -> None:
    shop = zone(
        key=["item", "amount"],
        columns={"amount": "number", "item": "string"},
        validation=LENIENT if lenient else {},
        expectations=[{"expect_column_values_to_be_between": {"column": "amount", "min_value": 0}}],
    )
    shop.lake = Lake(str(tmp_path_factory.mktemp("lake")))
    keys = [f"2025-01-{number:02d}" for number in range(1, len(days) + 1)]
    for key, lines in zip(keys, days, strict=True):
        shop.drop(f"{key}.csv", "at,item,amount\n" + "".join(f"{key},{line}\n" for line in lines))
    shop.ingest(*keys)
    report = shop.validate(*keys)
    origin = ["_source", "_row"]
    valid, quarantined = shop.rows("validated")[origin], shop.rows("quarantine")[origin]
    assert report.rows == sum(map(len, days)) == len(valid) + len(quarantined)
    assert not set(valid.itertuples(index=False)) & set(quarantined.itertuples(index=False))
    together = {key: shop.validate(key) for key in keys}
    assert {key: one.valid_per_partition[key] for key, one in together.items()} == report.valid_per_partition
