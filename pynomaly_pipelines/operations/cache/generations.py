"""Tags -> generations in a database: the one place that says what was invalidated.

An entry is believed while the generations of its tags are those it was made under. They lie in a database and not in
Redis: an invalidation is done when it is committed there, whether or not Redis can be told, so that a Redis that was
away can't bring back what was invalidated meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pynomaly_pipelines.operations.resilience import breaker, retrying

if TYPE_CHECKING:
    import sqlalchemy as sa

DEPENDENCY = "database:generations"
TABLE = "pynomaly_cache_generations"


class Generations(Protocol):
    """Where generations are kept."""

    def read(self) -> Mapping[str, int]:
        """Tag -> generation, of every tag that was ever invalidated."""
        ...

    def advance(self, tags: Iterable[str]) -> Mapping[str, int]:
        """Give each tag a generation greater than all it had; committed on return."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class SqlGenerations:
    """In a table of its own, made when it is not there. SQLite and PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: sa.Engine | None = None

    def read(self) -> Mapping[str, int]:
        """Tag -> generation, of every tag that was ever invalidated."""
        return breaker(DEPENDENCY).call(self._read)

    def advance(self, tags: Iterable[str]) -> Mapping[str, int]:
        """Give each tag a generation greater than all it had.

        Repeating it does no harm: what was invalidated is so twice.
        """
        wanted = sorted(set(tags))
        return retrying(DEPENDENCY).call(self._advance, wanted)

    def close(self) -> None:
        """Let go of connections."""
        if self._engine is not None:
            self._engine.dispose()

    def _read(self) -> Mapping[str, int]:
        import sqlalchemy as sa

        with self._open().connect() as connection:
            rows = connection.execute(sa.text(f"SELECT tag, generation FROM {TABLE}"))  # nosec B608
            return {str(tag): int(generation) for tag, generation in rows}

    def _advance(self, tags: list[str]) -> Mapping[str, int]:
        import sqlalchemy as sa

        # The time, so that a lost table does not begin again at 1; one more where two come in the same instant or a
        # clock runs behind. In one statement: two processes can't give out the same.
        statement = sa.text(
            f"INSERT INTO {TABLE} (tag, generation) VALUES (:tag, :now) ON CONFLICT (tag) DO UPDATE SET generation = "  # nosec B608
            f"CASE WHEN excluded.generation > {TABLE}.generation "
            f"THEN excluded.generation ELSE {TABLE}.generation + 1 END RETURNING generation"
        )
        with self._open().begin() as connection:
            # Sorted by the caller: two processes lock the same rows in the same order.
            now = time.time_ns()
            given = {tag: connection.execute(statement, {"tag": tag, "now": now}).scalar_one() for tag in tags}
        return {tag: int(generation) for tag, generation in given.items()}

    def _open(self) -> sa.Engine:
        if self._engine is None:
            engine = _engine(self._url)
            _create(engine)
            self._engine = engine
        return self._engine


def _engine(url: str) -> sa.Engine:
    import sqlalchemy as sa

    target = sa.make_url(url)
    seconds = breaker(DEPENDENCY).rules.timeout_seconds
    if target.get_backend_name() == "sqlite":
        if target.database:
            Path(target.database).parent.mkdir(parents=True, exist_ok=True)
        return sa.create_engine(target, connect_args={"timeout": seconds})
    limit = round(seconds * 1000)
    # libpq takes no connect_timeout below 2 s.
    arguments = {
        "connect_timeout": max(2, round(seconds)),
        "options": f"-c statement_timeout={limit} -c lock_timeout={limit}",
        "tcp_user_timeout": limit,
    }
    return sa.create_engine(target, pool_size=1, max_overflow=4, pool_pre_ping=True, connect_args=arguments)


def _create(engine: sa.Engine) -> None:
    import sqlalchemy as sa

    table = sa.Table(
        TABLE,
        sa.MetaData(),
        sa.Column("tag", sa.String(200), primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )
    try:
        table.create(engine, checkfirst=True)
    except (sa.exc.ProgrammingError, sa.exc.OperationalError, sa.exc.IntegrityError):
        # Another process made it between the look and the statement; if it is something else, this raises it again.
        table.create(engine, checkfirst=True)
