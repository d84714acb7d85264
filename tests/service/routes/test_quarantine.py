"""Quarantined rows over HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.service.access.permissions import Role
from tests.service.stocked import Serving
from tests.stages.landing_zone import Zone

HELD = "/v1/pipelines/shop/quarantine"
DAYS = ("2025-01-01", "2025-01-02")
Till = Callable[[Role], TestClient]


@pytest.fixture
def zone(serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zone:
    """Two days of orders: three rows of the first and one of the second are held."""
    monkeypatch.setenv("PYNOMALY_LAKE", str(tmp_path / "lake"))
    attributes = {
        "name": "shop",
        "source": {"type": "csv", "path": "in/%Y-%m-%d.csv"},
        "time": "at",
        "partition": "daily",
        "start": "2025-01-01",
        "key": ["item"],
        "columns": {"amount": "number"},
        "expectations": [{"expect_column_values_to_be_between": {"column": "amount", "max_value": 10}}],
        "validation": {"max_quarantined": 1.0, "min_rows": 0},
    }
    zone = Zone(tmp_path / "project", Lake(str(tmp_path / "lake")), attributes)
    for day, lines in zip(
        DAYS, (["apple,1", "=cmd|' /C calc'!A0,-11", "pear,11", "fig,x", "-12.5,20"], ["kiwi,30"]), strict=True
    ):
        zone.drop(f"{day}.csv", "\n".join(["at,item,amount", *(f"{day} 10:00,{line}" for line in lines)]) + "\n")
        zone.ingest(day)
        zone.validate(day)
    return zone


@pytest.fixture
def till(serving: Serving, zone: Zone) -> Till:
    return lambda role: serving(None, role)


def test_rows_with_their_reasons_in_pages(till: Till) -> None:
    client = till(Role.USER)
    found, cursor = [], None
    while True:
        page = client.get(HELD, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert [(row["partition"], row["line"], row["values"]["item"]) for row in found] == [
        (DAYS[0], 4, "pear"),
        (DAYS[0], 5, "fig"),
        (DAYS[0], 6, "-12.5"),
        (DAYS[1], 2, "kiwi"),
    ]
    rule = "expect_column_values_to_be_between(amount, max_value=10)"
    assert found[0]["reasons"] == [rule]
    assert "amount='x' is not a number" in found[1]["reasons"][0]
    assert len({row["id"] for row in found}) == 4


def test_summary_and_choice_by_reason(till: Till) -> None:
    client = till(Role.USER)
    summary = client.get(f"{HELD}/summary").json()
    assert (summary["rows"], summary["partitions"]) == (4, {DAYS[0]: 3, DAYS[1]: 1})
    assert summary["reasons"] == {
        "expect_column_values_to_be_between(amount, max_value=10)": 3,
        "rejected at ingestion: amount is not a number": 1,
    }
    chosen = client.get(HELD, params={"reason": "not a number"}).json()["items"]
    assert [row["values"]["item"] for row in chosen] == ["fig"]
    assert client.get(f"{HELD}/summary", params={"partition": DAYS[1]}).json()["rows"] == 1


def test_a_file_of_them(till: Till) -> None:
    answer = till(Role.USER).get(f"{HELD}/export", params={"reason": "between"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    # A text that is a plain number stays one; see the attacks for those that are formulas.
    assert [(row["item"], float(row["amount"])) for row in rows] == [("pear", 11), ("-12.5", 20), ("kiwi", 30)]
    assert rows[0]["_reasons"] == "expect_column_values_to_be_between(amount, max_value=10)"


def test_viewers_do_not_see_them(till: Till) -> None:
    client = till(Role.VIEWER)
    for path in (HELD, f"{HELD}/summary", f"{HELD}/export", f"/v1/pipelines/shop/partitions/{DAYS[0]}/data-docs"):
        assert client.get(path).status_code == 403


def test_partitions_tell_what_was_held(till: Till) -> None:
    items = till(Role.VIEWER).get("/v1/pipelines/shop/partitions", params={"order": "oldest"}).json()["items"]
    assert [(one["key"], one["state"], one["ingested"], one["validated"], one["quarantined"]) for one in items] == [
        (DAYS[0], "validated", 5, 2, 3),
        (DAYS[1], "refused", 1, None, 1),
    ]
