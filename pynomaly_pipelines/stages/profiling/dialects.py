"""The beginning of a CSV file -> how it is written: delimiter, encoding, decimal comma, forms of its times.

Only what the values prove is said; the caller writes it into `defs.yaml`, where a person looks it over.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pynomaly_pipelines.spec import CsvSource
from pynomaly_pipelines.stages.sources.notation import Notation
from pynomaly_pipelines.stages.sources.written_times import kind_of

_BEGINNING_BYTES = 1 << 20
_COMMA_FRACTION = re.compile(r"^[+-]?[0-9]+,[0-9]+$")
_FOREIGN = re.compile(r"^[+-]?([0-9]{1,3}([. \u00a0\u202f'][0-9]{3})+|[0-9]+)(,[0-9]+)?$")
_ENGLISH = re.compile(r"^[+-]?([0-9]{1,3}([, \u00a0\u202f'][0-9]{3})+|[0-9]+)(\.[0-9]+)?$")
_GROUPED = re.compile(r"^[+-]?[0-9]{1,3}(?:([., \u00a0\u202f'])[0-9]{3})(?:\1[0-9]{3})*(?![0-9])")
_CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f")
_DAYS_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y")
_MONTHS_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y")
_OTHERS = ("%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
_TIME_NAMES = re.compile(r"time|date|epoch|(^|_)(at|ts|when|created|updated)($|_)", re.IGNORECASE)
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800


def csv_dialect(path: Path) -> dict[str, Any]:
    """What is not as usual in a CSV file, as `source:` says it."""
    with path.open("rb") as stream:
        data = stream.read(_BEGINNING_BYTES)
    data = data[: data.rfind(b"\n") + 1] or data
    header = data.split(b"\n", 1)[0]
    delimiter = max(",;\t|", key=lambda mark: header.count(mark.encode()))
    dialect: dict[str, Any] = {} if delimiter == "," else {"delimiter": delimiter}
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        dialect["encoding"] = "cp1252"
        text = data.decode("cp1252", errors="replace")
    columns = _columns(text, delimiter)
    dialect |= _marks(columns, delimiter)
    forms = _time_forms(columns, day_first=dialect.get("decimal") == ",")
    return dialect | ({"time_format": forms[0] if len(forms) == 1 else forms} if forms else {})


def interchangeable(forms: Sequence[str], days: pd.Series) -> bool:
    """Whether day and month of all these times could change places, as far as the values tell.

    Args:
        days: the day of the month of each.
    """
    numbers = [form for form in forms if "%d" in form and "%m" in form and not form.startswith("%Y")]
    return bool(numbers) and bool((days.dropna() <= 12).all())


def epoch_form(column: pd.Series, name: str) -> str | None:
    """`epoch_s` or `epoch_ms`, if a column of whole numbers is named like a time and lies in this century."""
    if not pd.api.types.is_integer_dtype(column) or not _TIME_NAMES.search(name) or column.empty:
        return None
    for form, per_second in (("epoch_s", 1), ("epoch_ms", 1_000)):
        if column.between(_YEAR_2000 * per_second, _YEAR_2100 * per_second).all():
            return form
    return None


def _columns(text: str, delimiter: str) -> dict[str, list[str]]:
    """Distinct values of each column that are values at all."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = next(rows, [])
    nothing = set(CsvSource.model_fields["null_values"].default)
    found: dict[str, dict[str, None]] = {name: {} for name in names}
    for row in rows:
        for name, value in zip(names, row, strict=False):
            if (trimmed := value.strip()) not in nothing:
                found[name][trimmed] = None
    return {name: list(values) for name, values in found.items()}


def _marks(columns: dict[str, list[str]], delimiter: str) -> dict[str, str]:
    """Decimal comma and mark between thousands.

    `1,234` alone could be either; a comma is taken for the decimal mark if a fraction has other than three digits, or
    if commas are not what stands between the columns. A mark of thousands must be proved by a fraction or by a second
    group beside it, else `1.234` stays what it may well be: a number with three decimals.
    """
    comma = any(_is_comma_column(values, delimiter) for values in columns.values())
    shape, decimal = (_FOREIGN, ",") if comma else (_ENGLISH, ".")
    marks = {} if decimal == "." else {"decimal": decimal}
    for values in columns.values():
        if values and all(shape.match(value) for value in values):
            groups = [found.group(1) for value in values if (found := _GROUPED.match(value))]
            used = {mark for mark in groups if mark != decimal}
            proved = any(_proves(value, decimal) for value in values)
            if used and proved:
                mark = used.pop()
                return {**marks, "thousands": " " if mark.isspace() else mark}
    return marks


def _is_comma_column(values: Sequence[str], delimiter: str) -> bool:
    """Whether all values are numbers with a decimal comma, at least one of them certainly."""
    if not values or not all(_FOREIGN.match(value) for value in values):
        return False
    fractions = [value.rpartition(",")[2] for value in values if "," in value]
    if not fractions:
        return False
    return delimiter != "," or any(len(fraction) != 3 for fraction in fractions)


def _proves(value: str, decimal: str) -> bool:
    found = _GROUPED.match(value)
    if found is None or found.group(1) == decimal:
        return False
    return decimal in value or value.count(found.group(1)) > 1 or found.group(1) not in ".,"


def _time_forms(columns: dict[str, list[str]], *, day_first: bool) -> list[str]:
    """The forms in which columns write times, other than ISO 8601."""
    forms: dict[str, None] = {}
    others = iso = False
    for values in columns.values():
        found = _form_of(values, day_first=day_first)
        forms |= dict.fromkeys(found)
        others = others or bool(found)
        iso = iso or (not found and bool(values) and all(re.match(r"\d{4}-\d{2}-\d{2}", value) for value in values))
    return [*forms, *(["iso"] if iso and others else [])]


def _form_of(values: Sequence[str], *, day_first: bool) -> tuple[str, ...]:
    """The form that all values have, if there is one."""
    if not values or not re.match(r"[0-9A-Za-z]{1,4}[./ -]", values[0]):
        return ()
    # A German date has dots; slashes may be either, and say so by a day past the twelfth.
    orders = (_DAYS_FIRST, _MONTHS_FIRST) if day_first else (_DAYS_FIRST[:1], _MONTHS_FIRST, _DAYS_FIRST)
    for day in (*(form for order in orders for form in order), *_OTHERS):
        clocks = [f"{day} {clock}" for clock in _CLOCKS] + [f"{day}, {clock}" for clock in _CLOCKS]
        for form in (day, *clocks):
            if _all_fit(values, (form,)):
                return (form,)
    return ()


def _all_fit(values: Sequence[str], forms: tuple[str, ...]) -> bool:
    return kind_of(pa.array(values, pa.string()), Notation(times=forms)) is not None
