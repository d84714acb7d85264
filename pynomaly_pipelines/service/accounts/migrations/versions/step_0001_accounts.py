"""Accounts, signing keys, tokens, API keys, counted failures, and the permission epoch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pynomaly_pipelines.service.accounts.migrations import epoch

revision = "0001_accounts"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("all_pipelines", sa.Boolean(), nullable=False),
        sa.Column("perm_version", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("password_changed_at", _TIME),
        sa.Column("last_login_at", _TIME),
        sa.Column("last_login_from", sa.String(64)),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
        sa.CheckConstraint("role IN ('viewer', 'user', 'admin')", name="ck_accounts_role"),
    )
    op.create_table(
        "permission_epoch",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO permission_epoch (id, epoch) VALUES (1, 1)")
    op.create_table(
        "one_time_codes",
        sa.Column("hash", sa.String(64), primary_key=True),
        _account(nullable=True),
        sa.Column("expires_at", _TIME, nullable=False),
        _to_account("one_time_codes"),
    )
    op.create_index("ix_one_time_codes_account_id", "one_time_codes", ["account_id"])
    _signing_keys()
    _tokens()
    _api_keys()
    op.create_table(
        "login_attempts",
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failed_at", _TIME),
        sa.Column("locked_until", _TIME),
    )
    op.create_index("ix_login_attempts_last_failed_at", "login_attempts", ["last_failed_at"])
    _watch()


def _account(*, nullable: bool = False) -> sa.Column[str]:
    return sa.Column("account_id", sa.String(32), nullable=nullable)


def _to_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=f"fk_{table}_account_id", ondelete="CASCADE")


def _signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(43), primary_key=True),
        sa.Column("algorithm", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("private_jwk", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("activated_at", _TIME),
        sa.Column("expires_at", _TIME),
        sa.CheckConstraint("state IN ('next', 'active', 'retired')", name="ck_signing_keys_state"),
    )
    current = sa.text("state <> 'retired'")
    op.create_index(
        "uq_signing_keys_current",
        "signing_keys",
        ["state"],
        unique=True,
        sqlite_where=current,
        postgresql_where=current,
    )


def _tokens() -> None:
    op.create_table(
        "refresh_families",
        sa.Column("id", sa.String(32), primary_key=True),
        _account(),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("perm_version", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        _to_account("refresh_families"),
    )
    op.create_index("ix_refresh_families_account_id", "refresh_families", ["account_id"])
    op.create_index("ix_refresh_families_expires_at", "refresh_families", ["expires_at"])
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("family_id", sa.String(32), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME),
        sa.ForeignKeyConstraint(
            ["family_id"], ["refresh_families.id"], name="fk_refresh_tokens_family_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_refresh_tokens_family_id", "refresh_tokens", ["family_id"])
    op.create_table(
        "revocations",
        sa.Column("jti", sa.String(64), primary_key=True),
        sa.Column("expires_at", _TIME, nullable=False),
    )
    op.create_index("ix_revocations_expires_at", "revocations", ["expires_at"])


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        _account(),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("permissions", sa.JSON()),
        sa.Column("pipelines", sa.JSON()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.Column("last_used_at", _TIME),
        _to_account("api_keys"),
    )
    op.create_index("ix_api_keys_account_id", "api_keys", ["account_id"])


# What changes with each login or use is left out: it decides nothing.
_OF_ACCOUNTS = ("role", "enabled", "all_pipelines", "perm_version", "name")
_OF_KEYS = ("state", "expires_at", "public_jwk")
_OF_API_KEYS = ("hash", "permissions", "pipelines", "expires_at", "revoked_at", "account_id")
_OF_FAMILIES = ("revoked_at", "expires_at")
_CHANGED = ("update", "delete")


def _watch() -> None:
    epoch.create_counter()
    epoch.watch("accounts", update_of=_OF_ACCOUNTS, events=_CHANGED)
    epoch.watch("signing_keys", update_of=_OF_KEYS)
    epoch.watch("refresh_families", update_of=_OF_FAMILIES, events=("update",))
    epoch.watch("revocations", events=("insert",))
    epoch.watch("api_keys", update_of=_OF_API_KEYS, events=_CHANGED)


def downgrade() -> None:
    """Drop them all."""
    for table in (
        "login_attempts",
        "api_keys",
        "revocations",
        "refresh_tokens",
        "refresh_families",
        "signing_keys",
        "one_time_codes",
        "permission_epoch",
        "accounts",
    ):
        op.drop_table(table)
    epoch.drop_counter()
