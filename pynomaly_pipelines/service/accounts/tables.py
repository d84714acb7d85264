"""The tables of accounts and of what proves who they are. `access` and `audit` add theirs to the same `Base`.

Times are UTC-aware in Python whatever the database keeps; secrets are never stored, only hashes of them.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pynomaly_pipelines.service.access.permissions import Role

ID_LENGTH = 32
"""A UUID in hex."""
NAME_LENGTH = 100


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A time with a zone -> UTC in the database -> a time in UTC. SQLite keeps no zones of its own."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Into the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; times of accounts are in UTC")
        found = value.astimezone(UTC)
        return found.replace(tzinfo=None) if dialect.name == "sqlite" else found

    def process_result_value(self, value: datetime | None, _dialect: Any) -> datetime | None:
        """Out of the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What every table of this database derives from."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy's own way


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new primary key."""
    return uuid.uuid4().hex


def account_id() -> Mapped[str]:
    """A column that names an account and goes with it."""
    return mapped_column(sa.ForeignKey("accounts.id", ondelete="CASCADE"), index=True)


class Account(Base):
    """Who may log in."""

    __tablename__ = "accounts"
    __table_args__ = (
        sa.CheckConstraint(sa.column("role").in_([sa.literal_column(f"'{role}'") for role in Role]), name="role"),
    )

    id: Mapped[str] = mapped_column(sa.String(ID_LENGTH), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(sa.String(NAME_LENGTH), unique=True)
    """What it logs in with: lower case."""
    password_hash: Mapped[str | None] = mapped_column(sa.String(255))
    """argon2id in PHC form; nothing until the account's one-time code was redeemed."""
    role: Mapped[str] = mapped_column(sa.String(10))
    enabled: Mapped[bool] = mapped_column(default=True)
    all_pipelines: Mapped[bool] = mapped_column(default=True)
    """Whether the role holds for every pipeline, or for those with a grant only."""
    perm_version: Mapped[int] = mapped_column(default=1)
    """Counted up when tokens of before must no longer hold: role, state, password, log-out everywhere."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    password_changed_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]
    last_login_from: Mapped[str | None] = mapped_column(sa.String(64))


class Epoch(Base):
    """One row, counted up by triggers with every change that decides what a caller may do."""

    __tablename__ = "permission_epoch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(sa.BigInteger)


class OneTimeCode(Base):
    """A code that sets a password once: for the first admin, for a new account, after a reset."""

    __tablename__ = "one_time_codes"

    hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    account_id: Mapped[str | None] = mapped_column(sa.ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    """Whose password it sets; nothing: it makes the first admin."""
    expires_at: Mapped[datetime]


class SigningKey(Base):
    """A key pair that signs tokens: next, then active, then retired."""

    __tablename__ = "signing_keys"
    __table_args__ = (
        sa.CheckConstraint("state IN ('next', 'active', 'retired')", name="state"),
        # Two processes that rotate at the same time cannot both make an active key.
        sa.Index(
            "uq_signing_keys_current",
            "state",
            unique=True,
            sqlite_where=sa.text("state <> 'retired'"),
            postgresql_where=sa.text("state <> 'retired'"),
        ),
    )

    kid: Mapped[str] = mapped_column(sa.String(43), primary_key=True)
    """Thumbprint of the public key (RFC 7638)."""
    algorithm: Mapped[str] = mapped_column(sa.String(10))
    state: Mapped[str] = mapped_column(sa.String(10))
    public_jwk: Mapped[str] = mapped_column(sa.Text)
    private_jwk: Mapped[str] = mapped_column(sa.Text)
    """Encrypted (AES-256-GCM) under the key-encryption key; emptied when the key retires."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    activated_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    """Set when it retires: until then its tokens hold."""


class RefreshFamily(Base):
    """One login and the tokens that came of it."""

    __tablename__ = "refresh_families"

    id: Mapped[str] = mapped_column(sa.String(ID_LENGTH), primary_key=True, default=new_id)
    account_id: Mapped[str] = account_id()
    kind: Mapped[str] = mapped_column(sa.String(10))
    """`refresh`: tokens of programs; `browser`: the cookie of a session."""
    client: Mapped[str] = mapped_column(sa.String(64))
    """Address it was opened from."""
    scope: Mapped[str] = mapped_column(sa.Text)
    """Permissions it was limited to at login, between spaces; `*`: all that the account may do."""
    perm_version: Mapped[int]
    """The account's at login; of a browser session it must still be the same."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class RefreshToken(Base):
    """One link of a family's chain: used once."""

    __tablename__ = "refresh_tokens"

    hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    family_id: Mapped[str] = mapped_column(sa.ForeignKey("refresh_families.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Revocation(Base):
    """An access token that no longer holds though it has not expired."""

    __tablename__ = "revocations"

    jti: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ApiKey(Base):
    """A machine's key."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    """The public part."""
    account_id: Mapped[str] = account_id()
    name: Mapped[str] = mapped_column(sa.String(NAME_LENGTH))
    hash: Mapped[str] = mapped_column(sa.String(64))
    permissions: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    """What it is limited to; nothing: all that the account may do."""
    pipelines: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class LoginAttempt(Base):
    """Failures in a row of one name from one client, known name or not."""

    __tablename__ = "login_attempts"

    subject: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """SHA-256 of the name that was typed: people type passwords there."""
    client: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    last_failed_at: Mapped[datetime | None] = mapped_column(index=True)
    locked_until: Mapped[datetime | None]
