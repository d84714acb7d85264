"""Every table of the accounts' database, whichever module it is in."""

from __future__ import annotations

import importlib

import sqlalchemy as sa

from pynomaly_pipelines.service.accounts.tables import Base

# Modules that add tables to `Base`, besides its own.
TABLES: tuple[str, ...] = ("access.tables", "audit.tables", "launching.idempotency")


def metadata() -> sa.MetaData:
    """All tables, with every module that has some imported."""
    for module in TABLES:
        importlib.import_module(f"pynomaly_pipelines.service.{module}")
    return Base.metadata
