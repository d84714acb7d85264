"""One-time codes: whoever has one sets a password, once. There is no default password anywhere."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import NotAuthenticated
from pynomaly_pipelines.service.accounts.tables import OneTimeCode
from pynomaly_pipelines.service.auth import opaque

LIFETIME = timedelta(hours=72)
BOOTSTRAP_LIFETIME = timedelta(hours=1)


def make(session: Session, account_id: str | None, at: datetime) -> tuple[str, datetime]:
    """A code for an account, or for making the first admin, and when it ends; those of before no longer work."""
    session.execute(sa.delete(OneTimeCode).where(_whose(account_id)))
    secret = opaque.new(opaque.CODE)
    until = at + (LIFETIME if account_id else BOOTSTRAP_LIFETIME)
    session.add(OneTimeCode(hash=opaque.hashed(secret), account_id=account_id, expires_at=until))
    return secret, until


def take(session: Session, secret: str, at: datetime) -> str | None:
    """Use the code up: the account it is for, None for the first admin's.

    Raises:
        NotAuthenticated: it is unknown, over, or was used.
    """
    found = session.execute(
        sa.delete(OneTimeCode)
        .where(OneTimeCode.hash == opaque.hashed(secret), OneTimeCode.expires_at > at)
        .returning(OneTimeCode.account_id)
    ).one_or_none()
    if found is None:
        raise unknown()
    account_id: str | None = found[0]
    return account_id


def outstanding(session: Session, account_id: str | None, at: datetime) -> bool:
    """Whether there is a code that works."""
    query = sa.select(OneTimeCode.hash).where(_whose(account_id), OneTimeCode.expires_at > at)
    return session.execute(query).first() is not None


def unknown() -> NotAuthenticated:
    """The answer to a code that does not work, whatever the reason."""
    return NotAuthenticated(
        "the code is not valid",
        rule="a code works once, for a limited time",
        fix="have an admin make a new one: `pynomaly accounts reset-password`, or `bootstrap` for the first admin",
    )


def _whose(account_id: str | None) -> sa.ColumnElement[bool]:
    return OneTimeCode.account_id.is_(None) if account_id is None else OneTimeCode.account_id == account_id
