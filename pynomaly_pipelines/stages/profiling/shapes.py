"""Columns become what they look like: numbers, texts, ids, and the one pattern that all texts have."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

_ID_NAMES = re.compile(r"(^|_)(id|key|uuid|guid|number|nr|no|code|ref)$|^id(_|$)|Id$|ID$")
_CLASSES = (("A", r"[A-Z]"), ("a", r"[a-z]"), ("0", r"[0-9]"))
_RUN = re.compile("([A-Z]+)|([a-z]+)|([0-9]+)|(.)", re.DOTALL)
_LONGEST = 64
_MOST_RUNS = 12


def is_number(column: pd.Series) -> bool:
    """Whether it holds numbers, and not truth values."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def is_text(column: pd.Series) -> bool:
    """Whether it holds texts."""
    return isinstance(column.dtype, pd.StringDtype)


def is_id(frame: pd.DataFrame, name: str) -> bool:
    """Whether it names things: called like an id, whole, and nearly every value another."""
    column = frame[name].dropna()
    whole = pd.api.types.is_integer_dtype(column) or is_text(column)
    return bool(whole and len(column) and _ID_NAMES.search(name) and column.nunique() >= 0.9 * len(column))


def pattern_of(values: Iterable[str]) -> str | None:
    """The regular expression of runs of capitals, small letters and digits that all values have; None without one.

    The runs of each kind are as long as seen. Only texts of ids are meant: no spaces, at most 64 characters.
    """
    shape: tuple[str, ...] | None = None
    lengths: list[set[int]] = []
    for text in dict.fromkeys(values):
        runs = list(_runs(text))
        if len(text) > _LONGEST or len(runs) > _MOST_RUNS or any(kind.isspace() for kind, _ in runs):
            return None
        kinds = tuple(kind for kind, _ in runs)
        if shape is None:
            shape, lengths = kinds, [set() for _ in kinds]
        if kinds != shape:
            return None
        for seen, (_, length) in zip(lengths, runs, strict=True):
            seen.add(length)
    # Words of one run of letters have a shape that says nothing.
    if not shape or ("0" not in shape and len(shape) < 3):
        return None
    return "^" + "".join(_part(kind, seen) for kind, seen in zip(shape, lengths, strict=True)) + "$"


def _runs(text: str) -> Iterable[tuple[str, int]]:
    """Kinds of neighbouring characters and how many: `AB-12` is A 2, - 1, 0 2."""
    for found in _RUN.finditer(text):
        kind = next((name for name, group in zip("Aa0", found.groups(), strict=False) if group), found.group())
        yield kind, len(found.group())


def _part(kind: str, lengths: set[int]) -> str:
    body = dict(_CLASSES).get(kind)
    if body is None:
        return re.escape(kind)
    low, high = min(lengths), max(lengths)
    return body if low == high == 1 else f"{body}{{{low}}}" if low == high else f"{body}{{{low},{high}}}"
