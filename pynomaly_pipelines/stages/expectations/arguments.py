"""A spec's expectations become what is wrong with them: names, arguments, values, bounds, patterns and columns.

Everything is said before any row is read, and without importing Great Expectations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from typing import Any

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.spec import Expectation, PipelineSpec
from pynomaly_pipelines.stages.expectations.catalogue import EXISTENCE, KNOWN, NOTES, REFUSED, Known

Rule = Callable[[Any], str]
"""A value becomes the rule it breaks; empty if it breaks none."""
_JSON_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_IGNORED_PAIRS = ("both_values_are_missing", "either_value_is_missing", "neither")
_IGNORED_ROWS = ("all_values_are_missing", "any_value_is_missing", "never")


def check_expectations(spec: PipelineSpec, columns: Collection[str] | None = None) -> list[SpecError]:
    """What is wrong with a spec's expectations; `where` is the path of the place, `expectations.0.<name>.<argument>`.

    Args:
        columns: the columns of the data, if they are known; a name that is none of them is a mistake.
    """
    return [
        error
        for i, expectation in enumerate(spec.expectations)
        for error in _faults(expectation, f"expectations.{i}", columns)
    ]


def unknown_expectation(name: str, where: str = "") -> SpecError:
    """No such expectation; the closest that there is, or why it can't be had."""
    if name in REFUSED:
        why, instead = REFUSED[name]
        return SpecError(f"{name} can't be used: {why}", rule="rows are judged in memory", fix=instead, where=where)
    close = get_close_matches(name, KNOWN, n=1, cutoff=0.0)
    return SpecError(
        f"unknown expectation {name!r}",
        rule="expectations are those of Great Expectations that judge rows or a partition of rows",
        fix=f"did you mean {close[0]!r}?",
        where=where,
    )


def _faults(expectation: Expectation, where: str, columns: Collection[str] | None) -> Iterator[SpecError]:
    known = KNOWN.get(expectation.name)
    if known is None:
        yield unknown_expectation(expectation.name, where)
        return
    yield from _unknown_arguments(expectation, known, where)
    yield from _missing_arguments(expectation, known, where)
    values = list(_wrong_values(expectation, known, where))
    yield from values
    if not values:
        yield from _wrong_together(expectation, known, where)
    if columns is not None and expectation.name != EXISTENCE and known.subject != "table" and not values:
        yield from _unknown_columns(expectation, where, columns)


def _unknown_arguments(expectation: Expectation, known: Known, where: str) -> Iterator[SpecError]:
    for argument in sorted(expectation.arguments.keys() - {*known.arguments, *NOTES}):
        close = get_close_matches(argument, (*known.arguments, "severity"), n=1)
        yield SpecError(
            f"{expectation.name} has no argument {argument!r}",
            rule=f"its arguments are {', '.join((*known.arguments, 'severity'))}",
            fix=f"did you mean {close[0]!r}?" if close else "leave it out",
            where=f"{where}.{expectation.name}.{argument}",
        )


def _missing_arguments(expectation: Expectation, known: Known, where: str) -> Iterator[SpecError]:
    for argument in (name for name in known.required if name not in expectation.arguments):
        yield SpecError(
            f"{expectation.name} lacks the argument {argument!r}",
            rule=f"it needs {', '.join(known.required)}",
            fix=f"write `{expectation.name}: {{{', '.join(name + ': …' for name in known.required)}}}`",
            where=where,
        )


def _wrong_values(expectation: Expectation, known: Known, where: str) -> Iterator[SpecError]:
    for argument, value in expectation.arguments.items():
        rule = _rule_of(argument, known)
        broken = rule(value) if rule is not None and argument in known.arguments else ""
        if broken:
            yield SpecError(
                f"{argument} of {expectation.name} is {value!r}",
                rule=broken,
                fix=f"correct `{argument}`",
                where=f"{where}.{expectation.name}.{argument}",
            )


