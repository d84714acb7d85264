"""The files of one ingestion, held against the contract: what deviates, what is done about it, which types widen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.operations.errors import SchemaError
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.contract import Response
from pynomaly_pipelines.stages.contract.agreement import Deviation, Terms, word
from pynomaly_pipelines.stages.contract.columns import OWN_COLUMNS, needs_a_number
from pynomaly_pipelines.stages.sources.rows import REJECTED, ROW, FileRows, Unread


@dataclass
class Held:
    """What one file holds, counted while it is read."""

    names: dict[str, None] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    """Values of each column that were read."""
    unread: dict[str, Unread] = field(default_factory=dict)
    """Values that were not."""

    def see(self, rows: FileRows) -> None:
        """Count a piece."""
        for name in rows.table.column_names:
            if name not in OWN_COLUMNS:
                self.names[name] = None
                column = rows.table[name]
                self.values[name] = self.values.get(name, 0) + len(column) - column.null_count
        self.see_unread(rows.unread)

    def see_unread(self, unread: Mapping[str, Unread]) -> None:
        """Count values that could not be read."""
        for name, found in unread.items():
            self.unread[name] = self.unread[name] + found if name in self.unread else found


@dataclass
class Finding:
    """What the contract says of one file."""

    deviations: list[Deviation] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """Why all its rows are set aside; none if they are not."""
    error: SchemaError | None = None
    """Why its partitions are refused."""
    wider: dict[str, pa.DataType] = field(default_factory=dict)
    """Types that its values ask for, and that are granted."""
    optional: set[str] = field(default_factory=set)
    """Columns that may be lacking from now on."""


class Inspection:
    """Holds files against the terms that an ingestion found."""

    def __init__(self, spec: PipelineSpec, terms: Terms) -> None:
        self._spec, self._terms, self._contract = spec, terms, spec.contract

    # ------------------------------------------------------------------------------------------------ one piece

    def without_strangers(self, rows: FileRows) -> FileRows:
        """A piece less its new columns, where they are not accepted; its rows rejected with the reason."""
        new = self._new(rows.table.column_names)
        if not new or self._contract.new_column == "accept":
            return rows
        if self._contract.new_column == "quarantine":
            table = with_reasons(rows.table, [_stranger(name) for name in new])
        else:
            table = rows.table
        return FileRows(table.drop_columns(new), rows.texts, rows.unread)

    def _new(self, names: Iterable[str]) -> list[str]:
        if self._terms.learning:
            return []
        return [n for n in names if n not in self._terms.types and n not in OWN_COLUMNS]

    # ------------------------------------------------------------------------------------------------- one file

    def judge(self, held: Held, file: str, partitions: tuple[str, ...]) -> Finding:
        """What is to be done about one file."""
        found = Finding()
        for name in self._new(held.names):
            self._note(found, self._contract.new_column, _New(name), file, partitions)
        for name in self._lost(held.names):
            if self._contract.lost_column == "accept" or (self._terms.learning and name not in self._spec.columns):
                found.optional.add(name)
            if not self._terms.learning or name in self._spec.columns:
                lost = _Lost(name, word(self._terms.types[name]))
                self._note(found, self._contract.lost_column, lost, file, partitions)
        for name, unread in held.unread.items():
            self._judge_type(found, name, unread, held.values.get(name, 0), file, partitions)
        failed = [d for d in found.deviations if d.response == "fail"]
        if failed:
            found.error = SchemaError(
                "; ".join(str(d) for d in failed),
                rule="`contract` says `fail`: the partitions of such a file are refused",
                fix=failed[0].fix,
            )
        return found

    def _lost(self, names: Iterable[str]) -> list[str]:
        return sorted(set(self._terms.types) - set(names) - self._terms.optional)

    def _note(
        self, found: Finding, response: Response, change: _New | _Lost, file: str, partitions: tuple[str, ...]
    ) -> None:
        found.deviations.append(
            Deviation(
                change.name, change.was, change.now, file, partitions, response, change.done[response], change.fix
            )
        )
        if response == "quarantine":
            found.reasons.append(change.reason)

    def _judge_type(
        self, found: Finding, name: str, unread: Unread, read: int, file: str, partitions: tuple[str, ...]
    ) -> None:
        """A few values that can't be read are faults of their rows; many, or decimals of integers, change the type."""
        kind = self._terms.types.get(name)
        if kind is None:
            return
        wanted = _wider(kind, unread, read)
        granted = wanted is not None and self._grants(name, wanted)
        response: Response = self._contract.changed_type
        if response == "fail" and wanted is None:
            response = "quarantine"
        if granted and wanted is not None:
            found.wider[name], response = wanted, "accept"
            if self._terms.learning:
                return
        elif response == "accept":
            response = "quarantine"
        now = f"{word(wanted)} ({unread.example})" if wanted is not None else f"unreadable ({unread.example})"
        done = {
            "accept": f"the column is {word(wanted)} from now on",
            "quarantine": f"{unread.count} rows are in quarantine",
            "fail": "the partition was refused",
        }
        fix = self._type_fix(name, wanted)
        rows = unread.count if response == "quarantine" else 0
        found.deviations.append(Deviation(name, word(kind), now, file, partitions, response, done[response], fix, rows))

    def _grants(self, name: str, wanted: pa.DataType) -> bool:
        """Whether a column's type may widen: undeclared, no part of an identity, and not needed as a number."""
        if not self._may_widen(name, wanted):
            return False
        return self._contract.changed_type == "accept" or (self._terms.learning and word(wanted) == "number")

    def _may_widen(self, name: str, wanted: pa.DataType) -> bool:
        spec = self._spec
        if name in spec.columns or name in (spec.time, *spec.key, *spec.series):
            return False
        return word(wanted) == "number" or not needs_a_number(spec, name)

    def _type_fix(self, name: str, wanted: pa.DataType | None) -> str:
        if wanted is None or not self._may_widen(name, wanted):
            declared = f"columns: {{{name}: {word(wanted)}}}" if wanted is not None and name != self._spec.time else ""
            return "deliver the file with readable values" + (f", or declare `{declared}`" if declared else "")
        return f"if it is meant so, `columns: {{{name}: {word(wanted)}}}`, or `contract: {{changed_type: accept}}`"


