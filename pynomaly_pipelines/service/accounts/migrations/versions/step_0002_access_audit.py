"""Grants, access requests, the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pynomaly_pipelines.service.accounts.migrations import epoch

revision = "0002_access_audit"
down_revision = "0001_accounts"

_TIME = sa.DateTime(timezone=True)
# A grant that ends by itself changes no row: callers are made anew when the first of their grants ends.
_OF_GRANTS = ("account_id", "pipeline", "permission", "role", "expires_at", "revoked_at")


def upgrade() -> None:
    """Make the tables."""
    _grants()
    _requests()
    _audit()
    epoch.watch("grants", update_of=_OF_GRANTS)


def _to_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=f"fk_{table}_account_id", ondelete="CASCADE")


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("account_id", sa.String(32), nullable=False),
        sa.Column("pipeline", sa.String(100)),
        sa.Column("permission", sa.String(40)),
        sa.Column("role", sa.String(10)),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("granted_by", sa.String(32), nullable=False),
        sa.Column("granted_by_name", sa.String(100), nullable=False),
        sa.Column("request_id", sa.String(32)),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("revoked_at", _TIME),
        sa.Column("revoked_by", sa.String(32)),
        sa.CheckConstraint("(permission IS NULL) <> (role IS NULL)", name="ck_grants_one_thing"),
        _to_account("grants"),
    )
    op.create_index("ix_grants_account_id", "grants", ["account_id"])


def _requests() -> None:
    op.create_table(
        "access_requests",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("account_id", sa.String(32), nullable=False),
        sa.Column("requested_by", sa.String(32), nullable=False),
        sa.Column("requested_by_name", sa.String(100), nullable=False),
        sa.Column("pipeline", sa.String(100)),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.Column("role", sa.String(10)),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("days", sa.Integer()),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("decided_by", sa.String(32)),
        sa.Column("decided_by_name", sa.String(100)),
        sa.Column("decided_at", _TIME),
        sa.Column("comment", sa.String(500)),
        sa.CheckConstraint(
            "state IN ('open', 'approved', 'denied', 'cancelled', 'expired')", name="ck_access_requests_state"
        ),
        _to_account("access_requests"),
    )
    op.create_index("ix_access_requests_account_id", "access_requests", ["account_id"])
    op.create_index("ix_access_requests_state", "access_requests", ["state"])


def _audit() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("account", sa.String(300), nullable=False),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("action", sa.String(60), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("address", sa.String(300), nullable=False),
        sa.Column("request_id", sa.String(300), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    for column in ("at", "account", "action", "subject"):
        op.create_index(f"ix_audit_entries_{column}", "audit_entries", [column])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "audit_anchors",
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("kid", sa.String(100), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Drop them all."""
    epoch.unwatch("grants")
    for table in ("audit_anchors", "audit_head", "audit_entries", "access_requests", "grants"):
        op.drop_table(table)
