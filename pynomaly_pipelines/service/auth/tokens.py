"""Access tokens: JWTs of the profile `at+jwt` (RFC 9068), checked by the book (RFC 8725).

The header may say three things, `alg`, `typ` and `kid`; the algorithm must be the one the key was made for; each claim
must be there once, with its exact type. Whatever else a token says is a reason to refuse it.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from pynomaly_pipelines.operations.errors import BadRequest, NotAuthenticated, Unprocessable
from pynomaly_pipelines.service.auth.signing_keys import Signer, Verifier
from pynomaly_pipelines.service.bodies import read_json
from pynomaly_pipelines.service.settings import ServiceSettings

TYPE = "at+jwt"
MOST_BYTES = 8192
EVERYTHING = "*"
"""The scope of a token that may do all that its account may."""
_HEADER_BYTES = 512
_HEADER = frozenset({"alg", "typ", "kid"})
_TEXTS = ("iss", "aud", "sub", "jti", "sid", "scope")
_TIMES = ("exp", "iat", "nbf")
_DEPTH = 3


@dataclass(frozen=True)
class Rule:
    """Who issues tokens for whom, and for how long."""

    issuer: str
    audience: str
    seconds: int
    leeway: int

    @classmethod
    def of(cls, settings: ServiceSettings) -> Rule:
        """The settings' rule."""
        return cls(
            settings.token_issuer,
            settings.token_audience,
            settings.access_token_seconds,
            settings.token_leeway_seconds,
        )


@dataclass(frozen=True)
class Claims:
    """What a token says."""

    account: str
    session: str
    """The login it came of."""
    jti: str
    expires_at: int
    """Seconds since 1970."""
    scope: str
    perm_version: int


def issue(signer: Signer, rule: Rule, *, account: str, session: str, perm_version: int, scope: str, at: float) -> str:
    """A new token."""
    issued = int(at)
    payload = {
        "iss": rule.issuer,
        "aud": rule.audience,
        "sub": account,
        "jti": secrets.token_hex(16),
        "sid": session,
        "iat": issued,
        "nbf": issued,
        "exp": issued + rule.seconds,
        "scope": scope,
        "perm_version": perm_version,
    }
    header = {"alg": signer.algorithm, "typ": TYPE, "kid": signer.kid}
    return jws.serialize_compact(
        header, json.dumps(payload, separators=(",", ":")), signer.key, algorithms=[signer.algorithm]
    )


def verify(token: str, keys: Mapping[str, Verifier], rule: Rule, at: float) -> Claims:
    """The claims of a token that holds; whether it was revoked is for the database to say.

    Raises:
        NotAuthenticated: it does not hold.
    """
    if len(token) > MOST_BYTES or not token.isascii():
        raise refused("it is too long or not ASCII")
    key = _key(token, keys, at)
    try:
        found = jws.deserialize_compact(token, key.key, algorithms=[key.algorithm])
    except (JoseError, ValueError, TypeError) as error:
        raise refused("its signature does not hold") from error
    return _claims(_read(found.payload), rule, at)


def _key(token: str, keys: Mapping[str, Verifier], at: float) -> Verifier:
    """The key that the header names, for the algorithm it was made for."""
    segment = token.partition(".")[0]
    if len(segment) > _HEADER_BYTES:
        raise refused("its header is too long")
    try:
        header = _read(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (binascii.Error, ValueError) as error:
        raise refused("its header cannot be read") from error
    if set(header) != _HEADER or header["typ"] != TYPE:
        raise refused("its header is not that of an access token")
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None or header["alg"] != key.algorithm:
        raise refused("it was signed by no key of ours")
    if key.expires_at is not None and key.expires_at.timestamp() <= at:
        raise refused("its key has retired")
    return key


def _read(raw: bytes) -> dict[str, Any]:
    try:
        found = read_json(raw, depth=_DEPTH)
    except (BadRequest, Unprocessable) as error:
        raise refused("it is not JSON that can mean only one thing") from error
    if not isinstance(found, dict):
        raise refused("it holds no claims")
    return found


def _claims(found: dict[str, Any], rule: Rule, at: float) -> Claims:
    if not all(type(found.get(name)) is str and found[name] for name in _TEXTS):
        raise refused("a claim is missing or not a text")
    if not all(type(found.get(name)) is int for name in (*_TIMES, "perm_version")):
        raise refused("a claim is missing or not a whole number")
    if found["iss"] != rule.issuer or found["aud"] != rule.audience:
        raise refused("it was not issued by or for this service")
    if found["exp"] <= at - rule.leeway:
        raise refused("it has expired")
    if max(found["nbf"], found["iat"]) > at + rule.leeway:
        raise refused("it is of the future")
    return Claims(
        account=found["sub"],
        session=found["sid"],
        jti=found["jti"],
        expires_at=found["exp"],
        scope=found["scope"],
        perm_version=found["perm_version"],
    )


def refused(why: str) -> NotAuthenticated:
    """The answer to a token that does not hold."""
    return NotAuthenticated(
        f"the access token is not valid: {why}",
        rule="a token of POST /v1/auth/token is expected that has neither expired nor been revoked",
        fix="renew it with the refresh token, or log in again: POST /v1/auth/token",
    )
