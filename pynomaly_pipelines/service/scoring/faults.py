"""What is wrong with a body that was not understood at once -> the refusal that names it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NoReturn, TypeVar

from pynomaly_pipelines.operations.errors import BadRequest, Unprocessable
from pynomaly_pipelines.service.scoring.signature import Column, Signature

EXACT = 2**53
"""Integers beyond it are not all float64."""
MOST_TOLD = 5
_SHOWN = 40
T = TypeVar("T")
_DOCS = "GET /v1/pipelines/{name}/score shows the columns"
_NULL = "no value was missing at training, so that there is nothing to judge a missing one by"


@dataclass(frozen=True)
class Fault:
    """One rule that a body breaks, and where."""

    where: str
    problem: str
    rule: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.where else self.problem


@dataclass(frozen=True)
class Literal:
    """A number as it was written: not turned into one, lest it be rounded or take long."""

    text: str


def refuse(faults: Sequence[Fault], more: bool = False) -> NoReturn:
    """Raise what is wrong, the first faults named; the rule and the fix are the first one's."""
    told = "; ".join(str(fault) for fault in faults[:MOST_TOLD])
    rest = "; and more" if more or len(faults) > MOST_TOLD else ""
    raise Unprocessable(told + rest, rule=faults[0].rule, fix=faults[0].fix)


def diagnose(body: bytes, signature: Signature, said: str) -> NoReturn:
    """Raise why these bytes are no rows of this signature.

    Args:
        said: what the fast reader found, in case that nothing else is.

    Raises:
        BadRequest: they are no JSON.
        Unprocessable: they are, of another shape.
    """
    found = first_faults(body, signature)
    if not found:
        raise Unprocessable(
            f"the rows can't be read: {said}", rule="they have the model's columns and types", fix=_DOCS
        )
    refuse(found)


def first_faults(body: bytes, signature: Signature) -> list[Fault]:
    """The first rules that a body breaks; none where it is as it should be.

    Raises:
        BadRequest: it is no JSON.
    """
    return list(itertools.islice(_faults(read_exactly(body), signature), MOST_TOLD + 1))


