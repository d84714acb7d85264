"""Code -> the reference pages, so that they can't drift: `python docs/generate.py` writes, a test compares.

The YAML reference comes from the spec's models, commands from click, settings and errors from their modules.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import math
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from pynomaly_pipelines import specfile
from pynomaly_pipelines.cli import main
from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.matrix import Endpoint, endpoints
from pynomaly_pipelines.service.access.permissions import INSTALLATION, MEANING, OF_ROLE, PER_PIPELINE, Permission, Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.pages import operations
from pynomaly_pipelines.service.playbook import plays
from pynomaly_pipelines.service.problems import MEDIA_TYPE
from pynomaly_pipelines.service.settings import ServiceSettings
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.expectations.catalogue import KNOWN, NOTES, REFUSED

REFERENCE = Path(__file__).parent / "reference"
SUITE_ROOT = Path(__file__).parents[1]
NOTE = "<!-- Made from the code by docs/generate.py; edit the code. -->\n\n"


def pages() -> dict[str, str]:
    """File name -> content of every generated page."""
    return {
        "pipeline.md": NOTE + pipeline_page(),
        "expectations.md": NOTE + expectations_page(),
        "commands.md": NOTE + commands_page(),
        "settings.md": NOTE + settings_page(),
        "errors.md": NOTE + errors_page(),
        "detectors.md": NOTE + detectors_page(),
        "problems.md": NOTE + problems_page(),
        "api.md": NOTE + api_page(),
        "permissions.md": NOTE + permissions_page(),
        "openapi.json": json.dumps(description(), indent=1, ensure_ascii=False) + "\n",
        "pipeline.schema.json": json.dumps(specfile.json_schema(), indent=2) + "\n",
    }


def pipeline_page() -> str:
    """Every key of `attributes`, with type, default and meaning."""
    schema = PipelineSpec.model_json_schema()
    parts = [
        "# A pipeline's YAML\n",
        (
            f"One document of `type: {specfile.COMPONENT}` in `defs/<name>/defs.yaml`; these are its `attributes`. "
            "Unknown keys are errors. `pynomaly schema` prints the JSON schema for editors: "
            "[pipeline.schema.json](pipeline.schema.json).\n"
        ),
        _table(schema),
    ]
    for name, definition in schema["$defs"].items():
        # A definition with a short form is one of several shapes; the long one has the keys.
        shapes = [shape for shape in (definition, *definition.get("anyOf", [])) if "properties" in shape]
        if shapes:
            parts += [f"## {name}\n", definition.get("description", ""), "", _table(shapes[0])]
    return "\n".join(parts)


def expectations_page() -> str:
    """Every expectation of Great Expectations' core: what it judges and what it may be told, or why it is refused."""
    levels = {"row": "each row", "group": "rows beside each other", "table": "the partition"}
    rows = [
        f"| `{name}` | {levels[known.level]} | {_listed(known.required)} | {_listed(known.optional)} |"
        for name, known in sorted(KNOWN.items())
    ]
    refused = [f"| `{name}` | {why} | {instead} |" for name, (why, instead) in sorted(REFUSED.items())]
    return "\n".join(
        [
            "# Expectations\n",
            f"Each may also be told {_listed(('severity', *NOTES))}; see [Validation](../validation.md).\n",
            "| name | judges | needs | may be told |",
            "| --- | --- | --- | --- |",
            *rows,
            "\n## Refused\n",
            "| name | why | instead |",
            "| --- | --- | --- |",
            *refused,
            "",
        ]
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def commands_page() -> str:
    """The help of every command, as the terminal shows it."""
    parts = ["# Commands\n", _help(main, "pynomaly")]
    for name, command in commands(main):
        parts += [f"## pynomaly {name}\n", _help(command, f"pynomaly {name}")]
    return "\n".join(parts)


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group with its full name, sorted."""
    for name, command in sorted(group.commands.items()):
        yield f"{above}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")


def settings_page() -> str:
    """Every environment variable."""
    notes = _attribute_notes(Settings)
    rows = []
    for field in dataclasses.fields(Settings):
        variable, _, meaning = notes[field.name].partition(": ")
        rows.append(f"| `{variable}` | {meaning} |")
    return "\n".join(
        [
            *(
                "# Settings\n",
                "Environment variables, read once.\n",
                "| variable | meaning |",
                "| --- | --- |",
                *rows,
                "",
            ),
            *("## The HTTP API\n", "Lists are written as JSON.\n", "| variable | default | meaning |"),
            *("| --- | --- | --- |", *service_settings(), ""),
        ]
    )


def errors_page() -> str:
    """Every error the product raises on purpose, by code."""
    notes = dict(re.findall(r"[├└]── (\w+) +(.+)", errors.__doc__ or ""))
    rows = [
        f"| `{kind.code}` | {kind.__name__} | {notes.get(kind.__name__, 'base of the tree')} |"
        for kind in _tree(errors.PynomalyError)
    ]
    intro = "A message names what was seen, the rule it breaks and the fix, with `file:line` where a YAML caused it.\n"
    return "\n".join(["# Errors\n", intro, "| code | class | meaning |", "| --- | --- | --- |", *rows, ""])


def service_settings() -> list[str]:
    """One row for each setting of the service."""
    prefix = ServiceSettings.model_config["env_prefix"]
    return [
        f"| `{prefix}{name.upper()}` | {_default(field.get_default(call_default_factory=True))} | {field.description} |"
        for name, field in ServiceSettings.model_fields.items()
    ]


def _default(value: Any) -> str:
    shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return "" if shown in ("", None) else f"`{json.dumps(shown, default=str)}`".replace('`"', "`").replace('"`', "`")


def problems_page() -> str:
    """The playbook: what each code of the API's problems means and what to do."""
    intro = "What `type` of a problem leads to; the service shows the same at `/problems/<code>`.\n"
    parts = ["# Problems of the API\n", intro]
    for play in plays():
        again = "may succeed later" if play.retry else "fails again"
        parts += [
            f"## {play.code}\n",
            f"HTTP {play.status}. {play.meaning[:1].upper()}{play.meaning[1:]}. The same request {again}.\n",
            f"- If you asked: {play.caller}",
            f"- If you run the service: {play.operator}\n",
        ]
    return "\n".join(parts)


def description() -> dict[str, Any]:
    """The API's own, with every setting at its default."""
    settings = ServiceSettings.model_construct()
    return create_app(settings, Project(Settings.from_environment(), "pynomaly_pipelines", Path())).openapi()


def api_page() -> str:
    """Every operation of the API, with what it needs and what it may answer."""
    described = description()
    parts = [
        "# Endpoints of the API\n",
        "From [openapi.json](openapi.json), which has all types and examples. How to use it: [API](../api.md).\n",
    ]
    known = {play.code for play in plays()}
    for tag in described["tags"]:
        parts += [f"## {tag['name']}\n", f"{tag['description']}\n"]
        parts += ["| endpoint | what it does | needs | problems |", "| --- | --- | --- | --- |"]
        parts += [_operation_row(known, *o) for o in operations(described) if tag["name"] in o[2]["tags"]]
        parts.append("")
    return "\n".join(parts)


def _operation_row(known: set[str], path: str, method: str, operation: dict[str, Any]) -> str:
    answers = [answer.get("content", {}).get(MEDIA_TYPE, {}) for answer in operation["responses"].values()]
    codes = sorted({code for answer in answers for code in answer.get("examples", {})} & known)
    needs = f"`{operation['x-permission']}`" if "x-permission" in operation else ""
    needs = needs or ("an account" if "security" in operation else "nothing")
    summary = operation.get("description", "").split("\n\n")[0].replace("\n", " ")
    links = ", ".join(f"[{code}](problems.md#{code})" for code in codes)
    return f"| `{method} {path}` | {summary} | {needs} | {links} |"


def permissions_page() -> str:
    """Role × permission, and what each endpoint asks for."""
    held = [
        f"| `{permission}` | {MEANING[permission]} | "
        + " | ".join("yes" if permission in OF_ROLE[role] else "" for role in Role)
        + f" | {'yes' if permission in PER_PIPELINE else ''} |"
        for permission in Permission
    ]
    application = create_app(
        ServiceSettings.model_construct(), Project(Settings.from_environment(), "pynomaly_pipelines", Path())
    )
    everything = _listed(sorted(INSTALLATION))
    asked = [f"| `{e.method} {e.path}` | {_asked(e)} |" for e in endpoints(application)]
    return "\n".join(
        [
            "# Permissions\n",
            "How roles, grants and requests work: [Who may do what](../access.md).\n",
            f"| permission | what for | {' | '.join(Role)} | for single pipelines |",
            "| --- | --- | --- | --- | --- | --- |",
            *held,
            f"\nAccounts limited to granted pipelines do not get {everything}: they show all pipelines at once.\n",
            "## What each endpoint asks for\n",
            "| endpoint | asks for |",
            "| --- | --- |",
            *asked,
            "",
        ]
    )


def _asked(endpoint: Endpoint) -> str:
    if endpoint.public is not None:
        return f"nothing: {endpoint.public}"
    return f"`{endpoint.permission}`" if endpoint.permission else "being logged in"


def detectors_page() -> str:
    """The contract suite of detection: detectors × checks, from the marks that pytest parametrises it by."""
    sys.path.insert(0, str(SUITE_ROOT))
    suite = importlib.import_module("tests.detection.test_contract")
    sys.path.remove(str(SUITE_ROOT))
    checks = {name: _counts(test) for name, test in vars(suite).items() if name.startswith("test_")}
    cases = dict.fromkeys(case for counts in checks.values() for case in counts)
    total = sum(sum(counts.values()) for counts in checks.values())
    return "\n".join(
        [
            "# The contract of detectors\n",
            "Every detector offered passes one suite, `tests/detection/test_contract.py`. Its checks:\n",
            *(f"{i}. {name.removeprefix('test_').replace('_', ' ')}" for i, name in enumerate(checks, 1)),
            f"\nTests for each detector and check, {total} in all; a name with a dash is a further setting:\n",
            f"| detector | {' | '.join(str(i) for i in range(1, len(checks) + 1))} |",
            "| --- " * (len(checks) + 1) + "|",
            *(f"| {case} | {' | '.join(str(counts.get(case, '')) for counts in checks.values())} |" for case in cases),
            "",
        ]
    )


def _counts(test: Any) -> dict[str, int]:
    """How often pytest runs `test` for each case: once for each combination of its other parameters."""
    values = {mark.args[0]: list(mark.args[1]) for mark in test.pytestmark if mark.name == "parametrize"}
    runs = math.prod(len(given) for name, given in values.items() if name != "case")
    return dict.fromkeys(values["case"], runs)


def _tree(kind: type[errors.PynomalyError]) -> Iterator[type[errors.PynomalyError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def _table(definition: dict[str, Any]) -> str:
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    required = definition.get("required", [])
    for name, field in definition["properties"].items():
        default = "**needed**" if name in required else f"`{json.dumps(field.get('default'))}`"
        if isinstance(field.get("default"), dict):
            default = "see below"
        elif "default" not in field and name not in required:
            default = "none"
        meaning = " ".join(field.get("description", "").split())
        rows.append(f"| `{name}` | {_type(field)} | {default} | {meaning} |".replace("  ", " "))
    return "\n".join([*rows, ""])


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    options = field.get("oneOf") or field.get("anyOf")
    if options:
        return " or ".join(dict.fromkeys(_type(option) for option in options))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"mapping to {_type(field['additionalProperties'])}"
    return {"null": "nothing", None: "anything"}.get(field.get("type"), str(field.get("type")))


def _attribute_notes(kind: type) -> dict[str, str]:
    """The docstring below each attribute of a class."""
    source = textwrap.dedent(inspect.getsource(kind))
    found = re.findall(r'^    (\w+): [^\n]+\n    """(.+?)"""', source, flags=re.MULTILINE | re.DOTALL)
    return {name: " ".join(note.split()) for name, note in found}


def _help(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name, terminal_width=100, max_content_width=100)
    return f"```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    for file, content in pages().items():
        (REFERENCE / file).write_text(content, encoding="utf-8")
