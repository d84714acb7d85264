"""How a source writes numbers and times -> what conversion must know to read them."""

from __future__ import annotations

from dataclasses import dataclass
from re import escape

import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.spec.source import EPOCHS, ISO, AnySource, CsvSource, FileSource

_SPACES = " \u00a0\u202f"
"""A space between thousands may be an unbreakable or a narrow one."""
_APOSTROPHES = "'\u2019"


@dataclass(frozen=True)
class Notation:
    """By default as computers do: `1234.56`, and times in ISO 8601."""

    decimal: str = "."
    thousands: str = ""
    """Every character that may stand between groups of three digits."""
    times: tuple[str, ...] = ()
    """`strftime` codes, `epoch_s`, `epoch_ms` or `iso`, in the order in which they are tried; none means `iso`."""

    @property
    def takes_iso(self) -> bool:
        """Whether times may be in ISO 8601."""
        return not self.times or ISO in self.times

    @property
    def plain(self) -> bool:
        """Whether numbers are written as computers do."""
        return self.decimal == "." and not self.thousands

    def plain_numbers(self, texts: pa.Array) -> pa.Array:
        """Numbers as computers write them; texts that are none in this notation get a mark that no number has.

        Groups must be whole: with `thousands: "."` the text `1.5` is no number rather than fifteen.
        """
        if self.plain:
            return texts
        group = f"[{escape(self.thousands)}]" if self.thousands else ""
        whole = f"([0-9]+|[0-9]{{1,3}}({group}[0-9]{{3}})+)" if group else "[0-9]+"
        mark = escape(self.decimal)
        number = f"^[+-]?({whole}({mark}[0-9]*)?|{mark}[0-9]+)([eE][+-]?[0-9]+)?$"
        found = pc.replace_substring_regex(texts, group, "") if group else texts
        found = pc.replace_substring(found, self.decimal, ".") if self.decimal != "." else found
        is_number = pc.match_substring_regex(texts, number)
        has_digit = pc.match_substring_regex(texts, "[0-9]")
        # A text such as "NaN" stays; one with digits in another notation must not be taken for a number.
        kept = pc.if_else(has_digit, pc.binary_join_element_wise("?", texts, ""), texts)
        return pc.if_else(is_number, found, kept)


PLAIN = Notation()


def notation(source: AnySource) -> Notation:
    """How this source writes."""
    if not isinstance(source, FileSource):
        return PLAIN
    if not isinstance(source, CsvSource):
        return Notation(times=source.time_format)
    marks = {" ": _SPACES, "'": _APOSTROPHES}
    thousands = source.thousands or ""
    return Notation(source.decimal, marks.get(thousands, thousands), source.time_format)


__all__ = ["EPOCHS", "ISO", "PLAIN", "Notation", "notation"]
