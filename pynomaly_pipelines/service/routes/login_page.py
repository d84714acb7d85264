"""The page people log in on: a form, a script and a style of our own, nothing from elsewhere.

The script sends JSON to `POST /v1/auth/session`, which sets the cookie: a form of another site cannot send JSON, and
the service looks at where a request comes from besides.
"""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter
from starlette.responses import Response

from pynomaly_pipelines.service.access.requirements import public

router = APIRouter(include_in_schema=False)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_KINDS = {"login.html": "text/html; charset=utf-8", "login.js": "text/javascript", "login.css": "text/css"}


@router.get("/login")
@public("to log in, one must not be logged in")
async def login_page() -> Response:
    """The form."""
    return _file("login.html")


@router.get("/login/{file}")
@public("what the form is made of")
async def login_asset(file: str) -> Response:
    """Its script and its style."""
    return _file(file) if file in _KINDS else Response(status_code=404)


def _file(name: str) -> Response:
    content = (resources.files("pynomaly_pipelines.service") / "login" / name).read_bytes()
    headers = {
        "content-security-policy": _POLICY,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return Response(content, media_type=_KINDS[name], headers=headers)
