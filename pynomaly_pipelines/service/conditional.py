"""What an answer was made from -> its entity tag; a request that has that answer already gets 304 (RFC 9110, 13.1)."""

from __future__ import annotations

import hashlib

from fastapi import Request, Response
from fastapi.responses import Response as Plain


def tag_of(*parts: object) -> str:
    """The entity tag of what is made from these: versions of tables, the spec, the question."""
    text = "\n".join(str(part) for part in parts)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def unchanged(request: Request, response: Response, tag: str) -> Response | None:
    """The answer 304 where the caller has this one; else the tag is set on the answer to come.

    Answers differ by caller: no shared cache may keep them, and a caller's own asks first.
    """
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if _listed(request.headers.get("if-none-match", ""), tag):
        return Plain(status_code=304, headers=headers)
    response.headers.update(headers)
    return None


def matches(header: str, tag: str) -> bool:
    """Whether an `If-Match` header lets a change through to what has this tag; strong comparison."""
    given = [one.strip() for one in header.split(",")]
    return given == ["*"] or tag in given


def _listed(header: str, tag: str) -> bool:
    """Weak comparison, as `If-None-Match` wants it."""
    given = [one.strip().removeprefix("W/") for one in header.split(",")]
    return given == ["*"] or tag in given
