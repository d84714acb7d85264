"""The SQL tables of the audit log: its entries, how far it has come, its anchors."""

from __future__ import annotations

import sqlalchemy as sa

from pynomaly_pipelines.service.accounts.tables import Base

METADATA = Base.metadata

ENTRIES = sa.Table(
    "audit_entries",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    # Text, so that each database gives back what was hashed; it sorts as the time does.
    sa.Column("at", sa.String(27), nullable=False, index=True),
    sa.Column("account", sa.String(300), nullable=False, index=True),
    sa.Column("name", sa.String(300), nullable=False),
    sa.Column("action", sa.String(60), nullable=False, index=True),
    sa.Column("subject", sa.String(300), nullable=False, index=True),
    sa.Column("address", sa.String(300), nullable=False),
    sa.Column("request_id", sa.String(300), nullable=False),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

HEAD = sa.Table(
    "audit_head",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
"""One row. Whoever adds an entry changes it first, and so waits for the one before."""

ANCHORS = sa.Table(
    "audit_anchors",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("at", sa.String(27), nullable=False),
    sa.Column("kid", sa.String(100), nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
)
