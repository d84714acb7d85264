"""A request -> its class, and the limit that holds for it."""

from __future__ import annotations

import ipaddress
from enum import StrEnum

from pynomaly_pipelines.service.rates.windows import Limit
from pynomaly_pipelines.service.settings import ServiceSettings


class Kind(StrEnum):
    """Requests that are counted together."""

    LOGIN = "login"
    SCORE = "score"
    READ = "read"
    WRITE = "write"
    PAGES = "pages"


LOGIN_PATHS = frozenset({"/v1/auth/token", "/v1/auth/session", "/v1/auth/bootstrap", "/login"})
"""Where a password is tried. Refreshing is not: it goes on while logins are refused."""
PAGES_PATH = "/v1/auth/verify"
"""What nginx asks for every request to the pages behind it."""
UNCOUNTED = frozenset({"/health/live", "/health/ready", "/health/startup", "/v1/health/live", "/v1/health/ready"})
"""A probe that is refused would have the process restarted."""


def kind_of(method: str, path: str) -> Kind | None:
    """The class of a request; None for one that is not counted."""
    if path in UNCOUNTED:
        return None
    if method == "POST" and path.rstrip("/") in LOGIN_PATHS:
        return Kind.LOGIN
    if path.endswith("/score"):
        return Kind.SCORE
    if path == PAGES_PATH:
        return Kind.PAGES
    return Kind.READ if method in ("GET", "HEAD", "OPTIONS") else Kind.WRITE


def limits(settings: ServiceSettings) -> dict[Kind, Limit]:
    """The limit of each class, from settings like `20/60`."""
    return {kind: _limit(getattr(settings, f"rate_{kind.value}")) for kind in Kind}


def _limit(text: str) -> Limit:
    requests, _, seconds = text.partition("/")
    return Limit(int(requests), int(seconds))


def client_key(host: str) -> str:
    """A client's address as it is counted: of IPv6 the first 64 bits, which is what one customer has at least."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
