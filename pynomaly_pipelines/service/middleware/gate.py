"""The head of a request -> let in, or refused before anything of the service looks at it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from pynomaly_pipelines.operations.errors import BadRequest, HeadersTooLarge, SettingsError
from pynomaly_pipelines.service.settings import ServiceSettings

PROBES = "/health"
"""Asked by orchestrators under the address of the machine, which no list of names can hold."""

# Spellings that a proxy in front may read as another path than we do.
_ODD_RAW = re.compile(rb"%(?:2f|5c|00)|%(?![0-9a-f]{2})|//|\\", re.IGNORECASE)
_ODD = re.compile(r"(?:^|/)\.{1,2}(?:/|$)|[\x00-\x1f\x7f]")


class Gate:
    """Refuses odd heads; puts the true client's address into the scope where a trusted proxy tells it."""

    def __init__(self, app: ASGIApp, *, settings: ServiceSettings) -> None:
        self._app = app
        self._header_limit = settings.header_limit
        self._header_limit_bytes = settings.header_limit_bytes
        self._trusted_host = _host_check(settings.trusted_hosts)
        self._trusted_proxy = address_check(settings.trusted_proxies)
        self._has_proxies = bool(settings.trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
            self._check_size(headers)
            _check_path(scope)
            self._check_host(scope, headers)
            if self._has_proxies:
                self._follow_proxies(scope, headers)
        await self._app(scope, receive, send)

    def _check_size(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        size = sum(len(name) + len(value) for name, value in headers) + 4 * len(headers)
        if len(headers) > self._header_limit or size > self._header_limit_bytes:
            raise HeadersTooLarge(
                f"the request has {len(headers)} headers of {size:,} bytes",
                rule=f"{self._header_limit} headers and {self._header_limit_bytes:,} bytes are the most",
                fix="send less; what is large belongs in the body",
            )

    def _check_host(self, scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> None:
        hosts = [value for name, value in headers if name == b"host"]
        # Two are how one request is made to look like two.
        if len(hosts) != 1 and not (not hosts and scope["http_version"] == "1.0"):
            raise BadRequest(
                f"the request names {len(hosts)} hosts", rule="one `Host` is expected", fix="send one `Host` header"
            )
        if hosts and not scope["path"].startswith(PROBES) and not self._trusted_host(hosts[0]):
            raise BadRequest(
                f"the host {hosts[0].decode('latin-1')[:100]!r} is not one of this service's names",
                rule="a name in the setting `trusted_hosts` is expected",
                fix="use such a name, or add this one to PYNOMALY_SERVICE_TRUSTED_HOSTS",
            )

    def _follow_proxies(self, scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """The rightmost address that is no trusted proxy is the client: all to its left is hearsay."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not self._trusted_proxy(peer):
            return
        told = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
        for address in reversed([part.strip() for part in told.split(",") if part.strip()]):
            if _address(address) is None:
                break
            scope["client"] = (address, 0)
            if not self._trusted_proxy(address):
                break
        scheme = [value for name, value in headers if name == b"x-forwarded-proto"]
        if len(scheme) == 1 and scheme[0] in (b"http", b"https"):
            scope["scheme"] = scheme[0].decode()


def _check_path(scope: Scope) -> None:
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    if _ODD_RAW.search(raw) or _ODD.search(scope["path"]) or "�" in scope["path"]:
        raise BadRequest(
            "the path is spelled in a way that others may read differently",
            rule="no dot segments, empty segments, control characters, backslashes or encoded slashes",
            fix="send the path as the API's description has it",
        )
    if b"%00" in scope.get("query_string", b""):
        raise BadRequest("the query holds a NUL", rule="texts hold none", fix="leave it out")


def _host_check(names: Sequence[str]) -> Callable[[bytes], bool]:
    exact = {name.lower().encode() for name in names if not name.startswith("*")}
    endings = tuple(name.lower()[1:].encode() for name in names if name.startswith("*."))
    everything = "*" in names

    @lru_cache(maxsize=256)
    def known(host: bytes) -> bool:
        name = re.sub(rb":\d{1,5}$", b"", host.lower())
        return everything or name in exact or bool(endings and name.endswith(endings))

    return known


def address_check(networks: Sequence[str]) -> Callable[[str], bool]:
    """Networks (CIDR) -> whether an address is in one of them.

    Raises:
        SettingsError: one is not a network.
    """
    try:
        parsed = [ipaddress.ip_network(network) for network in networks]
    except ValueError as error:
        raise SettingsError(
            f"trusted_proxies: {error}", rule="networks are written `10.0.0.0/8`", fix="correct it"
        ) from error

    @lru_cache(maxsize=1024)
    def inside(address: str) -> bool:
        found = _address(address)
        return found is not None and any(found in network for network in parsed)

    return inside


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
