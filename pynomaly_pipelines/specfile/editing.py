"""Lines are added to the expectations of a `defs.yaml`; everything else in the file stays as it was, comments too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.specfile import reading

_KEY = "expectations"


def add_expectations(path: Path, pipeline: str, lines: Sequence[str]) -> None:
    """Put items behind the last of a pipeline's expectations, or begin the list; the file changes whole or not at all.

    Args:
        lines: items and comments, each as it stands at the list's own indentation.

    Raises:
        SpecError: the list is written in one line, or the file would have a problem afterwards; it is unchanged.
    """
    text = path.read_text(encoding="utf-8")
    changed = _with(text, _attributes(path, text, pipeline), lines, path)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(changed, encoding="utf-8")
    try:
        problems = [p for entry in reading.read(draft) for p in entry.problems]
        if problems:
            raise SpecError(
                f"{path} would not be readable with the new lines: {problems[0]}",
                rule="a file is only written when it holds afterwards",
                fix="add the printed lines by hand",
            )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _attributes(path: Path, text: str, pipeline: str) -> yaml.MappingNode:
    """The mapping that describes the pipeline."""
    for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
        attributes = reading.child(node, "attributes")
        if isinstance(attributes, yaml.MappingNode):
            name = reading.child(attributes, "name")
            named = name.value if isinstance(name, yaml.ScalarNode) else path.parent.name
            if named == pipeline:
                return attributes
    raise SpecError(f"{path} does not describe {pipeline!r}", rule="a pipeline has its own document", fix="mend it")


def _with(text: str, attributes: yaml.MappingNode, lines: Sequence[str], path: Path) -> str:
    existing = reading.child(attributes, _KEY)
    rows = text.splitlines(keepends=True)
    if existing is None or isinstance(existing, yaml.ScalarNode):
        indent = " " * attributes.start_mark.column
        at = _last_line(attributes)
        added = [f"{indent}{_KEY}:", *(f"{indent}  {line}" for line in lines)]
    elif not isinstance(existing, yaml.SequenceNode) or existing.flow_style or not existing.value:
        raise SpecError(
            f"`{_KEY}` of {path} is written in one line",
            rule="lines are added to a list with one item a line",
            fix="write each expectation on a line of its own, beginning with `- `",
            where=f"{path}:{existing.start_mark.line + 1}",
        )
    else:
        indent = " " * existing.start_mark.column
        at = _last_line(existing)
        added = [f"{indent}{line}" for line in lines]
    before, after = "".join(rows[:at]), "".join(rows[at:])
    return f"{before}{'' if before.endswith(chr(10)) else chr(10)}" + "\n".join(added) + "\n" + after


def _last_line(node: yaml.Node) -> int:
    """The number of lines up to the end of a node. A block itself only ends where the next thing begins."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    mark = node.end_mark
    return int(mark.line + (mark.column > 0))
