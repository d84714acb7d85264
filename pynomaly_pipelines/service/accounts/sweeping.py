"""Rows that mean nothing any more -> gone, a few at a time, at the start of the service and each hour.

Batches are short transactions, so that nobody who logs in waits for a sweep; several processes may sweep together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.tables import (
    ApiKey,
    Base,
    LoginAttempt,
    OneTimeCode,
    RefreshFamily,
    RefreshToken,
    Revocation,
)
from pynomaly_pipelines.service.auth.parts import Auth
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.launching.idempotency import KEYS

BATCH = 1000
"""Rows a transaction deletes at most."""
EVERY_SECONDS = 3600.0
SHOWN = timedelta(days=90)
"""How long an API key that is over is still listed: its owner may ask why a machine is refused."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Over:
    """Rows of a table that are over."""

    table: sa.Table
    condition: sa.ColumnElement[bool]


def over(auth: Auth, at: datetime) -> tuple[Over, ...]:
    """What is over at this moment."""
    # An access token names its login, and outlives it by its own life at most.
    ended = at - auth.lifetimes.access - timedelta(seconds=auth.token_rule.leeway)
    families = sa.select(RefreshFamily.id).where(RefreshFamily.expires_at < ended)
    return (
        Over(_table(OneTimeCode), OneTimeCode.expires_at <= at),
        Over(_table(LoginAttempt), LoginAttempt.last_failed_at < at - auth.lockout.forgotten),
        Over(_table(Revocation), Revocation.expires_at < at),
        Over(_table(RefreshToken), RefreshToken.family_id.in_(families)),
        # After its tokens: deleting it would take all of them at once.
        Over(_table(RefreshFamily), sa.and_(RefreshFamily.expires_at < ended, ~_has_tokens())),
        Over(_table(ApiKey), sa.func.coalesce(ApiKey.revoked_at, ApiKey.expires_at) < at - SHOWN),
        Over(KEYS, KEYS.c.expires_at <= at),
    )


def sweep(database: Database, what: Sequence[Over], batch: int = BATCH) -> int:
    """Delete them, each batch in a transaction of its own; how many there were."""
    total = 0
    for each in what:
        while (found := _some(database, each, batch)) > 0:
            total += found
            if found < batch:
                break
    return total


@asynccontextmanager
async def sweeping(service: Service) -> AsyncIterator[None]:
    """Sweep while the service runs. It goes on when that fails; the log says so."""
    task = asyncio.create_task(_sweep_for_ever(service))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _sweep_for_ever(service: Service) -> None:
    while True:
        await asyncio.to_thread(_sweep, service)
        await asyncio.sleep(EVERY_SECONDS)


def _sweep(service: Service) -> None:
    try:
        found = sweep(service.database, over(service.auth, service.auth.now()))
    except (SQLAlchemyError, PynomalyError) as error:
        log.warning("rows that are over could not be deleted, it is tried again: %s", error)
    else:
        if found:
            log.info("%d rows that were over are deleted", found)


def _some(database: Database, each: Over, batch: int) -> int:
    keys = list(each.table.primary_key.columns)
    # Looked for without SQLite's one write lock: mostly there is nothing.
    with database.reading() as session:
        rows = session.execute(sa.select(*keys).where(each.condition).limit(batch)).all()
    if not rows:
        return 0
    with database.writing() as session:
        chosen = sa.tuple_(*keys).in_([tuple(row) for row in rows])
        # The condition again: a row may have been renewed since it was read.
        session.execute(sa.delete(each.table).where(chosen, each.condition))
    return len(rows)


def _has_tokens() -> sa.ColumnElement[bool]:
    return sa.exists(sa.select(RefreshToken.hash).where(RefreshToken.family_id == RefreshFamily.id))


def _table(mapped: type[Base]) -> sa.Table:
    found = mapped.__table__
    assert isinstance(found, sa.Table)
    return found
