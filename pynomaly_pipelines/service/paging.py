"""Lists too long for one answer -> pages: a bounded number of items, and an opaque cursor to the next ones."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pynomaly_pipelines.operations.errors import BadRequest, Unprocessable

LONGEST_PAGE = 1_000
USUAL_PAGE = 50
_LONGEST_CURSOR = 2_000

Limit = Annotated[int, Field(ge=1, le=LONGEST_PAGE, description="Most items of the page.")]
CursorText = Annotated[
    str, Field(max_length=_LONGEST_CURSOR, pattern=r"^[A-Za-z0-9_-]*$", description="`next` of the page before.")
]
T = TypeVar("T", bound=BaseModel)


class StrictQuery(BaseModel):
    """Query parameters; one that is not known is refused, so that a misspelt filter does not answer everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Paged(StrictQuery):
    """Query parameters of every list."""

    limit: Limit = USUAL_PAGE
    cursor: CursorText | None = None


class Answer(BaseModel):
    """What is answered: frozen, with every field described."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Offset(Answer):
    """Where a page of a list ended whose items have an order of their own."""

    after: str
    digest: str
    """Of what was asked; a cursor for one list is no cursor for another."""


def encoded(place: BaseModel) -> str:
    """A place as a cursor."""
    return base64.urlsafe_b64encode(place.model_dump_json().encode()).decode().rstrip("=")


def decoded(cursor: str, kind: type[T]) -> T:
    """The place a cursor stands for.

    Raises:
        BadRequest: it is no cursor of such a list.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return kind.model_validate_json(text, strict=True)
    except (binascii.Error, ValidationError, ValueError) as error:
        raise wrong_cursor(cursor) from error


def wrong_cursor(cursor: str) -> BadRequest:
    """What a cursor is refused with that was not made here, or for another question."""
    return BadRequest(
        f"cursor {cursor[:40]!r} does not belong to this list",
        rule="a cursor is `next` of the page before, asked for with the same filters and order",
        fix="leave `cursor` out to begin anew",
    )


class _Ended(msgspec.Struct):
    """What a page says of the one after it."""

    next: str | None


def next_of(body: bytes) -> str | None:
    """The cursor in the JSON of a page; the rest is not looked at."""
    return msgspec.json.decode(body, type=_Ended).next


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Say where the next page is in a header, too (RFC 8288)."""
    if cursor is not None:
        target = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{target.path}?{target.query}>; rel="next"'


async def no_query(request: Request) -> None:
    """Refuse query parameters where there are none.

    Raises:
        Unprocessable: one was given.
    """
    for name in request.query_params:
        raise Unprocessable(
            f"unknown query parameter {name[:60]!r}", rule="this address takes none", fix="leave it out"
        )
