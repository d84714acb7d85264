"""Kinds of values that several parts of a spec share, and how each is shown in the JSON schema."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"


Share = Annotated[float, Field(ge=0.0, le=1.0)]


OpenShare = Annotated[float, Field(gt=0.0, lt=1.0)]


class Short:
    """In the JSON schema of a model that may also be written as a name, or as one mapping `name: {…}`."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        full = handler.resolve_ref_schema(handler(core))
        pattern = full["properties"]["name"].get("pattern", "^(?!name$)")
        named = {"type": "string", **({"pattern": pattern} if "pattern" in full["properties"]["name"] else {})}
        mapping = {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "patternProperties": {pattern: {"type": ["object", "null"]}},
            "additionalProperties": False,
        }
        return {"description": full.get("description", ""), "anyOf": [named, mapping, full]}


def _known_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is not an IANA time zone such as 'UTC' or 'America/New_York'")
    return name


def _known_cron(text: str) -> str:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001 (any moment will do)
        fits = len(text.split()) == 5  # Dagster has no field for seconds.
    except CronSimError:
        fits = False
    if not fits:
        raise ValueError(f"{text!r} is not a cron expression of five fields such as '0 3 * * 0'")
    return text


Timezone = Annotated[str, AfterValidator(_known_timezone)]


Cron = Annotated[str, AfterValidator(_known_cron)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


ColumnNames = Annotated[tuple[str, ...], BeforeValidator(_as_list), WithJsonSchema(_ONE_OR_MORE)]


def _as_texts(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


_PLAIN = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]


_TEXTS = {"anyOf": [*_PLAIN, {"type": "array", "items": {"anyOf": _PLAIN}}]}


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_texts), WithJsonSchema(_TEXTS)]
