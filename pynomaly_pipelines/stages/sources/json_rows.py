"""JSON lines in pieces of whole lines -> typed rows; lines that hold no object are rejected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pynomaly_pipelines.stages.sources import conversion
from pynomaly_pipelines.stages.sources.notation import PLAIN, Notation
from pynomaly_pipelines.stages.sources.rows import (
    REJECTED,
    ROW,
    FileRows,
    Types,
    column_names,
    joined_reasons,
    shown,
    typed_texts,
    unreadable,
)


def json_rows(pieces: Iterator[bytes], types: Types, where: str, notation: Notation = PLAIN) -> Iterator[FileRows]:
    """The rows of a JSON lines file, piece by piece.

    Args:
        pieces: UTF-8 text, cut where a line ends (`text_pieces.lines`).

    Raises:
        SourceUnreadable: no line holds an object with a value.
    """
    names: dict[str, str] = {}
    first, objects = 1, False
    for data in pieces:
        lines = data.decode().split("\n")
        if data.endswith(b"\n"):
            lines.pop()
        block = _Block(lines, first)
        first += len(lines)
        objects = objects or len(block.broken) < len(block.objects)
        if not block.objects:
            continue
        _add_names(names, block.objects, where)
        if not objects:
            raise unreadable(where, "has no line with a JSON object", "the pipeline reads it with `type: jsonl`")
        if not names:
            raise unreadable(where, "has no JSON object with a value", "an object names its values")
        yield block.rows(names, types, notation)
    if not names:
        raise unreadable(where, "has only blank lines", "the pipeline reads it with `type: jsonl`")


def _add_names(names: dict[str, str], objects: Sequence[dict[str, Any]], where: str) -> None:
    """Add new names of values, with those they are stored under."""
    given = dict.fromkeys([*names, *(name for found in objects for name in found)])
    if len(given) > len(names):
        names.update(zip(given, column_names(list(given), where), strict=True))


class _Block:
    """Lines of a file, as objects."""

    def __init__(self, lines: list[str], first: int) -> None:
        self._lines = lines
        self._first = first
        self.objects: list[dict[str, Any]] = []
        self.numbers: list[int] = []
        self.broken: list[tuple[int, str]] = []
        for number, line in enumerate(lines, start=first):
            if line.strip():
                found, problem = _json_object(line)
                if problem:
                    self.broken.append((len(self.objects), problem))
                self.objects.append(found)
                self.numbers.append(number)

    def rows(self, names: dict[str, str], types: Types, notation: Notation) -> FileRows:
        """The typed rows; every name is a column."""
        texts = pa.table(
            {
                stored: pa.array([conversion.as_text(found.get(name)) for found in self.objects], pa.string())
                for name, stored in names.items()
            }
        )
        table, problems, unread = typed_texts(texts, types, notation)
        reasons = joined_reasons(len(self.objects), [*self.broken, *problems])
        own = {ROW: pa.array(self.numbers, pa.int64()), REJECTED: reasons}
        columns = dict(zip(table.column_names, table.columns, strict=True))
        return FileRows(pa.table(columns | own), self._texts, unread)

    def _texts(self, rows: Sequence[int]) -> list[str]:
        return [self._lines[row - self._first].rstrip("\r") for row in rows]


def _json_object(line: str) -> tuple[dict[str, Any], str]:
    try:
        found = json.loads(line)
    except ValueError as error:
        return {}, f"not JSON: {error}"
    except RecursionError:
        return {}, "not JSON: nested too deeply"
    return (found, "") if isinstance(found, dict) else ({}, f"not a JSON object: {shown(found)}")
