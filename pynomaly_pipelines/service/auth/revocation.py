"""Tokens, logins -> no longer holding, on the next request of every process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import NotAuthenticated
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.tables import RefreshFamily, Revocation
from pynomaly_pipelines.service.auth import families, opaque, tokens
from pynomaly_pipelines.service.auth.parts import Auth


def revoke_access(session: Session, jti: str, expires_at: datetime) -> None:
    """An access token no longer holds. By its `jti`: its text can be written in several ways."""
    if session.get(Revocation, jti) is None:
        session.add(Revocation(jti=jti, expires_at=expires_at))


def revoke_login(session: Session, family_id: str, at: datetime) -> None:
    """A login and all its tokens no longer hold."""
    family = session.get(RefreshFamily, family_id)
    if family is not None:
        families.end(session, family, at)


def revoke_given(auth: Auth, token: str, epoch: int) -> str:
    """A token of either kind no longer holds (RFC 7009); unknown ones are as good as revoked. Whose it was, or ``.

    A refresh token ends its login; an access token ends alone.
    """
    at = auth.now()
    if token.startswith(opaque.REFRESH):
        return _end_login(auth.database, token, at)
    try:
        claims = tokens.verify(token, auth.keys.verifiers(epoch), auth.token_rule, auth.clock())
    except NotAuthenticated:
        return ""
    leeway = timedelta(seconds=auth.token_rule.leeway)
    with auth.database.writing() as session:
        revoke_access(session, claims.jti, datetime.fromtimestamp(claims.expires_at, UTC) + leeway)
    return claims.account


def _end_login(database: Database, token: str, at: datetime) -> str:
    with database.writing() as session:
        family = families.of_secret(session, token)
        if family is None:
            return ""
        families.end(session, family, at)
        return family.account_id
