"""A login -> the chain of refresh tokens that keeps it alive, each of which works once.

A token that comes a second time was stolen, or its thief was faster: nobody can tell, so that the whole family ends
(RFC 9700, 4.14.2). Access tokens name their family, and end with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.service.accounts.tables import Account, RefreshFamily, RefreshToken
from pynomaly_pipelines.service.auth import opaque

TOKENS, BROWSER = "refresh", "browser"


@dataclass(frozen=True)
class Opened:
    """A login and the secret that stands for it."""

    family: RefreshFamily
    secret: str


def open_family(
    session: Session, account: Account, *, kind: str, client: str, scope: str, lifetime: timedelta, at: datetime
) -> Opened:
    """A new family with its first token."""
    family = RefreshFamily(
        account_id=account.id,
        kind=kind,
        client=client[:64],
        scope=scope,
        perm_version=account.perm_version,
        created_at=at,
        expires_at=at + lifetime,
    )
    session.add(family)
    session.flush()
    return Opened(family, _link(session, family, at))


@dataclass(frozen=True)
class Renewed:
    """What came of a refresh token."""

    opened: Opened | None
    """The same family with a new token; nothing: refused."""
    account: Account | None
    reused: bool = False


def renew(session: Session, secret: str, at: datetime) -> Renewed:
    """Take a refresh token for another. A refusal is part of the transaction: it may end the family, so commit it."""
    digest = opaque.hashed(secret)
    token = session.get(RefreshToken, digest)
    family = session.get(RefreshFamily, token.family_id) if token else None
    if token is None or family is None or family.kind != TOKENS:
        return Renewed(None, None)
    account = session.get_one(Account, family.account_id)
    # One statement decides between requests at the same time.
    taken = session.execute(
        sa.update(RefreshToken)
        .where(RefreshToken.hash == digest, RefreshToken.used_at.is_(None))
        .values(used_at=at)
        .returning(RefreshToken.hash)
    ).one_or_none()
    if taken is None:
        end(session, family, at)
        return Renewed(None, account, reused=True)
    # Read after that: one that was refused at the same time may have ended it.
    session.refresh(family)
    session.refresh(account)
    if family.revoked_at is not None or min(family.expires_at, token.expires_at) <= at or not account.enabled:
        return Renewed(None, account)
    return Renewed(Opened(family, _link(session, family, at)), account)


def end(session: Session, family: RefreshFamily, at: datetime) -> None:
    """Neither refresh nor access tokens of it hold any more."""
    session.execute(
        sa.update(RefreshFamily)
        .where(RefreshFamily.id == family.id, RefreshFamily.revoked_at.is_(None))
        .values(revoked_at=at)
    )


def of_secret(session: Session, secret: str) -> RefreshFamily | None:
    """The family a refresh token or a browser's cookie belongs to."""
    token = session.get(RefreshToken, opaque.hashed(secret))
    return session.get(RefreshFamily, token.family_id) if token else None


def _link(session: Session, family: RefreshFamily, at: datetime) -> str:
    secret = opaque.new(opaque.REFRESH if family.kind == TOKENS else opaque.SESSION)
    session.add(
        RefreshToken(hash=opaque.hashed(secret), family_id=family.id, created_at=at, expires_at=family.expires_at)
    )
    return secret
