"""The SQL tables of what was granted and what was asked for."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from pynomaly_pipelines.service.accounts.tables import ID_LENGTH, Base, account_id, new_id, now

REASON_LENGTH = 500
PIPELINE_LENGTH = 100


class Grant(Base):
    """One permission, or a role for a time, beyond what the account has by itself."""

    __tablename__ = "grants"
    __table_args__ = (sa.CheckConstraint("(permission IS NULL) <> (role IS NULL)", name="one_thing"),)

    id: Mapped[str] = mapped_column(sa.String(ID_LENGTH), primary_key=True, default=new_id)
    account_id: Mapped[str] = account_id()
    pipeline: Mapped[str | None] = mapped_column(sa.String(PIPELINE_LENGTH))
    """Where it holds; nothing: on all that the account sees."""
    permission: Mapped[str | None] = mapped_column(sa.String(40))
    role: Mapped[str | None] = mapped_column(sa.String(10))
    reason: Mapped[str] = mapped_column(sa.String(REASON_LENGTH))
    granted_by: Mapped[str] = mapped_column(sa.String(ID_LENGTH))
    """Account; no foreign key, as it is kept when that account goes."""
    granted_by_name: Mapped[str] = mapped_column(sa.String(PIPELINE_LENGTH))
    request_id: Mapped[str | None] = mapped_column(sa.String(ID_LENGTH))
    """The access request it came of."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None] = mapped_column(sa.String(ID_LENGTH))


class AccessRequest(Base):
    """Permissions or a role that somebody asks for, and what was decided."""

    __tablename__ = "access_requests"
    __table_args__ = (
        sa.CheckConstraint("state IN ('open', 'approved', 'denied', 'cancelled', 'expired')", name="state"),
    )

    id: Mapped[str] = mapped_column(sa.String(ID_LENGTH), primary_key=True, default=new_id)
    account_id: Mapped[str] = account_id()
    """Who is to have it."""
    requested_by: Mapped[str] = mapped_column(sa.String(ID_LENGTH))
    requested_by_name: Mapped[str] = mapped_column(sa.String(PIPELINE_LENGTH))
    pipeline: Mapped[str | None] = mapped_column(sa.String(PIPELINE_LENGTH))
    permissions: Mapped[list[str]] = mapped_column(sa.JSON)
    role: Mapped[str | None] = mapped_column(sa.String(10))
    reason: Mapped[str] = mapped_column(sa.String(REASON_LENGTH))
    days: Mapped[int | None]
    """How long it is to hold after approval; nothing: until revoked."""
    state: Mapped[str] = mapped_column(sa.String(10), default="open", index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    """When it closes undecided."""
    decided_by: Mapped[str | None] = mapped_column(sa.String(ID_LENGTH))
    decided_by_name: Mapped[str | None] = mapped_column(sa.String(PIPELINE_LENGTH))
    decided_at: Mapped[datetime | None]
    comment: Mapped[str | None] = mapped_column(sa.String(REASON_LENGTH))
