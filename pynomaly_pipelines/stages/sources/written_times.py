"""Times in forms that the source declares (`%d.%m.%Y %H:%M`, epoch seconds) -> UTC; naive ones are local times."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.stages.sources.notation import EPOCHS, ISO, Notation

TIME = pa.timestamp("us", tz="UTC")
_OF_A_DAY = re.compile(r"%[-#]?[HIMSfpzZcXT]")
_ZONED = re.compile(r"%z")
_NUMBER = r"^[+-]?[0-9]+(\.[0-9]*)?(e\+?[0-9]{1,2})?$"
_LARGEST_SECONDS = 253_402_214_400
"""A day before the year 10000."""

Problems = dict[int, str]
Localise = Callable[[pa.Array, str], tuple[pa.Array, Problems]]


def placed(local: pd.Series, timezone: str) -> tuple[pd.Series, Problems]:
    """Naive local times -> UTC; those that are no single moment are missing, with the reason by index."""
    moments = local.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC")
    odd = local[moments.isna() & local.notna()]
    twice = odd.dt.tz_localize(timezone, ambiguous=np.ones(len(odd), bool), nonexistent="NaT").notna()
    problems = {}
    for position, again in twice.items():
        how = "happened twice" if again else "never happened"
        problems[int(str(position))] = f"{how} in {timezone}, where the clocks were changed"
    return moments, problems


def moments(texts: pa.Array, timezone: str, notation: Notation, iso: Localise) -> tuple[pa.Array, Problems]:
    """Texts -> UTC, each by the first of the declared forms that it has.

    Args:
        iso: how texts in ISO 8601 are read.
    """
    found = pa.nulls(len(texts), TIME)
    waiting = np.flatnonzero(pc.is_valid(texts).to_numpy(zero_copy_only=False))
    problems: Problems = {}
    for form in notation.times:
        if not len(waiting):
            break
        values, odd = _by_form(texts.take(pa.array(waiting)), form, timezone, iso)
        # A local time that is none is read all the same: no other form would make more of it.
        problems |= {int(waiting[i]): why for i, why in odd.items()}
        read = pc.is_valid(values).to_numpy(zero_copy_only=False)
        found = pc.replace_with_mask(found, _mask(len(texts), waiting[read]), values.filter(pa.array(read)))
        read[list(odd)] = True
        waiting = waiting[~read]
    problems |= dict.fromkeys(waiting.tolist(), f"is not a time in the form {' or '.join(notation.times)}")
    return found, problems


def days(texts: pa.Array, notation: Notation) -> tuple[pa.Array, Problems]:
    """Texts -> dates, each by the first of the declared forms that it has."""
    found = pd.Series(pd.NaT, index=range(len(texts)), dtype="datetime64[us]")
    series = pd.Series(texts.to_pandas(), dtype=object)
    for form in (form for form in notation.times if form not in EPOCHS):
        wanted = found.isna() & series.notna()
        given = "%Y-%m-%d" if form == ISO else form
        found[wanted] = pd.to_datetime(series[wanted], format=given, errors="coerce").dt.as_unit("us")
    values = pa.array(found.to_numpy(dtype="datetime64[us]"), from_pandas=True).cast(pa.date32())
    bad = pc.and_(pc.is_valid(texts), pc.is_null(values)).to_numpy(zero_copy_only=False)
    return values, dict.fromkeys(np.flatnonzero(bad).tolist(), f"is not a date in the form {_shown(notation)}")


def kind_of(texts: pa.Array, notation: Notation) -> pa.DataType | None:
    """Type of a column whose distinct texts are all times in the declared forms; None if they are not.

    Digits alone are never taken for epochs: any number would be one. Declare such a column as a timestamp.
    """
    forms = [form for form in notation.times if form not in EPOCHS and form != ISO]
    waiting = pd.Series(texts.to_pandas(), dtype=object)
    # One text that is no time settles it for most columns.
    if not forms or not _one_is(waiting.iloc[:1], forms):
        return None
    used = []
    for form in forms:
        read = pd.to_datetime(waiting, format=form, errors="coerce", utc=True).notna()
        if read.any():
            used.append(form)
        waiting = waiting[~read]
    if len(waiting):
        return None
    return TIME if any(_OF_A_DAY.search(form) for form in used) else pa.date32()


def _one_is(texts: pd.Series, forms: list[str]) -> bool:
    return any(pd.to_datetime(texts, format=form, errors="coerce", utc=True).notna().any() for form in forms)


def _by_form(texts: pa.Array, form: str, timezone: str, iso: Localise) -> tuple[pa.Array, Problems]:
    """Times of one form, null where a text has another, and which of them are no single moment."""
    if form in EPOCHS:
        return _epochs(texts, EPOCHS[form]), {}
    if form == ISO:
        values, problems = iso(texts, timezone)
        return values, {i: why for i, why in problems.items() if "clocks" in why}
    series = pd.Series(texts.to_pandas(), dtype=object).str.strip()
    odd: Problems = {}
    if _ZONED.search(form):
        read = pd.to_datetime(series, format=form, errors="coerce", utc=True).dt.as_unit("us")
    else:
        local = pd.to_datetime(series, format=form, errors="coerce").dt.as_unit("us")
        read, odd = placed(local, timezone)
    return pa.array(read.to_numpy(dtype="datetime64[us]"), TIME, from_pandas=True), odd


def _epochs(texts: pa.Array, per_second: int) -> pa.Array:
    """Seconds, or parts of them, since 1970 in UTC, with a fraction if wanted."""
    trimmed = pc.utf8_trim_whitespace(texts)
    shaped = pc.match_substring_regex(trimmed, _NUMBER)
    numbers = pc.if_else(shaped, trimmed, pa.scalar(None, pa.string()))
    seconds = pc.divide(pc.replace_substring_regex(numbers, r"^[+]", "").cast(pa.float64()), float(per_second))
    inside = pc.less(pc.abs(seconds), float(_LARGEST_SECONDS))
    inside = pc.and_(inside, pc.greater(seconds, -62_135_510_400.0))
    seconds = pc.if_else(inside, seconds, pa.scalar(None, pa.float64()))
    return pc.round(pc.multiply(seconds, 1e6)).cast(pa.int64()).cast(TIME)


def _mask(length: int, positions: np.ndarray) -> pa.Array:
    mask = np.zeros(length, dtype=bool)
    mask[positions] = True
    return pa.array(mask)


def _shown(notation: Notation) -> str:
    return " or ".join(form for form in notation.times if form not in EPOCHS) or "%Y-%m-%d"
