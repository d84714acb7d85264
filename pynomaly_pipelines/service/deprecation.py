"""`deprecated`: an endpoint that will go -> its answers say since when, until when, and what to use instead.

Headers after RFC 9745 (Deprecation) and RFC 8594 (Sunset). The policy: a path of `/v1` is announced as deprecated in
docs/api-changelog.md at least six months before it goes, and answers with these headers until then.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from fastapi import Depends, Response

NOTICE = timedelta(days=180)
"""The least time between the announcement and the end."""


def deprecated(since: date, until: date, instead: str) -> dict[str, Any]:
    """What a route is given: `@router.get("/old", **deprecated(date(…), date(…), "/v1/new"))`.

    Raises:
        ValueError: the notice is shorter than the policy promises.
    """
    if until - since < NOTICE:
        raise ValueError(f"{until - since} of notice: the policy promises {NOTICE.days} days")

    said = {
        "deprecation": f"@{int(_midnight(since).timestamp())}",
        "sunset": format_datetime(_midnight(until), usegmt=True),
        "link": f'<{instead}>; rel="successor-version"',
    }

    async def say(response: Response) -> None:
        response.headers.update(said)

    return {"deprecated": True, "dependencies": [Depends(say)], "openapi_extra": {"x-sunset": until.isoformat()}}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
