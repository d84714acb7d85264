"""The columns a pipeline agreed on with its source: in force, and how they came to be, kept with the data.

The types are those of the table `raw`. The table `contract` beside it is a log of every change: since which version of
`raw` a column has its type, whether files may lack it, and which file brought the change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.contract import Response
from pynomaly_pipelines.stages.sources.rows import Types

CONTRACT = "contract"
_SCHEMA = pa.schema(
    {
        "version": pa.int64(),
        "column": pa.string(),
        "type": pa.string(),
        "optional": pa.bool_(),
        "origin": pa.string(),
        "change": pa.string(),
        "file": pa.string(),
    }
)


@dataclass(frozen=True)
class Term:
    """What is agreed on one column, and since when."""

    version: int
    """Of `raw`, the first with this."""
    column: str
    type: str
    """In the words of `columns:`."""
    optional: bool
    """Whether a file may lack it."""
    origin: str
    """`declared` or `learned`."""
    change: str
    """What made it so."""
    file: str
    """That brought the change; empty at the beginning."""


@dataclass(frozen=True)
class Deviation:
    """One file that does not keep to the contract in one column, and what was done about it."""

    column: str
    was: str
    now: str
    file: str
    partitions: tuple[str, ...]
    response: Response
    done: str
    fix: str
    rows: int = 0
    """Rows set aside for it."""

    def __str__(self) -> str:
        return f"column {self.column!r} was {self.was} and is {self.now} in {self.file}"


@dataclass(frozen=True)
class Terms:
    """The contract as an ingestion finds it."""

    types: Types
    optional: frozenset[str] = frozenset()
    learning: bool = True
    """Whether nothing was ingested before, so that these files make the contract."""
    wider: tuple[str, ...] = ()
    """Columns whose type is wider than the table has it yet."""

    def widened(self, types: Types) -> Terms:
        """The same with wider types of these columns."""
        names = tuple(dict.fromkeys((*self.wider, *types)))
        return replace(self, types={**self.types, **types}, wider=names)


def word(kind: pa.DataType | None) -> str:
    """A type in the words of `columns:`."""
    if kind is None:
        return "unknown"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_date(kind):
        return "date"
    return "timestamp" if pa.types.is_timestamp(kind) else "string"


def widens(known: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether every value of one type can be one of the other."""
    if pa.types.is_integer(known) and pa.types.is_floating(wanted):
        return True
    return bool(pa.types.is_string(wanted) and not pa.types.is_string(known))


def wider_of(one: pa.DataType | None, other: pa.DataType) -> pa.DataType:
    """The wider of two types that a column is to be widened to."""
    return one if one is not None and widens(other, one) else other


# ------------------------------------------------------------------------------------------------------ log


def history(spec: PipelineSpec, lake: Lake) -> list[Term]:
    """Every change, the earliest first."""
    if not lake.exists(spec.name, CONTRACT):
        return []
    rows = lake.read(spec.name, CONTRACT).to_pylist()
    return sorted((Term(**row) for row in rows), key=lambda term: term.version)


def in_force(spec: PipelineSpec, lake: Lake) -> dict[str, Term]:
    """The latest term of each column."""
    return {term.column: term for term in history(spec, lake)}


def optional_columns(spec: PipelineSpec, lake: Lake) -> frozenset[str]:
    """Columns that a file may lack."""
    return frozenset(name for name, term in in_force(spec, lake).items() if term.optional)


def record(
    spec: PipelineSpec,
    lake: Lake,
    version: int,
    schema: pa.Schema,
    *,
    optional: Collection[str] = (),
    deviations: Sequence[Deviation] = (),
) -> list[Term]:
    """Write down what is new or otherwise in the columns of `raw` since that version; nothing, if nothing is.

    Args:
        schema: the user's columns.
        optional: those that files may lack from now on. Columns that are new are among them: earlier files do not
            have them, and their partitions may be read again.
    """
    known = in_force(spec, lake)
    brought = {d.column: d for d in deviations if d.response == "accept"}
    terms = []
    for field in schema:
        before, by = known.get(field.name), brought.get(field.name)
        declared = field.name in spec.columns or field.name == spec.time
        came_later = before is None and bool(known) and not declared
        may_lack = field.name in optional or came_later or (before is not None and before.optional)
        term = Term(
            version,
            field.name,
            word(field.type),
            may_lack,
            "declared" if declared else "learned",
            _change(before, word(field.type), may_lack, bool(known)),
            by.file if by else "",
        )
        if before is None or (before.type, before.optional) != (term.type, term.optional):
            terms.append(term)
    _append(spec, lake, terms)
    return terms


def _change(before: Term | None, kind: str, may_lack: bool, begun: bool) -> str:
    if before is None:
        return "new column" if begun else "first files"
    if before.type != kind:
        return f"was {before.type}"
    return "files may lack it" if may_lack and not before.optional else ""


def _append(spec: PipelineSpec, lake: Lake, terms: Iterable[Term]) -> None:
    rows = [vars(term) for term in terms]
    if rows:
        lake.append(spec.name, CONTRACT, pa.Table.from_pylist(rows, schema=_SCHEMA))