def _wrong_together(expectation: Expectation, known: Known, where: str) -> Iterator[SpecError]:
    """Rules between arguments: a range has an end, and its ends are in order."""
    given = expectation.arguments
    ends = {"min_value", "max_value"} & set(known.arguments)
    # A divergence may do without: its bounds are where the bins end.
    if ends and "threshold" not in known.required and all(given.get(end) is None for end in ends):
        yield SpecError(
            f"{expectation.name} has neither min_value nor max_value",
            rule="a range has at least one end",
            fix="give one of them, or both",
            where=where,
        )
    low, high = given.get("min_value"), given.get("max_value")
    if low is not None and high is not None:
        yield from _wrong_order(expectation, low, high, where)


def _wrong_order(expectation: Expectation, low: Any, high: Any, where: str) -> Iterator[SpecError]:
    at = f"{where}.{expectation.name}.min_value"
    (kind, first), (other, last) = _bound_at(low), _bound_at(high)
    if kind != other:
        yield SpecError(
            f"{expectation.name} goes from {low!r} to {high!r}",
            rule="both ends of a range are of one kind",
            fix="write two numbers, or two dates",
            where=at,
        )
        return
    strict = bool(expectation.arguments.get("strict_min") or expectation.arguments.get("strict_max"))
    if first > last or (strict and first == last):
        yield SpecError(
            f"{expectation.name} goes from {low!r} to {high!r}{', ends excluded' if strict else ''}",
            rule="no value can be in that range",
            fix="swap min_value and max_value" if first > last else "widen it, or drop strict_min and strict_max",
            where=at,
        )


def _unknown_columns(expectation: Expectation, where: str, columns: Collection[str]) -> Iterator[SpecError]:
    for argument in ("column", "column_A", "column_B", "column_list"):
        given = expectation.arguments.get(argument, ())
        for name in (given,) if isinstance(given, str) else given:
            if name in columns:
                continue
            close = get_close_matches(name, columns, n=1)
            yield SpecError(
                f"{expectation.name} is about column {name!r}, which the data does not have",
                rule=f"its columns are {', '.join(sorted(columns)[:12])}{', …' if len(columns) > 12 else ''}",
                fix=f"did you mean {close[0]!r}?" if close else "name one of these",
                where=f"{where}.{expectation.name}.{argument}",
            )


# -------------------------------------------------------------------------------------------------- values


