"""Locks of daemons: one holder, a term that ends with the session, and a fence against the holder before."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pynomaly_pipelines.automation.leadership import Lock, Taking
from pynomaly_pipelines.automation.leadership.advisory import AdvisoryLock, guard
from pynomaly_pipelines.automation.leadership.locks import FileLock
from tests.servers import Postgres, free_port

_names = (f"leadership_{number}" for number in itertools.count())


class Superseded(Exception):
    """Stands for the end of a process."""


def superseded() -> None:
    raise Superseded


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.create(next(_names))


@pytest.fixture(params=["file", "advisory"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Lock, Lock]]:
    if request.param == "file":
        pair: tuple[Lock, Lock] = (FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock"))
    else:
        url = request.getfixturevalue("url")
        pair = (AdvisoryLock(url), AdvisoryLock(url))
    yield pair
    for lock in pair:
        lock.release()


@pytest.fixture
def session(url: str) -> Iterator[sa.Connection]:
    """Somebody who looks on."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def daemon_of(lock: AdvisoryLock, url: str) -> sa.Engine:
    """Connections as the leader's daemon makes them."""
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg2"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )
    sa.event.listen(engine, "connect", guard(lock.term, superseded))
    return engine


def end_sessions_with_locks(session: sa.Connection) -> None:
    """What the server does with the sessions of a machine that no longer answers."""
    others = "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    session.execute(sa.text(f"SELECT pg_terminate_backend(pid, 60000) FROM ({others}) AS holders"))


def test_one_holds_it_at_a_time(locks: tuple[Lock, Lock]) -> None:
    first, second = locks
    assert not first.held()
    assert first.take() is Taking.TAKEN
    assert first.held()
    assert second.take() is Taking.OF_ANOTHER
    assert not second.held()

    first.release()
    assert not first.held()
    assert second.take() is Taking.TAKEN
    assert first.take() is Taking.OF_ANOTHER


def test_a_server_that_is_away_is_nobodys() -> None:
    lock = AdvisoryLock(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")
    assert lock.take() is Taking.AWAY
    assert not lock.held()


def test_whoever_loses_the_session_loses_the_lock(url: str, session: sa.Connection) -> None:
    first, second = AdvisoryLock(url), AdvisoryLock(url)
    assert first.take() is Taking.TAKEN
    end_sessions_with_locks(session)
    assert not first.held()
    assert second.take() is Taking.TAKEN
    first.release()
    assert second.held()
    second.release()


def test_news_of_the_server_are_not_the_end(url: str, session: sa.Connection) -> None:
    """A new setting is told to every session, so that there is something to read."""
    lock = AdvisoryLock(url)
    assert lock.take() is Taking.TAKEN
    try:
        session.execute(sa.text("ALTER SYSTEM SET intervalstyle = 'iso_8601'"))
        session.execute(sa.text("SELECT pg_reload_conf()"))
        deadline = time.monotonic() + 60
        while session.execute(sa.text("SHOW intervalstyle")).scalar() != "iso_8601":
            assert lock.held()
            assert time.monotonic() < deadline
        assert all(lock.held() for _ in range(100))
    finally:
        session.execute(sa.text("ALTER SYSTEM RESET intervalstyle"))
        session.execute(sa.text("SELECT pg_reload_conf()"))
        lock.release()


def test_instances_in_schemas_of_one_database_have_leaders_of_their_own(url: str, session: sa.Connection) -> None:
    session.execute(sa.text("CREATE SCHEMA ours"))
    in_public, in_ours = AdvisoryLock(url), AdvisoryLock(f"{url}?options=-csearch_path%3Dours")
    assert in_public.take() is Taking.TAKEN
    assert in_ours.take() is Taking.TAKEN
    in_public.release()
    in_ours.release()


def test_a_daemon_works_in_its_term_and_not_after(url: str, session: sa.Connection) -> None:
    first, second = AdvisoryLock(url), AdvisoryLock(url)
    assert first.take() is Taking.TAKEN
    daemon = daemon_of(first, url)
    for _ in range(2):
        with daemon.connect() as connection:
            assert connection.execute(sa.text("SELECT 1")).scalar() == 1

    end_sessions_with_locks(session)
    with pytest.raises(Superseded):
        daemon.connect()
    assert second.take() is Taking.TAKEN
    with pytest.raises(Superseded):
        daemon.connect()
    with daemon_of(second, url).connect() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1
    second.release()


def test_a_new_leader_ends_what_the_daemon_before_has_open(url: str, session: sa.Connection) -> None:
    first, second = AdvisoryLock(url), AdvisoryLock(url)
    session.execute(sa.text("CREATE TABLE ticks (by text)"))
    assert first.take() is Taking.TAKEN
    asleep = daemon_of(first, url).connect()
    writing = asleep.execution_options(isolation_level="READ COMMITTED").begin()
    asleep.execute(sa.text("INSERT INTO ticks VALUES ('the daemon before')"))

    first.release()
    assert second.take() is Taking.TAKEN
    with pytest.raises(sa.exc.OperationalError):
        writing.commit()
    asleep.invalidate()
    asleep.close()
    assert session.execute(sa.text("SELECT count(*) FROM ticks")).scalar() == 0
    second.release()
