"""A request's headers -> the one credential in them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from pynomaly_pipelines.operations.errors import Forbidden, NotAuthenticated
from pynomaly_pipelines.service.auth import opaque, tokens

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Kind(Enum):
    """What a credential is."""

    TOKEN = "token"  # nosec B105 - a name
    API_KEY = "key"  # pragma: allowlist secret
    SESSION = "session"


@dataclass(frozen=True)
class Credential:
    """One credential as it came."""

    kind: Kind
    secret: str


def cookie_name(*, secure: bool) -> str:
    """Of the browser's session. `__Host-` has browsers insist on TLS, this host only, the whole site."""
    return "__Host-pynomaly" if secure else "pynomaly"


def presented(request: HTTPConnection, cookie: str) -> Credential:
    """The credential of a request: a header, or the browser's cookie where no header came.

    Raises:
        NotAuthenticated: none, several, or of no form that is known.
    """
    bearers = request.headers.getlist("authorization")
    keys = request.headers.getlist("x-api-key")
    if len(bearers) + len(keys) > 1:
        raise _unclear("more than one credential came")
    if keys:
        return _key(keys[0])
    if bearers:
        return _bearer(bearers[0])
    found = request.cookies.get(cookie, "")
    if found.startswith(opaque.SESSION) and len(found) <= tokens.MOST_BYTES:
        return Credential(Kind.SESSION, found)
    raise NotAuthenticated(
        f"{request.scope.get('method', 'GET')} {request.url.path} came without credentials",
        rule="`Authorization: Bearer <token>` or an API key is expected",
        fix="log in: POST /v1/auth/token",
    )


def _bearer(header: str) -> Credential:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "bearer" or not value or len(value) > tokens.MOST_BYTES:
        raise _unclear("the Authorization header is not a bearer token, or too long")
    return _key(value) if value.startswith(opaque.API_KEY) else Credential(Kind.TOKEN, value)


def _key(value: str) -> Credential:
    if len(value) > tokens.MOST_BYTES:
        raise _unclear("the API key is too long")
    return Credential(Kind.API_KEY, value)


def _unclear(what: str) -> NotAuthenticated:
    return NotAuthenticated(
        what,
        rule="one `Authorization: Bearer <token>` or one `X-API-Key: <key>` is expected",
        fix="send one credential: of POST /v1/auth/token, or an API key",
    )


def require_own_page(request: HTTPConnection, method: str) -> None:
    """Refuse a change that another site's page asks a logged-in browser for (CSRF).

    Browsers say where a request comes from in Sec-Fetch-Site, older ones in Origin; scripts of other sites can change
    neither. The cookie is SameSite=Lax besides.

    Raises:
        Forbidden: it does not come from a page of this service.
    """
    upgrade = request.headers.get("upgrade", "")
    if method in SAFE and not upgrade:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        own = site in ("same-origin", "none")
    else:
        origin = request.headers.get("origin", "")
        own = bool(origin) and urlsplit(origin).netloc == request.headers.get("host", "")
    if not own:
        raise Forbidden(
            "the request does not come from a page of this service",
            rule="with a browser's session, changes are taken from the service's own pages only",
            fix="use the page, or send a token in the Authorization header",
        )
