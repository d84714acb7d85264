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
from pynomaly_pipelines.spec import Broken, PipelineSpec
from pynomaly_pipelines.specfile.understanding import understood

COMPONENT = "pynomaly_pipelines.components.DetectionPipeline"
_FILENAMES = ("defs.yaml", "defs.yml")
_TAGGED = "source"
"""The attribute whose `type` chooses its other keys; pydantic puts that type into the location of an error."""


@dataclass(frozen=True)
class SpecFile:
    """One YAML document that describes a pipeline, read and checked."""

    path: Path
    spec: PipelineSpec | None
    problems: tuple[SpecError, ...]
    partly: PipelineSpec | None = None
    """What is left without the parts that have problems, to look for more; None if nothing is wrong, or too much."""


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
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        byte = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
        return [SpecFile(path, None, (_not_yaml(f"{path}:{line}", byte, fix="save the file as UTF-8"),))]
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
        entries = [entry for node in nodes if (entry := _read_document(path, node)) is not None]
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        return [SpecFile(path, None, (_not_yaml(f"{path}:{line}", f"character {chr(error.character)!r}"),))]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        return [SpecFile(path, None, (_not_yaml(where, error.problem or str(error)),))]
    return entries if nodes else [SpecFile(path, None, (_not_yaml(f"{path}:1", "the file is empty"),))]


def problems_of(error: ValidationError, path: Path | str, node: yaml.Node | None = None) -> tuple[SpecError, ...]:
    """Each error pydantic found, with the line of the YAML node it belongs to."""
    every = error.errors()
    # A list counts as too short when an item of it is wrong; that the item is wrong says it all.
    inner = {details["loc"][:-1][:depth] for details in every for depth in range(len(details["loc"]))}
    told = [details for details in every if details["type"] != "too_short" or details["loc"] not in inner]
    found = [_problem(details, path, node) for details in told]
    return tuple(sorted(found, key=lambda problem: _line_number(problem.where)))


def _line_number(where: str) -> int:
    tail = where.rsplit(":", 1)[-1]
    return int(tail) if tail.isdigit() else 0


