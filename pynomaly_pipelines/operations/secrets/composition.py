"""A secret as secret managers keep database credentials (a JSON object of parts) -> the URL the product asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from pynomaly_pipelines.operations.errors import SecretMissing

_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql",
            "mariadb": "mysql+pymysql", "redis": "rediss", "valkey": "rediss"}  # fmt: skip


def composed(name: str, text: str) -> str:
    """The value of a secret from its text: as it is, but a URL from parts for a `…-url` that is a JSON object.

    The parts are those that AWS writes for its databases: engine, host, port, username, password, dbname.

    Raises:
        SecretMissing: an object without the parts a URL needs.
    """
    if not (name.endswith("-url") and text.lstrip().startswith("{")):
        return text
    try:
        parts = json.loads(text)
    except ValueError:
        return text
    return from_parts(name, parts)


def from_parts(name: str, parts: Mapping[str, object]) -> str:
    """The URL of these parts; `url` stands for scheme, host and all but the user.

    Raises:
        SecretMissing: parts are missing.
    """
    if "url" in parts:
        return with_user(str(parts["url"]), parts)
    if "host" not in parts or str(parts.get("engine", "postgres")) not in _DRIVERS:
        raise SecretMissing(
            f"the secret {name} is an object with {', '.join(sorted(map(str, parts))) or 'nothing'}",
            rule="a URL is made of url, or of engine, host, port, username, password and dbname; engines are "
            f"{', '.join(sorted(_DRIVERS))}",
            fix="store the URL itself, or these parts",
        )
    driver = _DRIVERS[str(parts.get("engine", "postgres"))]
    port = f":{parts['port']}" if "port" in parts else ""
    return with_user(f"{driver}://{parts['host']}{port}/{parts.get('dbname', '')}", parts)


def with_user(url: str, parts: Mapping[str, object]) -> str:
    """The URL with user and password put in, in place of those it may have."""
    if "username" not in parts:
        return url
    scheme, there, rest = url.partition("://")
    if not there:
        return url
    authority, slash, path = rest.partition("/")
    user = f"{_quoted(parts['username'])}:{_quoted(parts.get('password', ''))}"
    return f"{scheme}://{user}@{authority.rpartition('@')[2]}{slash}{path}"


def _quoted(part: object) -> str:
    return quote(str(part), safe="")
