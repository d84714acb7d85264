"""YAML in, pipelines or problems out: each problem with file and line, the value, the rule and the fix."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from pynomaly_pipelines import specfile
from pynomaly_pipelines.operations.errors import SpecError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "reference" / "pipeline.schema.json"
HEAD = f"type: {specfile.COMPONENT}\nattributes:\n  source: {{type: csv, path: a.csv}}\n"


def write(folder: Path, text: str | bytes, name: str = "shop") -> Path:
    path = folder / name / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, text: str | bytes) -> tuple[SpecError, ...]:
    (entry,) = specfile.read(write(folder, text))
    assert (entry.spec is None) == bool(entry.problems)
    return entry.problems


def problem(folder: Path, text: str | bytes) -> SpecError:
    (only,) = problems(folder, text)
    return only


def test_the_folder_names_the_pipeline(tmp_path: Path) -> None:
    (entry,) = specfile.read(write(tmp_path, HEAD))
    assert entry.spec is not None
    assert entry.spec.name == "shop"


def test_a_name_in_the_yaml_goes_before_the_folders(tmp_path: Path) -> None:
    (entry,) = specfile.read(write(tmp_path, HEAD + "  name: orders\n"))
    assert entry.spec is not None
    assert entry.spec.name == "orders"


def test_events_lie_beside_the_yaml(tmp_path: Path) -> None:
    text = HEAD + "  time: at\n  labels: {events: known.csv}\n"
    (entry,) = specfile.read(write(tmp_path, text))
    assert entry.spec is not None
    assert entry.spec.labels is not None
    assert entry.spec.labels.events == str(tmp_path / "shop" / "known.csv")


# Text below HEAD (whose three lines are right) -> line, and words of the problem, the rule and the fix.
MISTAKES = {
    "misspelt key": ("  partitoin: daily\n", 4, "partitoin", "never ignored", "did you mean `partition`"),
    "misspelt inner key": ("  training:\n    windw: 3\n", 5, "training.windw", "", "did you mean `window`"),
    "key of a section": ("  retries: 1\n", 4, "retries", "never ignored", "write it under `automation`"),
    "key of a list item": (
        "  training:\n    detectors:\n      - auto\n      - {name: HBOS, params: {}}\n",
        7,
        "training.detectors.1.params",
        "never ignored",
        "did you mean `parameters`",
    ),
    "out of bounds": ("  validation:\n    max_quarantined: 2\n", 5, "max_quarantined: 2", "less than or equal", ""),
    "not a number": ("  reasons: lots\n", 4, "reasons: 'lots'", "valid integer", ""),
    "both labels": ("  labels: {column: a, events: b}\n", 4, "labels", "`column` or `events`", ""),
    "no label": ("  labels: {}\n", 4, "labels", "`column` or `events`", ""),
    "time zone": ("  timezone: Mars/Base\n", 4, "Mars/Base", "IANA time zone", ""),
    "cron": ("  automation:\n    retrain: daily\n", 5, "'daily'", "five fields", ""),
    "reserved column": ("  reasons: 2\n  key: [id, _row]\n", 5, "key", "'_row'", "rename"),
    "column type": ("  columns:\n    a: integr\n", 5, "columns.a: 'integr'", "'integer'", "did you mean 'integer'"),
    "column named like a format": ("  columns:\n    csv: integr\n", 5, "columns.csv", "", "did you mean 'integer'"),
    "partition without time": ("  partition: daily\n", 4, "partition", "needs `time`", "name the column"),
    "end before start": (
        "  time: t\n  partition: daily\n  start: 2025-01-02\n  end: 2025-01-01\n",
        7,
        "end",
        "later than `start`",
        "first day after",
    ),
    "no such day": ("  start: 2025-02-30\n", 4, "2025-02-30", "YAML", "mend"),
    "a key twice": ("  key: a\n  ignore: c\n  key: b\n", 6, "second `key`", "line 4", "remove"),
    "several names in a detector": ("  training: {detectors: [{A: {}, B: {}}]}\n", 4, "detectors.0", "one mapping", ""),
    "severity": ("  expectations:\n    - expect_a: {severity: fatal}\n", 5, "fatal", "'error' or 'warn'", "use one of"),
    "broken YAML": ("  key: [a\n  time: t\n", 5, "not readable as YAML", "one YAML mapping", "mend"),
    "a Python object": ("  key: !!python/object:os.system a\n", 4, "python/object", "YAML", "mend"),
    "control character": ("  key: a\x00b\n", 4, "'\\x00'", "YAML", "mend"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_line_value_rule_and_fix(mistake: str, tmp_path: Path) -> None:
    text, line, value, rule, fix = MISTAKES[mistake]
    found = problem(tmp_path, HEAD + text)
    assert found.where == f"{tmp_path / 'shop' / 'defs.yaml'}:{line}"
    assert value in found.problem
    assert rule in found.rule
    assert fix in found.fix
    assert found.fix
    assert str(found).startswith(f"{found.where}: ")


def test_mistakes_in_the_source(tmp_path: Path) -> None:
    head = f"type: {specfile.COMPONENT}\nattributes:\n"
    tag = problem(tmp_path / "a", head + "  source: {type: cvs, path: a}\n")
    assert "'cvs'" in tag.rule
    assert tag.fix == "did you mean 'csv'?"
    none = problem(tmp_path / "b", head + "  source:\n    path: a\n")
    assert none.where.endswith(":3")
    assert "no `type`" in none.problem
    assert "csv, delta, jsonl, parquet, sql" in none.rule
    other = problem(tmp_path / "c", head + "  source:\n    type: parquet\n    path: a\n    delimiter: ';'\n")
    assert other.where.endswith(":6")
    assert "`source.delimiter`" in other.problem
    assert other.fix == "use one of memory_mb, path, storage, time_format, type"
    missing = problem(tmp_path / "d", head + "  key: a\n")
    assert "`source` is missing" in missing.problem
    assert missing.where.endswith(":3")


def test_every_mistake_is_told_in_the_order_of_lines(tmp_path: Path) -> None:
    found = problems(tmp_path, HEAD + "  reasons: 11\n  timezone: Mars\n  colums: {}\n")
    assert [int(each.where.rsplit(":", 1)[1]) for each in found] == [4, 5, 6]


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    found = problem(tmp_path, (HEAD + "  description: café\n").encode("latin-1"))
    assert found.where.endswith("defs.yaml:4")
    assert "0xe9" in found.problem
    assert "UTF-8" in found.fix


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_empty_file_is_a_problem(text: str, tmp_path: Path) -> None:
    assert "empty" in problem(tmp_path, text).problem


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD.replace("type: pyn", "type: pny", 1), 1),
        (HEAD.split("\n", 1)[1], 1),
        ("- a\n- b\n", 1),
        ("attributes: {}\ntype: pynomaly_pipelines.component.DetectionPipeline\n", 2),
    ],
)
def test_an_unknown_or_missing_type_is_a_problem(text: str, line: int, tmp_path: Path) -> None:
    found = problem(tmp_path, text)
    assert found.where.endswith(f":{line}")
    assert specfile.COMPONENT in found.fix


def test_documents_of_other_components_are_passed_over(tmp_path: Path) -> None:
    text = f"type: dagster_dbt.DbtProjectComponent\nattributes: {{}}\n---\n{HEAD}"
    (entry,) = specfile.read(write(tmp_path, text))
    assert entry.spec is not None


def test_lines_count_through_the_documents_of_a_file(tmp_path: Path) -> None:
    first, second = specfile.read(write(tmp_path, f"{HEAD}  name: a\n---\n{HEAD}  name: b\n  reasons: 0\n"))
    assert first.problems == ()
    assert second.problems[0].where.endswith(":10")


def test_two_pipelines_of_one_name(tmp_path: Path) -> None:
    write(tmp_path, HEAD, "a/shop")
    write(tmp_path, HEAD, "b/shop")
    first, second = specfile.read_all(tmp_path)
    assert first.problems == ()
    assert "a second pipeline is named 'shop'" in second.problems[0].problem
    assert str(first.path) in second.problems[0].rule


def test_load_finds_by_name_and_suggests(tmp_path: Path) -> None:
    write(tmp_path, HEAD)
    write(tmp_path, HEAD + "  reasons: 0\n", "bad")
    assert specfile.load(tmp_path, "shop").name == "shop"
    with pytest.raises(SpecError, match="did you mean 'shop'"):
        specfile.load(tmp_path, "shpo")
    with pytest.raises(SpecError, match="`reasons: 0`"):
        specfile.load(tmp_path, "bad")
    with pytest.raises(SpecError, match="pynomaly new zebra"):
        specfile.load(tmp_path, "zebra")


def test_the_place_of_an_attribute(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEAD}  training:\n    detectors:\n      - auto\n      - HBOS\n")
    (entry,) = specfile.read(path)
    assert specfile.place(entry, "training", "detectors", "1") == f"{path}:7"
    assert specfile.place(entry, "training", "window") == f"{path}:4"


# ---------------------------------------------------------------------------------------------------- schema


def test_the_committed_schema_is_the_products() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == specfile.json_schema(), "pynomaly schema > " + str(SCHEMA)


@pytest.mark.parametrize("path", specfile.find(ROOT / "pynomaly_pipelines" / "defs"), ids=lambda p: p.parent.name)
def test_the_schema_takes_the_example_pipelines(path: Path) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))
    jsonschema.validate(document, schema)


@pytest.mark.parametrize(
    ("attribute", "value"), [("partitoin", "daily"), ("reasons", 11), ("source", {"type": "cvs", "path": "a"})]
)
def test_the_schema_refuses_what_the_product_refuses(attribute: str, value: object) -> None:
    document = yaml.safe_load(HEAD)
    jsonschema.validate(document, specfile.json_schema())
    document["attributes"][attribute] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, specfile.json_schema())


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("key", "id"),
        ("training", {"detectors": ["auto", {"IForest": {"n_estimators": 10}}]}),
        ("expectations", ["expect_a", {"expect_b": {"column": "a"}}]),
    ],
)
def test_the_schema_takes_the_short_forms(attribute: str, value: object) -> None:
    document = yaml.safe_load(HEAD)
    document["attributes"][attribute] = value
    jsonschema.validate(document, specfile.json_schema())
