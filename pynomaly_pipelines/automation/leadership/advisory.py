"""A PostgreSQL database -> a lock that one session holds, and a fence against whoever held it before.

Three advisory locks (PostgreSQL's manual, 13.3.5):

* the **leader's**: held by one session; whoever loses the connection has lost it.
* the **term's**, with a random number: held by the same session, so that a daemon of that term finds out whether the
  session lives: it does, as long as nobody else can take this one.
* the **fence**: shared by all connections of the leader's daemon. A new leader ends those that are left, and begins
  only when it had the fence for itself.

A machine that was paused wakes up with a daemon that believes to be alone. Each of its connections then ends or is
refused, before it reads or writes anything (M. Kleppmann, *How to do distributed locking*, 2016).
"""

from __future__ import annotations

import secrets
import select
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from pynomaly_pipelines.automation.leadership.locks import Taking

LEADER_SEED, FENCE_SEED = 0x70796E6F, 0x66656E63
"""`pyno` and `fenc` in ASCII. Two instances may share a database, each in a schema of its own."""
FENCE_SECONDS = 20.0
CONNECT_SECONDS = 5
# A peer whose machine vanished is noticed by both ends within half a minute.
_IDLE, _INTERVAL, _COUNT = 10, 5, 3
_PEER = {"keepalives": 1, "keepalives_idle": _IDLE, "keepalives_interval": _INTERVAL, "keepalives_count": _COUNT}
_KEY = "hashtextextended(coalesce(current_schema(), ''), :seed)"
_TAKE = sa.text(
    f"SELECT set_config('tcp_keepalives_idle', '{_IDLE}', false), set_config('tcp_keepalives_interval', '{_INTERVAL}',"
    f" false), set_config('tcp_keepalives_count', '{_COUNT}', false), pg_try_advisory_lock({_KEY}) AS taken"
)
# B608: the one part put in is a constant of ours.
_END_OTHERS = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"  # nosec B608
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    f" AND ((classid::bigint << 32) | objid::bigint) = {_KEY} AND pid <> pg_backend_pid()"
)
# CASE keeps the order: whoever asked before holding the fence could be overtaken between the two.
_ASK = (
    "SELECT CASE WHEN pg_try_advisory_lock_shared(hashtextextended(coalesce(current_schema(), ''), %s))"
    " THEN NOT pg_try_advisory_lock_shared(%s) ELSE false END"
)


class AdvisoryLock:
    """The leader's lock and what goes with it, in one session."""

    inherited: tuple[int, ...] = ()

    def __init__(self, url: str) -> None:
        # The driver that Dagster's storage uses, whatever the URL leaves open.
        known = sa.make_url(url).set(drivername="postgresql+psycopg2")
        arguments = {"connect_timeout": CONNECT_SECONDS, **_PEER}
        self._engine = sa.create_engine(
            known, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments
        )
        self._session: sa.Connection | None = None
        self.term = ""

    def take(self) -> Taking:
        """Try once; a server that is away is nobody's."""
        try:
            session = self._engine.connect()
        except sa.exc.DBAPIError:
            return Taking.AWAY
        try:
            if not session.execute(_TAKE, {"seed": LEADER_SEED}).one().taken:
                session.close()
                return Taking.OF_ANOTHER
            self.term = _begin_term(session)
        except (sa.exc.DBAPIError, TimeoutError):
            _drop(session)
            return Taking.AWAY
        self._session = session
        return Taking.TAKEN

    def held(self) -> bool:
        """Whether the session lives: a server that ends it says so, and so does the system of a peer that vanished."""
        if self._session is None:
            return False
        connection = self._session.connection.driver_connection
        assert connection is not None
        try:
            # Nothing is asked: a server that hangs keeps nobody waiting here, and gives the lock to nobody.
            while select.select([connection], [], [], 0)[0]:
                connection.poll()
        except (self._engine.dialect.loaded_dbapi.Error, OSError, ValueError):
            return False
        return not connection.closed

    def release(self) -> None:
        """End the session."""
        if self._session is not None:
            _drop(self._session)
            self._session, self.term = None, ""


def guard(term: str, refuse: Callable[[], object]) -> Callable[[Any, object], None]:
    """What a connection of the leader's daemon does first: it shares the fence, and asks whether the term lasts.

    Args:
        term: of the lock under which the daemon was started.
        refuse: is called when another leads.
    """

    def first(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_ASK, (FENCE_SEED, int(term)))
            (lasts,) = cursor.fetchone()
        if not connection.autocommit:
            # A session's locks stay.
            connection.commit()
        if not lasts:
            connection.close()
            refuse()

    return first


def _begin_term(session: sa.Connection) -> str:
    """A new term, once nothing of the one before is at work.

    Raises:
        TimeoutError: connections of the daemon before can't be ended.
    """
    term = secrets.randbits(62)
    session.execute(sa.select(sa.func.pg_advisory_lock(term)))
    deadline = time.monotonic() + FENCE_SECONDS
    fence = {"seed": FENCE_SEED}
    while not session.execute(sa.text(f"SELECT pg_try_advisory_lock({_KEY})"), fence).scalar():
        if time.monotonic() > deadline:
            raise TimeoutError(f"connections of the daemon before did not end within {FENCE_SECONDS:.0f} s")
        session.execute(_END_OTHERS, fence)
        time.sleep(0.1)
    session.execute(sa.text(f"SELECT pg_advisory_unlock({_KEY})"), fence)
    return str(term)


def _drop(session: sa.Connection) -> None:
    """Close it without a word to a server that may hang."""
    session.invalidate()
    session.close()
