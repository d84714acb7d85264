"""Machines' keys: `pnk_<id>_<secret>`, of an account, limited to permissions and pipelines, for a time."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.accounts.tables import ApiKey
from pynomaly_pipelines.service.auth import opaque

_ID_BYTES = 6
_SECRET_BYTES = 32
_FORM = re.compile(rf"{opaque.API_KEY}([0-9a-f]{{{_ID_BYTES * 2}}})_[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True)
class Wanted:
    """A key to be made."""

    account_id: str
    name: str
    lifetime: timedelta
    permissions: Collection[Permission] | None = None
    """None: all that the account may do, now and later."""
    pipelines: Collection[str] | None = None


def create(session: Session, wanted: Wanted, at: datetime) -> tuple[ApiKey, str]:
    """The row, and the key itself: it can be had here only."""
    public = secrets.token_hex(_ID_BYTES)
    secret = f"{opaque.API_KEY}{public}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    row = ApiKey(
        id=public,
        account_id=wanted.account_id,
        name=wanted.name,
        hash=opaque.hashed(secret),
        permissions=None if wanted.permissions is None else sorted(wanted.permissions),
        pipelines=None if wanted.pipelines is None else sorted(wanted.pipelines),
        created_at=at,
        expires_at=at + wanted.lifetime,
    )
    session.add(row)
    session.flush()
    return row, secret


def find(session: Session, secret: str, at: datetime) -> ApiKey | None:
    """The row of a key that holds."""
    form = _FORM.fullmatch(secret)
    row = session.get(ApiKey, form.group(1)) if form else None
    if row is None or not hmac.compare_digest(row.hash, opaque.hashed(secret)):
        return None
    return row if row.revoked_at is None and row.expires_at > at else None


def used(session: Session, key_id: str, at: datetime) -> None:
    """Note that it was used."""
    session.execute(sa.update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=at))
