"""Every mistake of a file is found in one look: those of the schema, those it hides, and those beyond it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pynomaly_pipelines import specfile
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.project import Project

HEAD = f"type: {specfile.COMPONENT}\nattributes:\n"


def told(folder: Path, text: str) -> list[tuple[int, str]]:
    """Line and problem of every mistake that a check tells."""
    path = folder / "shop" / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"{HEAD}{text}", encoding="utf-8")
    found = Project(Settings.from_environment(), "shop", folder).check()
    return [(int(problem.where.rsplit(":", 1)[1]), problem.problem) for problem in found]


def test_mistakes_of_all_depths_are_told_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert told(
        tmp_path,
        """\
  source: {type: csv, path: "x/%Y-%m-%d.csv", delimter: ";"}
  time: at
  partition: dayly
  start: 2025-03-01
  end: 2025-01-01
  expectations:
    - expect_column_values_to_be_betwen: {column: amount, min_value: 1}
    - expect_column_values_to_be_in_set: {column: country, severity: fatal}
    - expect_column_values_to_be_between:
        column: amount
        min_value: 9
        max_value: 1
  training: {detectors: [IForst, {HBOS: {bins: 3}}], windw: 5}
  threshold: {alert_rate: 2}
""",
    ) == [
        (3, "unknown key `source.delimter`"),
        (5, "`partition: 'dayly'`"),
        (7, "`end`"),
        (9, "unknown expectation 'expect_column_values_to_be_betwen'"),
        (10, "`expectations.1.severity: 'fatal'`"),
        (13, "expect_column_values_to_be_between goes from 9 to 1"),
        (15, "unknown key `training.windw`"),
        (15, "detector 'IForst'"),
        (15, "HBOS has no parameter bins"),
        (16, "`threshold.alert_rate: 2`"),
    ]


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        # What a part that was taken out would have been needed for is no mistake of its own.
        ("  source: {type: csv, path: x.csv}\n  partition: daily\n  time: at\n  start: soon\n", ["`start: 'soon'`"]),
        ("  sauce: {type: csv, path: x.csv}\n", ["unknown key `sauce`", "`source` is missing"]),
        ("  source: {type: csv, path: x.csv}\n  kind: serie\n  values: [a]\n", ["`kind: 'serie'`"]),
        # Two rules between values, of which the first hides the second.
        (
            "  source: {type: csv, path: x.csv}\n  kind: series\n  partition: daily\n  start: 2025-01-01\n",
            ["`partition`", "`kind`"],
        ),
        ("  - a list\n", ["`attributes`"]),
    ],
)
def test_no_mistake_is_made_up(tmp_path: Path, text: str, mistakes: list[str]) -> None:
    assert sorted(problem for _, problem in told(tmp_path, text)) == sorted(mistakes)