def with_reasons(rows: pa.Table, reasons: Sequence[str]) -> pa.Table:
    """All rows rejected for these reasons, too, each said once."""
    column = rows[REJECTED].combine_chunks()
    for reason in reasons:
        said = pc.fill_null(pc.match_substring(column, reason), False)
        more = pc.coalesce(pc.binary_join_element_wise(column, reason, "; "), pa.scalar(reason))
        column = pc.if_else(said, column, more)
    return rows.set_column(rows.column_names.index(REJECTED), REJECTED, column)


class _New:
    def __init__(self, name: str) -> None:
        self.name, self.was, self.now = name, "not there", "there"
        self.reason = _stranger(name)
        self.fix = (
            "if it is to stay, `contract: {new_column: accept}`; "
            f"with `ignore: [{name}]` no model will ever look at it"
        )
        self.done: dict[Response, str] = {
            "accept": "kept, null in older rows; models learn it at the next training",
            "quarantine": "all rows of the file are in quarantine",
            "fail": "the partition was refused",
        }


class _Lost:
    def __init__(self, name: str, kind: str) -> None:
        self.name, self.was, self.now = name, kind, "not there"
        self.reason = f"the file has lost the column {name!r}"
        self.fix = "deliver the file with it; if it is gone for good, `contract: {lost_column: accept}`"
        self.done: dict[Response, str] = {
            "accept": "null in these rows; files may lack it from now on",
            "quarantine": "all rows of the file are in quarantine",
            "fail": "the partition was refused",
        }


def _stranger(name: str) -> str:
    return f"the file has a column {name!r} that is not in the contract"


def _wider(kind: pa.DataType, unread: Unread, read: int) -> pa.DataType | None:
    """The type that holds what was read and what was not; None while it is only single values."""
    mostly = 2 * unread.count > unread.count + read
    if pa.types.is_integer(kind) and unread.numbers:
        return pa.float64() if 2 * unread.numbers >= unread.count else (pa.string() if mostly else pa.float64())
    return pa.string() if mostly else None


__all__ = ["ROW", "Finding", "Held", "Inspection", "with_reasons"]
