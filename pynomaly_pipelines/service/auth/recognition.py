"""A credential -> the account behind it and what it may do, asked of the database.

Runs in a thread; `authentication` keeps the answer for as long as the permission epoch does not move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import NotAuthenticated
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.access.standing import standing_of
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.tables import Account, ApiKey, RefreshFamily, RefreshToken, Revocation
from pynomaly_pipelines.service.auth import api_keys, families, opaque, tokens
from pynomaly_pipelines.service.auth.permission_epoch import read_epoch
from pynomaly_pipelines.service.auth.signing_keys import SigningKeys

KEY_REMEMBERED = timedelta(seconds=60)
"""API keys are asked for anew this often, to note that they are in use."""


@dataclass(frozen=True)
class Identity:
    """Who is asking, by what, and how long that answer may be kept."""

    caller: Caller
    epoch: int
    until: float
    """Seconds since 1970."""
    session: str = ""
    """The login it belongs to; empty for API keys."""
    jti: str = ""
    token_expires_at: int = 0


class Recognition:
    """Asks the database."""

    def __init__(self, database: Database, keys: SigningKeys, rule: tokens.Rule) -> None:
        """Nothing is read yet."""
        self._database = database
        self._keys = keys
        self._rule = rule

    def of_token(self, token: str, epoch: int, at: float) -> Identity:
        """Behind an access token.

        Raises:
            NotAuthenticated: it does not hold, was revoked, or its account is not what it was.
        """
        claims = tokens.verify(token, self._keys.verifiers(epoch), self._rule, at)
        moment = datetime.fromtimestamp(at, UTC)
        with self._database.reading() as session:
            found = read_epoch(session)
            account = session.get(Account, claims.account)
            family = session.get(RefreshFamily, claims.session)
            if session.get(Revocation, claims.jti) is not None or family is None or family.revoked_at is not None:
                raise tokens.refused("it was revoked")
            if account is None or not account.enabled or account.perm_version != claims.perm_version:
                raise tokens.refused("the account has changed since")
            caller = _caller(session, account, moment, _scopes(claims.scope))
        until = min(claims.expires_at + self._rule.leeway, _end(caller))
        return Identity(caller, found, until, claims.session, claims.jti, claims.expires_at)

    def of_session(self, secret: str, at: float) -> Identity:
        """Behind a browser's cookie.

        Raises:
            NotAuthenticated: it is unknown, over, or its account is not what it was.
        """
        moment = datetime.fromtimestamp(at, UTC)
        with self._database.reading() as session:
            found = read_epoch(session)
            token = session.get(RefreshToken, opaque.hashed(secret))
            family = session.get(RefreshFamily, token.family_id) if token else None
            if family is None or family.kind != families.BROWSER:
                raise logged_out()
            account = session.get_one(Account, family.account_id)
            over = family.revoked_at is not None or family.expires_at <= moment
            if over or not account.enabled or account.perm_version != family.perm_version:
                raise logged_out()
            caller = _caller(session, account, moment, None)
        return Identity(caller, found, min(family.expires_at.timestamp(), _end(caller)), family.id)

    def of_api_key(self, secret: str, at: float) -> Identity:
        """Behind an API key.

        Raises:
            NotAuthenticated: it is unknown, over, revoked, or its account is not enabled.
        """
        moment = datetime.fromtimestamp(at, UTC)
        with self._database.reading() as session:
            found = read_epoch(session)
            row = api_keys.find(session, secret, moment)
            account = session.get(Account, row.account_id) if row else None
            if row is None or account is None or not account.enabled:
                raise no_key()
            caller = _limited(_caller(session, account, moment, _permissions(row.permissions)), row)
        self._note(row, moment)
        until = min(row.expires_at, moment + KEY_REMEMBERED).timestamp()
        return Identity(caller, found, min(until, _end(caller)))

    def _note(self, row: ApiKey, at: datetime) -> None:
        if row.last_used_at is None or at - row.last_used_at >= KEY_REMEMBERED:
            with self._database.writing() as session:
                api_keys.used(session, row.id, at)


def _caller(session: Session, account: Account, at: datetime, scopes: frozenset[Permission] | None) -> Caller:
    standing = standing_of(session, account.id, Role(account.role), at)
    return Caller(
        account=account.id,
        name=account.name,
        role=standing.role,
        all_pipelines=account.all_pipelines,
        grants=standing.grants,
        granted=standing.granted,
        scopes=scopes,
        holds_until=standing.holds_until,
    )


def _limited(caller: Caller, row: ApiKey) -> Caller:
    """What the account sees, of the pipelines the key was made for."""
    if row.pipelines is None:
        return caller
    nothing: frozenset[Permission] = frozenset()
    seen: Mapping[str, frozenset[Permission]] = {
        name: caller.grants.get(name, nothing) for name in row.pipelines if caller.sees(name)
    }
    return replace(caller, all_pipelines=False, grants=seen)


def _scopes(scope: str) -> frozenset[Permission] | None:
    return None if scope == tokens.EVERYTHING else _permissions(scope.split())


def _permissions(names: list[str] | None) -> frozenset[Permission] | None:
    """Those that still exist: a key must not get more by an upgrade that renames one."""
    return None if names is None else frozenset(p for p in Permission if p.value in names)


def _end(caller: Caller) -> float:
    return caller.holds_until.timestamp() if caller.holds_until else float("inf")


def logged_out() -> NotAuthenticated:
    """The answer to a cookie that does not hold."""
    return NotAuthenticated(
        "the browser's session is over", rule="it ends by time, log-out and changes of the account", fix="log in again"
    )


def no_key() -> NotAuthenticated:
    """The answer to an API key that does not hold, whatever the reason."""
    return NotAuthenticated(
        "the API key is not valid",
        rule="a key of POST /v1/api-keys is expected that has neither expired nor been revoked",
        fix="make another: POST /v1/api-keys",
    )
