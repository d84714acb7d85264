"""Texts become values of a column's type; what does not convert is told apart, never an exception."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.spec import ColumnType
from pynomaly_pipelines.stages.sources import written_times
from pynomaly_pipelines.stages.sources.notation import PLAIN, Notation

TIME = pa.timestamp("us", tz="UTC")
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
    "category": pa.string(),
    "boolean": pa.bool_(),
    "timestamp": TIME,
    "date": pa.date32(),
}
TRUE, FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]

_INTEGER = r"^[+-]?[0-9]+(\.0*)?$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_A_NUMBER = r"^[+-]?(nan|NaN|NAN)$"
_PADDED = r"^[+-]?0[0-9]"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?(Z|z|[+-][0-9]{2}:?[0-9]{2}))?$"
_ZONED = r"[Tt ][0-9:.,]+ ?(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_LARGEST_DIGITS = 18
_YEARS = ("0001-01-02", "9999-12-31")
"""A day short on either side, for what time zones add."""

Problems = dict[int, str]
"""Position of a value that did not convert -> why, as the rest of a sentence: "is not a number"."""


def converted(
    texts: pa.Array, kind: pa.DataType, timezone: str, notation: Notation = PLAIN
) -> tuple[pa.Array, Problems]:
    """Texts -> values of that type, null where the text is null or does not convert."""
    if pa.types.is_string(kind):
        return texts, {}
    if pa.types.is_timestamp(kind):
        return to_utc(texts, timezone, notation)
    trimmed = pc.utf8_trim_whitespace(texts)
    if pa.types.is_boolean(kind):
        return _booleans(trimmed)
    if pa.types.is_date(kind):
        return written_times.days(trimmed, notation) if notation.times else _dates(trimmed)
    trimmed = notation.plain_numbers(trimmed)
    return _integers(trimmed) if pa.types.is_integer(kind) else _numbers(trimmed)


def inferred(texts: pa.Array | pa.ChunkedArray, notation: Notation = PLAIN) -> pa.DataType:
    """The narrowest type all texts convert to; a number where there is no text at all.

    Digits with leading zeros ("02138") are names, not integers.
    """
    texts = pc.unique(pc.drop_null(texts))
    if len(texts) == 0:
        return pa.float64()
    texts = pc.utf8_trim_whitespace(texts)
    if (written := written_times.kind_of(texts, notation)) is not None:
        return written
    texts = notation.plain_numbers(texts)

    def all_match(pattern: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())

    if pc.all(pc.is_in(texts, value_set=pa.array(TRUE + FALSE))).as_py():
        return pa.bool_()
    if all_match(_NUMBER) and not pc.any(pc.match_substring_regex(texts, _PADDED)).as_py():
        whole = all_match(r"^[+-]?[0-9]+$") and pc.max(pc.utf8_length(texts)).as_py() <= _LARGEST_DIGITS
        return pa.int64() if whole else pa.float64()
    if not notation.takes_iso:
        return pa.string()
    if all_match(_DATE) and not _dates(texts)[1]:
        return pa.date32()
    if all_match(_MOMENT):
        return TIME
    return pa.string()


def to_utc(values: pa.Array, timezone: str, notation: Notation = PLAIN) -> tuple[pa.Array, Problems]:
    """Texts, dates or timestamps -> UTC; naive ones are times of `timezone`."""
    if pa.types.is_string(values.type):
        if notation.times:
            return written_times.moments(values, timezone, notation, _localised)
        return _localised(values, timezone)
    values, outside = within_years(values)
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        return values.cast(TIME, safe=False), outside
    moments, problems = _localised(values, timezone)
    return moments, outside | problems


def _localised(values: pa.Array, timezone: str) -> tuple[pa.Array, Problems]:
    try:
        return _to_utc_fast(values, timezone), {}
    except pa.ArrowInvalid:
        return _to_utc_slow(values, timezone)


def within_years(values: pa.Array) -> tuple[pa.Array, Problems]:
    """Dates or moments -> the same, null where they lie outside the years that a calendar can name."""
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        return values, {}  # 1677 to 2262
    first, last = (pa.scalar(text).cast(pa.timestamp("us")).cast(values.type, safe=False) for text in _YEARS)
    good = pc.or_kleene(pc.is_null(values), pc.and_(pc.greater(values, first), pc.less(values, last)))
    if pc.all(good).as_py():
        return values, {}
    bad = np.flatnonzero(~good.to_numpy(zero_copy_only=False)).tolist()
    return pc.if_else(good, values, pa.scalar(None, values.type)), dict.fromkeys(bad, "is outside the years 1 to 9999")


def _to_utc_fast(values: pa.Array, timezone: str) -> pa.Array:
    if pa.types.is_string(values.type):
        first = pc.drop_null(values).slice(0, 1)
        if len(first) and pc.match_substring_regex(first, _ZONED)[0].as_py():
            return values.cast(TIME)
    naive = values.cast(pa.timestamp("us"), safe=not pa.types.is_timestamp(values.type))
    if timezone == "UTC":
        return naive.cast(TIME)
    return pc.assume_timezone(naive, timezone).cast(TIME)


def _to_utc_slow(values: pa.Array, timezone: str) -> tuple[pa.Array, Problems]:
    """One value at a time where it must be: texts of several forms, and local times that are no single moment."""
    import pandas as pd

    texts = pd.Series(values.to_pandas())
    if pa.types.is_string(values.type):
        zoned = pc.fill_null(pc.match_substring_regex(values, _ZONED), False).to_numpy(zero_copy_only=False)
        # Only texts with a day: pandas also takes "2013" or "2013-01" for a moment.
        dated = pc.fill_null(pc.match_substring_regex(values, r"^\s*[0-9]{4}-?[0-9]{2}-?[0-9]{2}"), False)
        texts = texts.where(dated.to_numpy(zero_copy_only=False))
    else:
        zoned = np.zeros(len(texts), dtype=bool)
    moments = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us, UTC]")
    moments[zoned] = pd.to_datetime(texts[zoned], format="ISO8601", errors="coerce", utc=True).dt.as_unit("us")
    local = pd.to_datetime(texts[~zoned], format="ISO8601", errors="coerce", utc=True).dt.as_unit("us")
    local = local.dt.tz_localize(None)
    placed, changes = written_times.placed(local, timezone)
    moments[~zoned] = placed

    missing = moments.isna().to_numpy() & pc.is_valid(values).to_numpy(zero_copy_only=False)
    problems = dict.fromkeys(np.flatnonzero(missing).tolist(), "is not a time in ISO 8601 form")
    return pa.array(moments.to_numpy(dtype="datetime64[us]"), TIME, from_pandas=True), problems | changes


def _kept(texts: pa.Array, good: pa.Array) -> pa.Array:
    return pc.if_else(pc.fill_null(good, False), texts, pa.scalar(None, pa.string()))


def _bad(texts: pa.Array, good: pa.Array) -> list[int]:
    bad = pc.and_(pc.is_valid(texts), pc.invert(pc.fill_null(good, False)))
    return np.flatnonzero(bad.to_numpy(zero_copy_only=False)).tolist()


def _numbers(texts: pa.Array) -> tuple[pa.Array, Problems]:
    shaped = pc.or_(pc.match_substring_regex(texts, _NUMBER), pc.match_substring_regex(texts, _NOT_A_NUMBER))
    unsigned = pc.replace_substring_regex(_kept(texts, shaped), r"^[+]", "")
    values = unsigned.cast(pa.float64())
    finite = pc.and_(shaped, pc.invert(pc.is_inf(values)))
    infinite = pc.match_substring_regex(texts, r"(?i)^[+-]?inf(inity)?$")
    problems: Problems = {}
    for position in _bad(texts, finite):
        is_infinite = infinite[position].as_py() or shaped[position].as_py()
        problems[position] = "is not finite" if is_infinite else "is not a number"
    return pc.if_else(pc.fill_null(finite, False), values, pa.scalar(None, pa.float64())), problems


def _integers(texts: pa.Array) -> tuple[pa.Array, Problems]:
    shaped = pc.match_substring_regex(texts, _INTEGER)
    digits = pc.replace_substring_regex(_kept(texts, shaped), r"^[+]|\.0*$", "")
    short = pc.less_equal(pc.utf8_length(digits), _LARGEST_DIGITS)
    problems = dict.fromkeys(_bad(texts, shaped), "is not an integer")
    problems |= dict.fromkeys(_bad(digits, short), f"has more than {_LARGEST_DIGITS} digits")
    return _kept(digits, short).cast(pa.int64()), problems


def _booleans(texts: pa.Array) -> tuple[pa.Array, Problems]:
    true = pc.is_in(texts, value_set=pa.array([*TRUE, "1"]))
    good = pc.or_(true, pc.is_in(texts, value_set=pa.array([*FALSE, "0"])))
    values = pc.if_else(good, true, pa.scalar(None, pa.bool_()))
    return values, dict.fromkeys(_bad(texts, good), "is neither true nor false")


def _dates(texts: pa.Array) -> tuple[pa.Array, Problems]:
    try:
        return texts.cast(pa.date32()), {}
    except pa.ArrowInvalid:
        import pandas as pd

        shaped = pc.match_substring_regex(texts, _DATE)
        days = pd.to_datetime(pd.Series(_kept(texts, shaped).to_pandas()), format="%Y-%m-%d", errors="coerce")
        values = pa.array(days.to_numpy(dtype="datetime64[us]"), from_pandas=True).cast(pa.date32())
        return values, dict.fromkeys(_bad(texts, pc.is_valid(values)), "is not a date such as 2025-01-31")


def as_text(value: Any) -> str | None:
    """One JSON value as the text a CSV would have: objects and lists as JSON."""
    import json

    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, default=str)