def place(entry: SpecFile, *location: str) -> str:
    """`file:line` of an attribute of a pipeline, for problems found after reading."""
    documents = yaml.compose_all(entry.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    for node in documents:
        attributes = child(node, "attributes")
        name = (_plain(attributes) or {}).get("name", entry.path.parent.name) if attributes is not None else None
        if entry.spec is not None and name == entry.spec.name:
            return f"{entry.path}:{_line(attributes, [int(p) if p.isdigit() else p for p in location])}"
    return str(entry.path)


def _read_document(path: Path, node: yaml.Node) -> SpecFile | None:
    twins = tuple(_twins(path, node))
    if twins:
        return SpecFile(path, None, twins)
    document = _plain(node)
    if not isinstance(document, dict) or document.get("type") != COMPONENT:
        return _maybe_mistyped(path, node, document)
    attributes = document.get("attributes") or {}
    if isinstance(attributes, dict):
        attributes = {**attributes, "name": attributes.get("name") or path.parent.name}
    inner = child(node, "attributes") or node
    try:
        return SpecFile(path, resolved(attributes, path), ())
    except ValidationError as error:
        partly, hidden = understood(attributes, error)
        told = (*problems_of(error, path, inner), *(_problem(details, path, inner) for details in hidden))
        problems = {str(problem): problem for problem in told}.values()
        partly = partly if partly is None else _with_events(partly, path)
        return SpecFile(path, None, tuple(sorted(problems, key=lambda p: _line_number(p.where))), partly)


def resolved(attributes: Any, path: Path) -> PipelineSpec:
    """Attributes -> spec, with the events file taken relative to the YAML that names it."""
    return _with_events(PipelineSpec.model_validate(attributes), path)


def _with_events(spec: PipelineSpec, path: Path) -> PipelineSpec:
    if spec.labels is None or spec.labels.events is None or "://" in spec.labels.events:
        return spec
    events = str((path.parent / spec.labels.events).absolute())
    return spec.model_copy(update={"labels": spec.labels.model_copy(update={"events": events})})


def _maybe_mistyped(path: Path, node: yaml.Node, document: Any) -> SpecFile | None:
    kind = document.get("type") if isinstance(document, dict) else None
    if kind is not None and not difflib.get_close_matches(str(kind), [COMPONENT], 1, 0.8):
        return None
    where = f"{path}:{(child(node, 'type') or node).start_mark.line + 1}"
    problem = f"`type: {kind}`" if kind else "there is no `type`"
    error = SpecError(
        problem, rule=f"a pipeline's document has `type: {COMPONENT}`", fix=f"write {COMPONENT}", where=where
    )
    return SpecFile(path, None, (error,))


def _problem(details: ErrorDetails, path: Path | str, node: yaml.Node | None) -> SpecError:
    broken = details.get("ctx", {}).get("error")
    if isinstance(broken, Broken):
        return _broken_rule(broken, path, node)
    location = _without_tag(details["loc"])
    where = f"{path}:{_line(node, location)}" if node is not None else str(path)
    name = ".".join(str(part) for part in location)
    if details["type"] == "extra_forbidden":
        return _unknown_key(details["loc"], where)
    if details["type"] == "missing":
        return SpecError(f"`{name}` is missing", rule="it has no default", fix=f"add `{location[-1]}:`", where=where)
    if details["type"] == "union_tag_not_found":
        options = ", ".join(_tags())
        return SpecError(f"`{name}` has no `type`", rule=f"it is one of {options}", fix="add `type: csv`", where=where)
    value = details["input"]
    shown = f"`{name}: {value!r}`" if name and not isinstance(value, dict) else f"`{name or 'attributes'}`"
    rule = details["msg"].removeprefix("Value error, ")
    return SpecError(shown, rule=rule[:1].upper() + rule[1:], fix=_hint(details), where=where)


def _broken_rule(broken: Broken, path: Path | str, node: yaml.Node | None) -> SpecError:
    where = f"{path}:{_line(node, broken.at.split('.'))}" if node is not None else str(path)
    rule = str(broken)
    return SpecError(f"`{broken.at}`", rule=rule[:1].upper() + rule[1:], fix=broken.fix, where=where)


def _without_tag(location: Sequence[Any]) -> list[Any]:
    tagged = len(location) > 1 and location[0] == _TAGGED and location[1] in _tags()
    return [location[0], *location[2:]] if tagged else list(location)


def _tags() -> list[str]:
    mapping = PipelineSpec.model_json_schema()["properties"][_TAGGED]["discriminator"]["mapping"]
    return list(mapping)


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
    key, shown = str(location[-1]), ".".join(map(str, _without_tag(location)))
    known = list(dict.fromkeys(_fields_at(location[:-1])))
    close = difflib.get_close_matches(key, known, 1)
    homes = [section for section in _fields_at(()) if key in _fields_at((section,))] if len(location) == 1 else []
    if homes:
        fix = f"write it under `{homes[0]}`"
    else:
        fix = f"did you mean `{close[0]}`?" if close else f"use one of {', '.join(known)}"
    return SpecError(f"unknown key `{shown}`", rule="Misspelt keys are never ignored", fix=fix, where=where)


def _fields_at(location: Sequence[Any]) -> Iterator[str]:
    """Keys that may be written at a place of the YAML, by the schema."""
    schema = PipelineSpec.model_json_schema()
    nodes = [schema]
    for part in location:
        nodes = [inner for node in nodes for inner in _step(schema, node, part)]
    for node in nodes:
        yield from node.get("properties", {})


def _step(schema: dict[str, Any], node: dict[str, Any], part: Any) -> list[dict[str, Any]]:
    if isinstance(part, int):
        return _variants(schema, node.get("items", {}))
    if part in node.get("properties", {}):
        return _variants(schema, node["properties"][part])
    # The chosen type of a tagged attribute: nothing was written for it.
    return [node] if node.get("properties", {}).get("type", {}).get("const") == part else []


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
        found = child(node, part)
        if found is None:
            break
        node, line = found, _key_line(node, part, found)
    return line + 1


def _key_line(node: yaml.Node | None, part: Any, found: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode):
        return next((key.start_mark.line for key, _ in node.value if key.value == str(part)), found.start_mark.line)
    return found.start_mark.line


def child(node: yaml.Node | None, part: Any) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        found: yaml.Node = node.value[part]
        return found
    return None


class _Constructor(yaml.constructor.SafeConstructor):
    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> Any:
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:
            problem = f"{node.value} is no date: {error}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


_Constructor.add_constructor(  # type: ignore[type-var]
    "tag:yaml.org,2002:timestamp", _Constructor.construct_yaml_timestamp
)


def _plain(node: yaml.Node) -> Any:
    return _Constructor().construct_document(node)


def _twins(path: Path, node: yaml.Node) -> Iterator[SpecError]:
    """Keys that a mapping has twice; YAML readers keep the last without a word."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twins(path, item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            yield SpecError(
                f"a second `{key.value}`",
                rule=f"a key is written once; line {seen[key.value]} has it already",
                fix="remove one of them",
                where=f"{path}:{line}",
            )
        if isinstance(key, yaml.ScalarNode):
            seen.setdefault(key.value, line)
        yield from _twins(path, value)


def _not_yaml(where: str, problem: str, *, fix: str = "mend the line") -> SpecError:
    return SpecError(
        f"not readable as YAML: {problem}", rule="a pipeline is one YAML mapping in UTF-8", fix=fix, where=where
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
