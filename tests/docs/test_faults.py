"""The page of faults names tests that exist, and each of its rows has an outcome."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| (?!experiment|---)", line)
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_row_names_an_outcome_and_a_test(row: list[str]) -> None:
    _experiment, tried, on_sqlite, on_postgres, test = row
    assert re.match(r"\d", tried)
    assert {on_sqlite, on_postgres} != {"–"}
    assert (ROOT / "tests" / "faults" / test.strip("`")).is_file()
