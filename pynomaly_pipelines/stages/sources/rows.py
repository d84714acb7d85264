"""What one piece of a source holds, whatever it was read from, and the words for what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pynomaly_pipelines.operations.errors import SourceUnreadable
from pynomaly_pipelines.resources.storage import LandedFile
from pynomaly_pipelines.stages.sources import conversion
from pynomaly_pipelines.stages.sources.notation import PLAIN, Notation

ROW, REJECTED, TEXT = "_row", "_rejected", "_text"
Types = Mapping[str, pa.DataType]


@dataclass(frozen=True)
class Unread:
    """Values of one column that could not be read as its type."""

    count: int
    numbers: int
    """How many of them are numbers all the same."""
    example: str

    def __add__(self, other: Unread) -> Unread:
        return Unread(self.count + other.count, self.numbers + other.numbers, self.example)


@dataclass(frozen=True)
class FileRows:
    """Rows of one file, all or a piece: its columns in the types asked for, `_row` and `_rejected` (null or reasons).

    Timestamps of text files are still texts (they convert faster many files at a time).
    """

    table: pa.Table
    texts: Callable[[Sequence[int]], list[str]]
    """Original text of the rows with these `_row` numbers."""
    unread: Mapping[str, Unread] = field(default_factory=dict)
    """By column, where there are any; those of timestamps that are still texts are not known yet."""


@dataclass
class Reading:
    """A file, or what a database holds of a partition, that is being read."""

    file: LandedFile
    """As it was read; of a database, once it is read to the end."""
    digest: str
    """SHA-256 of its bytes; empty where rows come from tables."""
    pieces: Generator[FileRows, None, None]


def unreadable(where: str, problem: str, rule: str, fix: str = "deliver the file again, whole") -> SourceUnreadable:
    return SourceUnreadable(f"file {where} {problem}", rule=rule, fix=f"{fix}; it is read as soon as it has changed")


def joined_reasons(length: int, problems: Iterable[tuple[int, str]]) -> pa.Array:
    """Reasons of each position, joined with "; ", null where there are none."""
    reasons: list[str | None] = [None] * length
    for position, reason in problems:
        before = reasons[position]
        reasons[position] = reason if before is None else f"{before}; {reason}"
    return pa.array(reasons, pa.string())


def shown(value: object) -> str:
    """A value as it stands in a reason; long ones are cut."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def column_names(names: Sequence[str], where: str) -> list[str]:
    """Names as they are stored: no leading underscore (those are the product's own), none empty, none twice."""
    stored = [name.strip().lstrip("_") or f"column_{i + 1}" for i, name in enumerate(names)]
    lowered = [name.lower() for name in stored]
    twice = sorted({name for name, low in zip(stored, lowered, strict=True) if lowered.count(low) > 1})
    if twice:
        raise unreadable(where, f"has the column {twice[0]!r} twice", "column names differ by more than case")
    return stored


def unread_in(texts: pa.Array, positions: Iterable[int], notation: Notation = PLAIN) -> Unread:
    """What is to be said of the values at these positions."""
    chosen = texts.take(pa.array(list(positions), pa.int64()))
    numbers, _ = conversion.converted(chosen, pa.float64(), "UTC", notation)
    return Unread(len(chosen), len(numbers) - numbers.null_count, shown(chosen[0].as_py()))


def typed_texts(
    texts: pa.Table, types: Types, notation: Notation = PLAIN
) -> tuple[pa.Table, list[tuple[int, str]], dict[str, Unread]]:
    """Texts -> types (timestamps stay texts), and what did not convert."""
    columns, problems, unread = [], [], {}
    for name in texts.column_names:
        column = texts[name].combine_chunks()
        kind = types.get(name, pa.string())
        if pa.types.is_timestamp(kind):
            columns.append(column)
            continue
        values, bad = conversion.converted(column, kind, "UTC", notation)
        problems += [(position, f"{name}={shown(column[position].as_py())} {why}") for position, why in bad.items()]
        columns.append(values)
        if bad:
            unread[name] = unread_in(column, bad, notation)
    return pa.table(columns, names=texts.column_names), problems, unread
