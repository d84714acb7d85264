"""Events -> the stored log; the stored log -> pages of it.

Adding an entry is part of the caller's transaction: an action and its entry are stored together or not at all. It locks
the log until that transaction ends, so it comes last. What must be kept although the action fails (a failed login) is
recorded in a session of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.chain import Anchor
from pynomaly_pipelines.service.audit.entries import GENESIS, Actor, Detail, Entry, details_text, moment, plain
from pynomaly_pipelines.service.audit.tables import ANCHORS, ENTRIES, HEAD

MOST = 500
"""Entries of a page."""
_COLUMNS = tuple(field.name for field in fields(Entry))


def record(
    session: Session, *, actor: Actor, action: Action, subject: str, details: Mapping[str, Detail] | None = None
) -> Entry:
    """Add an entry. It is there once the session's transaction is committed.

    Args:
        actor: who did it.
        action: what was done.
        subject: what it was done to: `account:<id>`, `pipeline:<name>`, `run:<id>` …
        details: what else is worth knowing; values under names like `password` or `token` are left out.
    """
    sequence, previous = _next(session)
    entry = Entry(
        sequence=sequence,
        at=moment(),
        account=plain(actor.account),
        name=plain(actor.name),
        action=action.value,
        subject=plain(subject),
        address=plain(actor.address),
        request_id=plain(actor.request_id),
        details=details_text(details or {}),
        previous=previous,
    )
    session.execute(sa.insert(ENTRIES).values(**asdict(entry), hash=entry.hash))
    session.execute(sa.update(HEAD).where(HEAD.c.id == 1).values(hash=entry.hash))
    return entry


def _next(session: Session) -> tuple[int, str]:
    """The number of the next entry and the hash of the last. Others wait here until this transaction ends."""
    # A change as the first thing: the lock is taken before anything is read, in PostgreSQL and SQLite alike.
    step = (
        sa.update(HEAD)
        .where(HEAD.c.id == 1)
        .values(sequence=HEAD.c.sequence + 1)
        .returning(HEAD.c.sequence, HEAD.c.hash)
    )
    found = session.execute(step).one_or_none()
    if found is None:
        session.execute(
            sa.text("INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, :genesis) ON CONFLICT DO NOTHING"),
            {"genesis": GENESIS},
        )
        found = session.execute(step).one()
    return int(found.sequence), str(found.hash)


@dataclass(frozen=True)
class Asked:
    """Which entries are wanted; empty fields take all."""

    account: str = ""
    action: str = ""
    subject: str = ""
    since: str = ""
    until: str = ""
    before: int | None = None
    """Entries below this sequence: the next page."""
    limit: int = 100


def page(session: Session, asked: Asked) -> list[tuple[Entry, str]]:
    """Entries with their hashes, newest first."""
    query = sa.select(ENTRIES).order_by(ENTRIES.c.sequence.desc()).limit(min(asked.limit, MOST))
    for column in ("account", "action", "subject"):
        if value := getattr(asked, column):
            query = query.where(ENTRIES.c[column] == value)
    if asked.since:
        query = query.where(ENTRIES.c.at >= asked.since)
    if asked.until:
        query = query.where(ENTRIES.c.at < asked.until)
    if asked.before is not None:
        query = query.where(ENTRIES.c.sequence < asked.before)
    return [_read(row) for row in session.execute(query)]


def everything(session: Session, batch: int = 1000) -> Iterator[tuple[Entry, str]]:
    """All entries with their stored hashes, oldest first, a batch at a time."""
    last: int | None = None
    while True:
        query = sa.select(ENTRIES).order_by(ENTRIES.c.sequence).limit(batch)
        rows = session.execute(query if last is None else query.where(ENTRIES.c.sequence > last)).all()
        yield from (_read(row) for row in rows)
        if len(rows) < batch:
            return
        last = rows[-1].sequence


def _read(row: sa.Row[tuple[object, ...]]) -> tuple[Entry, str]:
    return Entry(**{name: getattr(row, name) for name in _COLUMNS}), str(row.hash)


def head(session: Session) -> tuple[int, str]:
    """Sequence and hash of the last entry, as the log itself says; 0 and `GENESIS` while it is empty."""
    found = session.execute(sa.select(HEAD.c.sequence, HEAD.c.hash).where(HEAD.c.id == 1)).one_or_none()
    return (int(found.sequence), str(found.hash)) if found else (0, GENESIS)


def anchors(session: Session) -> list[Anchor]:
    """The anchors that the database holds, oldest first."""
    rows = session.execute(sa.select(ANCHORS).order_by(ANCHORS.c.sequence))
    return [Anchor(row.sequence, row.hash, row.at, row.kid, row.signature) for row in rows]
