"""Bytes of a request -> JSON that can mean only one thing, and routes that read their bodies so.

RFC 8259 leaves open what duplicate names, deep nesting, NaN and a byte order mark mean; here they are refused
(RFC 7493, I-JSON), as no two readers of such a body need agree on what it says.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Coroutine, Sequence
from email.message import Message
from typing import Any

from fastapi import APIRouter, Request, params
from fastapi.routing import APIRoute
from starlette.responses import Response

from pynomaly_pipelines.operations.errors import BadRequest, Unprocessable, UnsupportedMedia
from pynomaly_pipelines.service.problems import Refusal

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MAX_DEPTH = 32
"""How deep arrays and objects may lie in each other."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def router(prefix: str, *tags: str) -> APIRouter:
    """An empty router whose routes read JSON bodies strictly; all routes of the API are made by such."""
    return APIRouter(prefix=prefix, tags=list(tags), route_class=StrictRoute)


class StrictRoute(APIRoute):
    """A route whose body has the declared media type, and is JSON that can mean only one thing."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a request that reads strictly."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        media = FORM if isinstance(self.body_field.field_info, params.Form) else JSON

        async def handle_strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            require_media(strict, media)
            return await handle(strict)

        return handle_strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            return read_json(await self.body())
        except (BadRequest, Unprocessable) as error:
            raise Refusal(error) from error


def require_media(request: Request, *taken: str) -> str:
    """The media type of the body, which must be one of those taken; JSON may say that it is UTF-8, nothing else.

    Raises:
        UnsupportedMedia: it is another, has another charset, or there is none.
    """
    said = request.headers.get("content-type", "")
    if said in taken:
        return said
    message = Message()
    message["content-type"] = said
    media, charset = message.get_content_type() if said else "", str(message.get_param("charset", "utf-8"))
    if media not in taken or charset.lower() not in ("utf-8", "utf8"):
        raise UnsupportedMedia(
            f"the content type is {said!r}" if said else "no content type was given",
            rule=f"{' or '.join(taken)} is expected, in UTF-8",
            fix=f"send the header `Content-Type: {taken[0]}`",
        )
    return media


def read_json(body: bytes, *, depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text, for bodies of up to some hundred kilobytes.

    Raises:
        BadRequest: not UTF-8, with a byte order mark, truncated, nested deeper than `depth`, or with a name twice.
        Unprocessable: a number that is not finite or has thousands of digits, or text that is not Unicode.
    """
    check_depth(body, depth)
    if body.startswith(codecs.BOM_UTF8):
        raise _unreadable("it begins with a byte order mark", "send it without")
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_finite, parse_float=_float, parse_int=_int)
    except UnicodeDecodeError as error:
        raise _unreadable(f"byte {error.start} is not UTF-8", "encode it in UTF-8") from error
    except json.JSONDecodeError as error:
        raise _unreadable(f"{error.msg} at character {error.pos}", "send JSON (RFC 8259)") from error
    if "\\u" in text:
        _check_text(value)
    return value


def check_depth(body: bytes, depth: int = MAX_DEPTH) -> None:
    """Refuse a JSON text that is nested too deep, before any parser recurses into it.

    Raises:
        BadRequest: it is.
    """
    # Most bodies have fewer brackets than that in all.
    if body.count(b"[") + body.count(b"{") <= depth:
        return
    level = 0
    for bracket in re.findall(rb"[\[\]{}]", _STRING.sub(b"", body)):
        level += 1 if bracket in b"[{" else -1
        if level > depth:
            raise _unreadable(f"it is nested deeper than {depth} levels", "send it flatter")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _unreadable(f"an object has the name {twice[:50]!r} twice", "give each name once")
    return found


def _finite(constant: str) -> float:
    raise _not_a_number(constant)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _not_a_number(digits)
    # In JSON 10.0 and 10 are one number (JSON Schema, 6.3); a field for whole numbers takes both.
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _int(digits: str) -> int:
    if len(digits) > 40:
        raise _not_a_number(digits)
    return int(digits)


def _check_text(value: Any) -> None:
    """Escapes can make half a surrogate pair, which no database and no log can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unprocessable(
            "a text holds half a surrogate pair",
            rule="texts are Unicode (RFC 7493, 2.1)",
            fix="escape characters beyond U+FFFF as two \\u, or not at all",
        ) from error


def _not_a_number(digits: str) -> Unprocessable:
    shown = digits if len(digits) <= 20 else f"{digits[:20]}… ({len(digits):,} digits)"
    return Unprocessable(
        f"{shown} is no finite number",
        rule="numbers fit into 64-bit floats or 40 digits",
        fix="send null where there is no value",
    )


def _unreadable(what: str, fix: str) -> BadRequest:
    return BadRequest(f"the body cannot be read: {what}", rule="bodies are JSON that can mean only one thing", fix=fix)