def plain(value: Any) -> Any:
    """What `read_exactly` gave, checked, with numbers for literals."""
    if isinstance(value, Literal):
        return float(value.text)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def read_exactly(body: bytes) -> Any:
    """JSON as Python values, numbers as `Literal`.

    Raises:
        BadRequest: malformed, not UTF-8, too deep, or a key stands twice in an object.
    """
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=Literal,
            parse_int=Literal,
            parse_float=Literal,
        )
    except UnicodeDecodeError as error:
        raise _unreadable(f"it is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise _unreadable(f"{error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise _unreadable("it is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadRequest(
            f"the key {_short(twice)} stands twice in an object",
            rule="a key stands once: which of two values counts can't be guessed",
            fix="send it once",
        )
    return found


def _unreadable(problem: str) -> BadRequest:
    return BadRequest(f"the body can't be read: {problem}", rule="it is JSON in UTF-8", fix="encode it with a library")


# ------------------------------------------------------------------------------------------------------- shape


def _faults(found: Any, signature: Signature) -> Iterator[Fault]:
    form = next(iter(found)) if isinstance(found, dict) and len(found) == 1 else None
    if form == "rows" and isinstance(found["rows"], list):
        yield from _of_rows(found["rows"], signature)
    elif form == "columns" and isinstance(found["columns"], dict):
        yield from _of_columns(found["columns"], signature)
    else:
        yield Fault(
            "",
            f"the body is {_short(found)}",
            'it is {"rows": [{column: value, …}, …]} or {"columns": {column: [value, …], …}}',
            "send one of the two, and nothing beside it",
        )


def _of_rows(rows: list[Any], signature: Signature) -> Iterator[Fault]:
    if not rows:
        yield _empty()
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            yield Fault(
                f"row {place}",
                f"{_short(row)} is no object",
                "a row is an object of columns",
                "name the columns: {column: value, …}",
            )
            continue
        yield from names(f"row {place}", row, signature)
        for column in signature.columns:
            if column.name in row:
                yield from _cell(place, column, row[column.name])


def _of_columns(columns: dict[str, Any], signature: Signature) -> Iterator[Fault]:
    yield from names("", columns, signature)
    lengths = {name: len(cells) for name, cells in columns.items() if isinstance(cells, list)}
    for column in signature.columns:
        cells = columns.get(column.name, [])
        if not isinstance(cells, list):
            yield Fault(f"column {column.name!r}", f"{_short(cells)} is no array", "a column is an array", "send one")
            continue
        for place, cell in enumerate(cells):
            yield from _cell(place, column, cell)
    if len(set(lengths.values())) > 1:
        yield ragged(lengths)
    elif not any(lengths.values()):
        yield _empty()


def ragged(lengths: dict[str, int]) -> Fault:
    """Columns of several lengths."""
    short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    return Fault(
        "",
        f"column {short!r} has {lengths[short]} values, column {long!r} has {lengths[long]}",
        "all columns have one value a row",
        "send null where a value is missing and the column allows it",
    )


def _empty() -> Fault:
    return Fault("", "there are no rows", "a request has one row or more", "send at least one")


def empty() -> NoReturn:
    """Refuse a request without rows."""
    refuse([_empty()])


def names(where: str, given: dict[str, Any], signature: Signature) -> Iterator[Fault]:
    """Columns of the model that are not among those given, and those given that are not the model's."""
    expected = f"the model reads {', '.join(signature.names[:50])}{', …' if len(signature.names) > 50 else ''}"
    missing = [name for name in signature.names if name not in given]
    unknown = [name for name in given if name not in signature.names]
    if missing:
        fix = "send every column, null where a value is missing and the column allows it"
        yield Fault(where, f"missing {_listed(missing)}", expected, fix)
    if unknown:
        yield Fault(where, f"unknown {_listed(unknown)}", expected, "send the columns of the model and no other")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(_short(name) for name in names[:MOST_TOLD])
    return f"column{'s' if len(names) > 1 else ''} {shown}" + (
        f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    )


# ------------------------------------------------------------------------------------------------------- cells


def _cell(row: int, column: Column, cell: Any) -> Iterator[Fault]:
    fault = _null(column) if cell is None else _wrong(column, cell)
    if fault is not None:
        problem, rule, fix = fault
        yield Fault(f"row {row}, column {column.name!r}", problem, rule, fix)


def _null(column: Column) -> tuple[str, str, str] | None:
    return None if column.nullable else null()


def null() -> tuple[str, str, str]:
    """What is wrong with a missing value in a column that had none."""
    return "null", _NULL, "send a value, or train on rows with gaps there"


def _wrong(column: Column, cell: Any) -> tuple[str, str, str] | None:
    if column.numeric:
        return _wrong_number(column, cell)
    if column.type == "boolean":
        good = isinstance(cell, bool)
        return None if good else (f"{_short(cell)} is no boolean", "a boolean is expected", "send true or false")
    if not isinstance(cell, str):
        return f"{_short(cell)} is no string", f"a {column.type} is expected, as a string", "put it in quotes"
    return _wrong_moment(column, cell) if column.moment else _wrong_text(cell)


def _wrong_text(cell: str) -> tuple[str, str, str] | None:
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError:
        return f"{ascii(cell)[:_SHOWN]} holds half a surrogate pair", "text is Unicode", "encode it with a library"
    return None


def _wrong_number(column: Column, cell: Any) -> tuple[str, str, str] | None:
    if not isinstance(cell, Literal):
        return f"{_short(cell)} is no number", f"a {column.type} is expected", "send a JSON number, without quotes"
    whole = cell.text.lstrip("-").isdigit()
    # Not longer than what fits: a number of a million digits takes its time.
    value = float(cell.text) if len(cell.text) < 400 or not whole else math.inf
    if not math.isfinite(value):
        return f"{_short(cell)} is not finite", "numbers are finite float64", _send_finite(column)
    if whole and abs(value) >= EXACT and int(value) != int(cell.text):
        return (
            f"{_short(cell)} is no float64",
            "integers beyond 2^53 must be exact in float64",
            "send a number that is, or declare the column as string and train again",
        )
    if column.type == "integer" and not value.is_integer():
        return f"{_short(cell)} is no integer", "an integer is expected", "send a whole number"
    return None


def _send_finite(column: Column) -> str:
    return "send null for a missing value" if column.nullable else "leave the row out"


def _wrong_moment(column: Column, cell: str) -> tuple[str, str, str] | None:
    if column.type == "date":
        good = len(cell) == 10 and _reads(date.fromisoformat, cell) is not None
        rule, fix = "a date is expected", "write it like 2025-01-31"
    else:
        moment = _reads(datetime.fromisoformat, cell)
        good = len(cell) >= 19 and moment is not None and moment.tzinfo is not None
        rule, fix = "a time as in RFC 3339 is expected, with its offset from UTC", "write it like 2025-01-31T13:00:00Z"
    return None if good else (f"{_short(cell)} is no {column.type}", rule, fix)


def _reads(read: Callable[[str], T], text: str) -> T | None:
    try:
        return read(text)
    except ValueError:
        return None


def _short(value: Any) -> str:
    if isinstance(value, Literal):
        text = value.text
    elif isinstance(value, list | dict):
        text = f"{'an array' if isinstance(value, list) else 'an object'} of {len(value)}"
    else:
        text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"
