"""`Idempotency-Key`: the same request sent again -> the same answer, and the work done once.

After draft-ietf-httpapi-idempotency-key-header-07. A key belongs to the account that sent it. The first request takes
it by a row that only one can insert; the others wait for its answer and give it again. A request that got stuck,
because its process died or Dagster's answer got lost, leaves its claim to run out; whoever sends it again takes it
over, with the same launch, and looks for what was launched before it launches. Unlike the draft, another body under a
used key is answered with 409, not 422: it is the state of things that it does not fit.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pynomaly_pipelines.operations.errors import BadRequest, Conflict
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.tables import Base, UtcDateTime

HEADER = "Idempotency-Key"
LEASE = timedelta(seconds=60)
"""How long a claim holds without a sign of life; longer than one launch may take."""
LONGEST_KEY = 255

KEYS = sa.Table(
    "idempotency_keys",
    Base.metadata,
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(LONGEST_KEY), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("launch", sa.String(32), nullable=False),
    sa.Column("claimed_until", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
    sa.Column("status", sa.Integer),
    sa.Column("body", sa.Text),
    sa.Column("location", sa.String(200)),
)
"""One row a key: who sent it, for which request and launch, until when it is claimed, and the answer."""


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    body: dict[str, Any]
    location: str | None = None
    replayed: bool = False
    """Whether it was given before."""
    final: bool = True
    """Whether the same request would be answered the same; else it may be tried again."""


@dataclass(frozen=True)
class Claim:
    """The right to do the work of a key."""

    account: str
    key: str
    launch: str
    resumed: bool = False
    """Whether somebody may have begun it."""


@dataclass(frozen=True)
class Busy:
    """Another request is doing it."""

    seconds: float
    """How long its claim still holds."""


class IdempotencyKeys:
    """The keys and answers of all accounts. Each method is one short transaction; call them in threads."""

    def __init__(self, database: Callable[[], Database], keep: timedelta) -> None:
        """`database` opens it when it is first needed, in the thread that needs it."""
        self._database = database
        self._keep = keep

    def claim(self, account: str, key: str, fingerprint: str) -> Claim | Answer | Busy:
        """The key for this request: claimed, answered already, or in other hands.

        Raises:
            Conflict: it was used for another request.
        """
        # Insert first: reading first would let two requests find nothing.
        for _ in range(3):
            self._forget_expired()
            claimed = self._insert(account, key, fingerprint)
            if claimed is not None:
                return claimed
            row = self._row(account, key)
            if row is None:
                continue
            if row.fingerprint != fingerprint:
                raise _other_body(key)
            if row.status is not None:
                return Answer(row.status, json.loads(row.body), row.location, replayed=True)
            held = (row.claimed_until - _now()).total_seconds()
            if held > 0:
                return Busy(held)
            if self._take_over(row):
                return Claim(account, key, row.launch, resumed=True)
        return Busy(1.0)

    def renew(self, claim: Claim, seconds: float = LEASE.total_seconds()) -> None:
        """A sign of life, or with 0 seconds: let go of it, so that the next request goes on with it."""
        self._update(claim, claimed_until=_now() + timedelta(seconds=seconds))

    def answer(self, claim: Claim, answer: Answer) -> None:
        """Keep the answer."""
        self._update(claim, status=answer.status, body=json.dumps(answer.body), location=answer.location)

    def forget(self, claim: Claim) -> None:
        """Nothing came of it: the key is free again."""
        with self._database().writing() as session:
            session.execute(sa.delete(KEYS).where(*_of(claim.account, claim.key), KEYS.c.status.is_(None)))

    def _insert(self, account: str, key: str, fingerprint: str) -> Claim | None:
        claim, now = Claim(account, key, uuid.uuid4().hex), _now()
        values = {"account": account, "key": key, "fingerprint": fingerprint, "launch": claim.launch}
        times = {"claimed_until": now + LEASE, "expires_at": now + self._keep}
        try:
            with self._database().writing() as session:
                session.execute(sa.insert(KEYS).values(**values, **times))
        except sa.exc.IntegrityError:
            return None
        return claim

    def _row(self, account: str, key: str) -> Any:
        with self._database().reading() as session:
            return session.execute(sa.select(KEYS).where(*_of(account, key))).one_or_none()

    def _take_over(self, row: Any) -> bool:
        """Whether we are the one who got the claim that ran out."""
        unchanged = (KEYS.c.claimed_until == row.claimed_until, KEYS.c.status.is_(None))
        with self._database().writing() as session:
            done = session.execute(
                sa.update(KEYS)
                .where(*_of(row.account, row.key), *unchanged)
                .values(claimed_until=_now() + LEASE)
                .returning(KEYS.c.key)
            )
            return done.first() is not None

    def _update(self, claim: Claim, **values: Any) -> None:
        with self._database().writing() as session:
            session.execute(
                sa.update(KEYS)
                .where(*_of(claim.account, claim.key), KEYS.c.launch == claim.launch, KEYS.c.status.is_(None))
                .values(**values)
            )

    def _forget_expired(self) -> None:
        with self._database().writing() as session:
            session.execute(sa.delete(KEYS).where(KEYS.c.expires_at <= _now()))


def fingerprint(method: str, path: str, body: Any) -> str:
    """The same for the same request: method, path and body, whatever the order of its keys."""
    told = json.dumps([method, path, body], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def parse_key(written: str | None) -> str | None:
    """The key of the header's value, with or without the quotes of a structured field.

    Raises:
        BadRequest: it is empty, too long or not printable ASCII.
    """
    if written is None:
        return None
    key = written.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise BadRequest(
            f"{HEADER} has {len(key)} characters" if key.isascii() else f"{HEADER} is not ASCII",
            rule=f"1 to {LONGEST_KEY} printable ASCII characters are expected",
            fix="send a random UUID, a new one for each new launch",
        )
    return key


def _now() -> datetime:
    return datetime.now(UTC)


def _of(account: str, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (KEYS.c.account == account, KEYS.c.key == key)


def _other_body(key: str) -> Conflict:
    return Conflict(
        f"{HEADER} {key!r} was used for another request",
        rule="a key stands for one request: the same method, path and body",
        fix="send a new key for a new launch",
    )
