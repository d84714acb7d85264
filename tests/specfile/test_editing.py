"""Lines added to a pipeline's file: everything that was there stays, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from pynomaly_pipelines import specfile
from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.specfile.editing import add_expectations

HEAD = f"# Ours.\ntype: {specfile.COMPONENT}\nattributes:\n"
LINES = ["# seen", "- expect_table_row_count_to_be_between: {min_value: 1}"]
LISTED = f"""{HEAD}\
  source: {{type: csv, path: x.csv}} # here
  expectations: # what must hold
    # not empty
    - expect_column_values_to_not_be_null: {{column: a}} # as agreed
    - expect_column_values_to_be_between:
        column: b
        max_value: 5   # euros

  # the gate
  reasons: 2
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "shop" / "defs.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


def test_behind_the_last_item_and_nothing_else_changes(tmp_path: Path) -> None:
    path = write(tmp_path, LISTED)
    add_expectations(path, "shop", LINES)
    added = "    # seen\n    - expect_table_row_count_to_be_between: {min_value: 1}\n"
    assert path.read_text(encoding="utf-8").replace(added, "") == LISTED
    (entry,) = specfile.read(path)
    assert entry.spec is not None
    assert [e.name for e in entry.spec.expectations][-1] == "expect_table_row_count_to_be_between"
    assert len(entry.spec.expectations) == 3
    assert sorted(p.name for p in path.parent.iterdir()) == ["defs.yaml"]


@pytest.mark.parametrize("end", ["\n", "", "\n# the end\n"])
def test_a_list_is_begun_where_there_is_none(tmp_path: Path, end: str) -> None:
    before = f"{HEAD}  source:\n    type: csv\n    path: x.csv{end}"
    path = write(tmp_path, before)
    add_expectations(path, "shop", LINES)
    (entry,) = specfile.read(path)
    assert entry.spec is not None
    assert len(entry.spec.expectations) == 1
    assert path.read_text(encoding="utf-8").startswith(before.removesuffix("# the end\n").rstrip("\n"))


def test_of_two_pipelines_in_a_file_the_named_one_is_changed(tmp_path: Path) -> None:
    second = HEAD.replace("attributes:", "attributes:\n  name: other")
    path = write(tmp_path, f"{LISTED}---\n{second}  source: {{type: csv, path: y.csv}}\n")
    add_expectations(path, "other", LINES)
    shop, other = specfile.read(path)
    assert shop.spec is not None
    assert other.spec is not None
    assert (len(shop.spec.expectations), len(other.spec.expectations)) == (2, 1)


def test_a_list_in_one_line_is_left_alone(tmp_path: Path) -> None:
    text = (
        f"{HEAD}  source: {{type: csv, path: x.csv}}\n  expectations: [expect_table_row_count_to_equal: {{value: 3}}]\n"
    )
    path = write(tmp_path, text)
    with pytest.raises(SpecError, match=r"defs.yaml:5: `expectations` of .* is written in one line"):
        add_expectations(path, "shop", LINES)
    assert path.read_text(encoding="utf-8") == text


def test_what_would_not_hold_is_not_written(tmp_path: Path) -> None:
    path = write(tmp_path, LISTED)
    with pytest.raises(SpecError, match="would not be readable"):
        add_expectations(path, "shop", ["- expect_nothing: [1]"])
    assert path.read_text(encoding="utf-8") == LISTED
    assert sorted(p.name for p in path.parent.iterdir()) == ["defs.yaml"]
