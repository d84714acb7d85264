"""Attributes with mistakes become the spec of what is left of them, so that one look finds every mistake there is."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pynomaly_pipelines.spec import Broken, PipelineSpec

_STAND_INS: dict[tuple[str, ...], Any] = {
    ("source",): {"type": "csv", "path": "unknown.csv"},
    ("expectations",): {"expect_table_row_count_to_be_between": {"min_value": 0}},
    ("training", "detectors"): "auto",
}
"""What takes the place of a part; in a list, of the item, so that the others keep their number."""
_ROUNDS = 20


def understood(attributes: Any, error: ValidationError) -> tuple[PipelineSpec | None, list[ErrorDetails]]:
    """The spec without the parts that are wrong, and the mistakes that those had hidden.

    Returns:
        None where too little is left to make a spec of.
    """
    rest, gone, hidden = copy.deepcopy(attributes), set[str](), list[ErrorDetails]()
    details: Sequence[ErrorDetails] = error.errors()
    for _ in range(_ROUNDS):
        if not isinstance(rest, dict) or not all(_taken_out(rest, one, gone) for one in details):
            return None, hidden
        try:
            return PipelineSpec.model_validate(rest), hidden
        except ValidationError as more:
            details = more.errors()
            hidden += [one for one in details if not _is_artefact(one, gone)]
    return None, hidden


def _taken_out(rest: dict[str, Any], details: ErrorDetails, gone: set[str]) -> bool:
    """Take the part that is wrong out of the attributes, or put a stand-in there; whether there was one."""
    broken = details.get("ctx", {}).get("error")
    path: tuple[Any, ...] = tuple(broken.at.split(".")) if isinstance(broken, Broken) else tuple(details["loc"])
    if not path:
        return False
    gone.add(str(path[0]))
    for place, stand_in in _STAND_INS.items():
        if path[: len(place)] == place:
            return _replaced(rest, path, place, stand_in)
    holder: Any = rest
    for part in path[:-1]:
        if not isinstance(holder.get(part), dict) or (path[-1] not in holder[part] and part == path[-2]):
            break
        holder = holder[part]
    wrong = next((part for part in path if part in holder), None)
    holder.pop(wrong, None)
    return wrong is not None


def _replaced(rest: dict[str, Any], path: Sequence[Any], place: tuple[str, ...], stand_in: Any) -> bool:
    inner: Any = rest
    for part in place[:-1]:
        inner = inner[part]
    items = inner.get(place[-1])
    number = path[len(place)] if len(path) > len(place) else None
    if isinstance(items, list) and isinstance(number, int):
        items[number] = stand_in
    elif place == ("source",):
        inner["source"] = stand_in
    else:
        inner.pop(place[-1])
    return True


def _is_artefact(details: ErrorDetails, gone: set[str]) -> bool:
    """Whether a rule is only broken because a part was taken out."""
    named = set(re.findall(r"`(\w+)", str(details["msg"])))
    return details["type"] == "missing" or bool(named & gone)
