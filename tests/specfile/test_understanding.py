"""Every mistake of a file is found in one look: those of the schema, those it hides, and those beyond it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pynomaly_pipelines import specfile
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.specfile.understanding import understood

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


WHOLE: dict[str, Any] = {
    "name": "shop",
    "source": {"type": "csv", "path": "x/%Y-%m-%d.csv"},
    "time": "at",
    "partition": "daily",
    "start": "2025-01-01",
    "end": "2025-02-01",
    "key": "id",
    "expectations": [{"expect_x": {"column": "a"}}, {"name": "expect_y", "arguments": {"column": "b"}}],
    "validation": {"docs": 3},
    "training": {"detectors": ["auto", {"HBOS": {"n_bins": 3}}], "window": 4},
    "labels": {"column": "fraud"},
    "columns": {"a": "number"},
}
JUNK: list[Any] = [None, -1, "", [], {}, "zzz", [1], {"a": 1}, [{"a": [1]}], {"type": "csv"}]


def _places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for part, value in inner:
        yield (*above, part)
        yield from _places(value, (*above, part))


@pytest.mark.parametrize("place", [pytest.param(place, id=".".join(map(str, place))) for place in _places(WHOLE)])
def test_whatever_stands_in_a_place_the_rest_is_understood(place: tuple[Any, ...]) -> None:
    for junk in JUNK:
        attributes = copy.deepcopy(WHOLE)
        holder = attributes
        for part in place[:-1]:
            holder = holder[part]
        holder[place[-1]] = copy.deepcopy(junk)
        before = copy.deepcopy(attributes)
        try:
            PipelineSpec.model_validate(attributes)
        except ValidationError as error:
            spec, _ = understood(attributes, error)
            assert spec is not None
            assert attributes == before
