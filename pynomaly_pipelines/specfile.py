"""`defs.yaml` -> PipelineSpec, or every broken rule with its file, line, value and fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.spec import PipelineSpec

COMPONENT = "pynomaly_pipelines.components.DetectionPipeline"
_FILENAMES = ("defs.yaml", "defs.yml")
_UNION_TAGS = {"csv", "parquet", "jsonl"}


@dataclass(frozen=True)
class SpecFile:
    """One YAML document that describes a pipeline, read and checked."""

    path: Path
    spec: PipelineSpec | None
    problems: tuple[SpecError, ...]


def find(folder: Path) -> list[Path]:
    """The `defs.yaml` files below a `defs` folder, sorted."""
    return sorted(p for name in _FILENAMES for p in folder.rglob(name))


def read_all(folder: Path) -> list[SpecFile]:
    """Every pipeline below a `defs` folder; two of the same name are a problem of the second."""
    found: list[SpecFile] = []
    seen: dict[str, Path] = {}
    for entry in (entry for path in find(folder) for entry in read(path)):
        twin = seen.get(entry.spec.name) if entry.spec is not None else None
        if twin is not None:
            found.append(SpecFile(entry.path, entry.spec, (*entry.problems, _same_name(entry, twin))))
            continue
        if entry.spec is not None:
            seen[entry.spec.name] = entry.path
        found.append(entry)
    return found


def load(folder: Path, name: str) -> PipelineSpec:
    """The pipeline of that name below a `defs` folder.

    Raises:
        SpecError: there is none, or its YAML breaks a rule (the first problem).
    """
    entries = read_all(folder)
    for entry in entries:
        if entry.problems and (entry.path.parent.name == name or (entry.spec and entry.spec.name == name)):
            raise entry.problems[0]
        if entry.spec and entry.spec.name == name:
            return entry.spec
    names = sorted(e.spec.name for e in entries if e.spec)
    close = difflib.get_close_matches(name, names, 1)
    raise SpecError(
        f"there is no pipeline {name!r}",
        rule=f"pipelines here: {', '.join(names) or 'none'}",
        fix=f"did you mean {close[0]!r}?" if close else f"add {folder.name}/{name}/defs.yaml, or `pynomaly new {name}`",
    )


def read(path: Path) -> list[SpecFile]:
    """The pipelines of one file; documents of another component type are passed over."""
    try:
        documents = list(yaml.compose_all(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [SpecFile(path, None, (_not_yaml(path, error),))]
    return [entry for node in documents if node is not None and (entry := _read_document(path, node)) is not None]


def problems_of(error: ValidationError, path: Path | str, node: yaml.Node | None = None) -> tuple[SpecError, ...]:
    """Each error pydantic found, with the line of the YAML node it belongs to."""
    found = [_problem(details, path, node) for details in error.errors()]
    return tuple(sorted(found, key=lambda problem: _line_number(problem.where)))


def _line_number(where: str) -> int:
    tail = where.rsplit(":", 1)[-1]
    return int(tail) if tail.isdigit() else 0


def place(entry: SpecFile, *location: str) -> str:
    """`file:line` of an attribute of a pipeline, for problems found after reading."""
    documents = yaml.compose_all(entry.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    for node in documents:
        attributes = _child(node, "attributes")
        name = (_plain(attributes) or {}).get("name", entry.path.parent.name) if attributes is not None else None
        if entry.spec is not None and name == entry.spec.name:
            return f"{entry.path}:{_line(attributes, [int(p) if p.isdigit() else p for p in location])}"
    return str(entry.path)


def _read_document(path: Path, node: yaml.Node) -> SpecFile | None:
    document = _plain(node)
    if not isinstance(document, dict) or document.get("type") != COMPONENT:
        return _maybe_mistyped(path, node, document)
    attributes = document.get("attributes") or {}
    if isinstance(attributes, dict):
        attributes = {**attributes, "name": attributes.get("name") or path.parent.name}
    inner = _child(node, "attributes") or node
    try:
        return SpecFile(path, resolved(attributes, path), ())
    except ValidationError as error:
        return SpecFile(path, None, problems_of(error, path, inner))


def resolved(attributes: Any, path: Path) -> PipelineSpec:
    """Attributes -> spec, with the events file taken relative to the YAML that names it."""
    spec = PipelineSpec.model_validate(attributes)
    if spec.labels is None or spec.labels.events is None or "://" in spec.labels.events:
        return spec
    events = str((path.parent / spec.labels.events).absolute())
    return spec.model_copy(update={"labels": spec.labels.model_copy(update={"events": events})})


def _maybe_mistyped(path: Path, node: yaml.Node, document: Any) -> SpecFile | None:
    kind = document.get("type") if isinstance(document, dict) else None
    if kind is not None and not difflib.get_close_matches(str(kind), [COMPONENT], 1, 0.8):
        return None
    where = f"{path}:{(_child(node, 'type') or node).start_mark.line + 1}"
    problem = f"`type: {kind}`" if kind else "there is no `type`"
    error = SpecError(
        problem, rule=f"a pipeline's document has `type: {COMPONENT}`", fix=f"write {COMPONENT}", where=where
    )
    return SpecFile(path, None, (error,))


def _problem(details: ErrorDetails, path: Path | str, node: yaml.Node | None) -> SpecError:
    location = [part for part in details["loc"] if part not in _UNION_TAGS]
    where = f"{path}:{_line(node, location)}" if node is not None else str(path)
    name = ".".join(str(part) for part in location)
    if details["type"] == "extra_forbidden":
        return _unknown_key(location, where)
    if details["type"] == "missing":
        return SpecError(f"`{name}` is missing", rule="it has no default", fix=f"add `{location[-1]}:`", where=where)
    value = details["input"]
    shown = f"`{name}: {value!r}`" if name and not isinstance(value, dict) else f"`{name or 'attributes'}`"
    rule = details["msg"].removeprefix("Value error, ")
    return SpecError(shown, rule=rule[:1].upper() + rule[1:], fix=_hint(details), where=where)


def _hint(details: ErrorDetails) -> str:
    expected = str(details.get("ctx", {}).get("expected", details.get("ctx", {}).get("expected_tags", "")))
    options = [option.strip(" '") for option in expected.replace(" or ", ", ").split(",") if option.strip()]
    value = details["input"]
    tried = value.get("type") if isinstance(value, dict) else value
    close = difflib.get_close_matches(str(tried), options, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"use one of {', '.join(options)}" if options else "change the value"


def _unknown_key(location: Sequence[Any], where: str) -> SpecError:
    known = list(_fields_at(location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, 1)
    fix = f"did you mean `{close[0]}`?" if close else f"use one of {', '.join(known)}"
    return SpecError(
        f"unknown key `{'.'.join(map(str, location))}`", rule="Misspelt keys are never ignored", fix=fix, where=where
    )


def _fields_at(location: Sequence[Any]) -> Iterator[str]:
    schema = PipelineSpec.model_json_schema()
    nodes = [schema]
    for part in location:
        if isinstance(part, str):
            nodes = [
                _follow(schema, n)
                for node in nodes
                for n in _variants(schema, node.get("properties", {}).get(part, {}))
            ]
    for node in nodes:
        for variant in _variants(schema, node):
            yield from variant.get("properties", {})


def _variants(schema: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    node = _follow(schema, node)
    options = node.get("oneOf") or node.get("anyOf")
    return [_follow(schema, option) for option in options] if options else [node]


def _follow(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    target: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return target


def _line(node: yaml.Node | None, location: Sequence[Any]) -> int:
    """Line (from 1) of the deepest node on the way to `location`."""
    line = node.start_mark.line if node is not None else 0
    for part in location:
        found = _child(node, part)
        if found is None:
            break
        node, line = found, _key_line(node, part, found)
    return line + 1


def _key_line(node: yaml.Node | None, part: Any, found: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode):
        return next((key.start_mark.line for key, _ in node.value if key.value == str(part)), found.start_mark.line)
    return found.start_mark.line


def _child(node: yaml.Node | None, part: Any) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        found: yaml.Node = node.value[part]
        return found
    return None


def _plain(node: yaml.Node) -> Any:
    return yaml.constructor.SafeConstructor().construct_document(node)


def _not_yaml(path: Path, error: Exception) -> SpecError:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    said = getattr(error, "problem", None) or str(error)
    return SpecError(
        f"not readable as YAML: {said}",
        rule="a pipeline is one YAML mapping in UTF-8",
        fix="mend the line",
        where=where,
    )


def _same_name(entry: SpecFile, first: Path) -> SpecError:
    assert entry.spec is not None
    return SpecError(
        f"a second pipeline is named {entry.spec.name!r}",
        rule=f"names are unique; {first} has it already",
        fix="rename its folder or set `name`",
        where=f"{entry.path}:1",
    )


def json_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of a `defs.yaml` document."""
    inner = PipelineSpec.model_json_schema()
    definitions = inner.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A pipeline of Pynomaly Pipelines",
        "type": "object",
        "required": ["type", "attributes"],
        "properties": {"type": {"const": COMPONENT}, "attributes": inner},
        "$defs": definitions,
    }
