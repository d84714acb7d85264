"""The API's description, and pages on it that need no other server and no script."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from pynomaly_pipelines.operations.errors import NotFound
from pynomaly_pipelines.service.access.requirements import public
from pynomaly_pipelines.service.pages import problem_page, reference_page

_PUBLIC = public("the setting `docs` shows the description to everybody")
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "cache-control": "public, max-age=300",
}

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
@_PUBLIC
async def openapi(request: Request) -> Response:
    """The OpenAPI 3.1 description."""
    import msgspec

    content = msgspec.json.encode(request.app.openapi())
    return Response(content, media_type="application/json", headers={"cache-control": _HEADERS["cache-control"]})


@router.get("/docs")
@_PUBLIC
async def docs(request: Request) -> HTMLResponse:
    """Every endpoint, to be read."""
    return HTMLResponse(reference_page(request.app.openapi()), headers=_HEADERS)


@router.get("/problems/{code}")
@_PUBLIC
async def problem(code: str) -> HTMLResponse:
    """What a problem means and what to do."""
    page = problem_page(code)
    if page is None:
        raise NotFound(f"there is no problem {code[:50]!r}", rule="a `code` of a problem is expected", fix="check it")
    return HTMLResponse(page, headers=_HEADERS)