def _bound_at(value: Any) -> tuple[str, float]:
    """A bound as what it is compared as: `number` or `moment`, and its place among those."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        return "moment", (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return "number", float(value)


def _rule_of(argument: str, known: Known) -> Rule | None:
    if argument == "ignore_row_if":
        return _one_of(_IGNORED_PAIRS if known.subject == "pair" else _IGNORED_ROWS)
    if argument == "column_list" and known.subject == "table":
        return _names
    return _RULES.get(argument)


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and value else "it is a name or text, not empty"


def _bound(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return "it is a number or a date such as 2025-01-31"
        return ""
    numeric = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return "" if numeric or isinstance(value, date) else "it is a number or a date such as 2025-01-31"


def _number(value: Any) -> str:
    return "" if isinstance(value, int | float) and not isinstance(value, bool) else "it is a number"


def _count(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return "" if whole else "it is a whole number, not negative"


def _truth(value: Any) -> str:
    return "" if isinstance(value, bool) else "it is true or false"


def _share(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return "" if number else "it is a share from 0 to 1, such as 0.95"


def _list(value: Any) -> str:
    return "" if isinstance(value, list | tuple) and len(value) else "it is a list such as [a, b], not empty"


def _texts(value: Any) -> str:
    good = not _list(value) and all(isinstance(item, str) for item in value)
    return "" if good else "it is a list of texts, not empty"


def _columns(value: Any) -> str:
    good = not _texts(value) and len(set(value)) == len(value) >= 2
    return "" if good else "it is a list of at least two different columns"


def _names(value: Any) -> str:
    return "" if value is None else _texts(value)


def _pairs(value: Any) -> str:
    good = not _list(value) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)
    return "" if good else "it is a list of pairs such as [[a, 1], [b, 2]]"


def _pattern(value: Any) -> str:
    if not isinstance(value, str):
        return "it is a regular expression in quotes"
    try:
        re.compile(value)
    except re.error as error:
        return f"it is a regular expression; this one is none: {error}"
    return ""


def _patterns(value: Any) -> str:
    if _texts(value):
        return "it is a list of regular expressions in quotes"
    return next((broken for item in value if (broken := _pattern(item))), "")


def _strftime(value: Any) -> str:
    problem = "it is a format of dates such as '%Y-%m-%d'"
    if not isinstance(value, str) or "%" not in value:
        return problem
    try:
        moment = datetime(2000, 2, 3, 4, 5, 6)  # noqa: DTZ001 (any moment will do)
        datetime.strptime(moment.strftime(value), value)  # noqa: DTZ007
    except ValueError as error:
        return f"{problem}: {error}"
    return ""


def _quantiles(value: Any) -> str:
    problem = "it is like {quantiles: [0.1, 0.9], value_ranges: [[0, 5], [20, null]]}, as many of one as of the other"
    if not isinstance(value, Mapping) or set(value) != {"quantiles", "value_ranges"}:
        return problem
    shares, ranges = value["quantiles"], value["value_ranges"]
    if _list(shares) or _pairs(ranges) or len(shares) != len(ranges) or any(_share(share) for share in shares):
        return problem
    for low, high in ranges:
        if _bound(low) or _bound(high):
            return problem
        if low is not None and high is not None and _bound_at(low) > _bound_at(high):
            return f"no value can be in the range [{low}, {high}]"
    return ""


def _distribution(value: Any) -> str:
    problem = "it is like {values: [a, b], weights: [0.4, 0.6]} or {bins: [0, 5, 10], weights: [0.4, 0.6]}"
    if not isinstance(value, Mapping) or "weights" not in value or not {"values", "bins"} & set(value):
        return problem
    weights = value["weights"]
    names: Any = value.get("values", value.get("bins"))
    if _list(weights) or _list(names) or any(_number(weight) for weight in weights):
        return problem
    if len(names) != len(weights) + ("bins" in value):
        return f"{problem}: {len(weights)} weights do not fit {len(names)} {'bins' if 'bins' in value else 'values'}"
    total = sum(weights) + sum(value.get("tail_weights", ()))
    return "" if math.isclose(total, 1, abs_tol=1e-6) else f"its weights add up to 1, these to {total:.6g}"


def _json_schema(value: Any) -> str:
    kind = value.get("type", "object") if isinstance(value, Mapping) else None
    good = kind is not None and all(name in _JSON_TYPES for name in ([kind] if isinstance(kind, str) else kind))
    return "" if good else f"it is a JSON schema such as {{type: object}}; types are {', '.join(_JSON_TYPES)}"


def _one_of(options: Sequence[str]) -> Rule:
    def rule(value: Any) -> str:
        return "" if value in options else f"it is one of {', '.join(options)}"

    return rule


def _one_character(value: Any) -> str:
    return "" if value is None or (isinstance(value, str) and len(value) == 1) else "it is one character"


_RULES: dict[str, Rule] = {
    "allow_relative_error": lambda value: "" if isinstance(value, bool | str) else "it is true or false",
    "bucketize_data": _truth,
    "column": _text,
    "column_A": _text,
    "column_B": _text,
    "column_index": _count,
    "column_list": _columns,
    "column_set": _names,
    "condition_parser": _one_of(("pandas",)),
    "double_sided": _truth,
    "escape": _one_character,
    "exact_match": _truth,
    "internal_weight_holdout": _share,
    "json_schema": _json_schema,
    "like_pattern": _text,
    "like_pattern_list": _texts,
    "match_on": _one_of(("any", "all")),
    "max_value": _bound,
    "method": _one_of(("iqr", "std")),
    "min_value": _bound,
    "mostly": _share,
    "multiplier": _number,
    "or_equal": _truth,
    "partition_object": _distribution,
    "quantile_ranges": _quantiles,
    "regex": _pattern,
    "regex_list": _patterns,
    "row_condition": _text,
    "strftime_format": _strftime,
    "strict_max": _truth,
    "strict_min": _truth,
    "strictly": _truth,
    "sum_total": _number,
    "tail_weight_holdout": _share,
    "threshold": _number,
    "ties_okay": _truth,
    "type_": _text,
    "type_list": _texts,
    "value": _count,
    "value_pairs_set": _pairs,
    "value_set": _list,
}
