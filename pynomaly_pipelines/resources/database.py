"""A database that SQLAlchemy can reach -> rows of a table or query, streamed, with conditions that it checks itself.

Values always travel as bound parameters. Only what the pipeline's YAML says as SQL (`query`, `where`) is SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pynomaly_pipelines.operations.errors import (
    PynomalyError,
    SchemaError,
    SecretMissing,
    SourceDenied,
    SourceMissing,
    SourceUnreachable,
)
from pynomaly_pipelines.operations.secrets import SecretName, process_store
from pynomaly_pipelines.operations.secrets.database import engine_for, url_of
from pynomaly_pipelines.operations.secrets.process import missing
from pynomaly_pipelines.spec.source import SqlSource

_FIRST_FETCH = 256
_VALUES_A_FETCH = 1 << 16
"""Rows arrive as Python objects, ten times the size they have in a table: few at a time."""
_FOLDS_NAMES = ("oracle", "snowflake")
_DENIED = ("password authentication failed", "access denied", "permission denied", "no pg_hba", "login failed",
           "authorization", "role \"")  # fmt: skip
_NO_TABLE = ("no such table", "undefinedtable", "unknown table", "invalid object name", "table or view does not exist",
             "relation \"", "catalog error: table", "doesn't exist")  # fmt: skip
_NO_COLUMN = ("no such column", "undefinedcolumn", "unknown column", "invalid column name", "binder error",
              "invalid identifier")  # fmt: skip


class Rows:
    """The rows of one source. Open it with `with`; it holds one connection."""

    def __init__(self, source: SqlSource) -> None:
        self._source = source
        self._engine = _engine(source)
        self._connection: sa.Connection | None = None
        self._results: list[sa.CursorResult[Any]] = []

    def __enter__(self) -> Rows:
        with self._told():
            connection = self._engine.connect()
            # All that one look or one reading asks for is of one moment, where the database can do that.
            if self._engine.dialect.name in ("postgresql", "mysql"):
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            self._connection = connection
        return self

    def __exit__(self, *_: object) -> None:
        # Readers that stopped half way have left their cursors open.
        for result in self._results:
            result.close()
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()

    def names(self) -> list[str]:
        """Names of the columns."""
        statement = sa.select(sa.text("*")).select_from(self._relation()).where(sa.text("1 = 0"))
        with self._told():
            return list(self._open.execute(statement).keys())

    def column(self, name: str) -> Any:
        """A column in a condition or a selection."""
        quote = None if self._engine.dialect.name in _FOLDS_NAMES else True
        return sa.column(sa.sql.quoted_name(name, quote))

    def one(self, *wanted: Any, where: Sequence[Any] = ()) -> tuple[Any, ...]:
        """The first row of these expressions; nulls if there is none."""
        statement = self._select(wanted, where).limit(1)
        with self._told():
            found = self._open.execute(statement).first()
        return (None,) * len(wanted) if found is None else tuple(found)

    def stream(
        self, wanted: Sequence[Any], *, where: Sequence[Any] = (), group_by: Sequence[Any] = (),
        order_by: Sequence[Any] = (), piece_bytes: int,
    ) -> Iterator[pa.Table]:  # fmt: skip
        """Rows of these expressions as tables of at most about that size, from a cursor on the server's side."""
        statement = self._select(wanted, where).group_by(*group_by).order_by(*order_by)
        with self._told():
            most = max(1, _VALUES_A_FETCH // len(wanted))
            options = {"stream_results": True, "max_row_buffer": most}
            result = self._open.execution_options(**options).execute(statement)
        self._results = [result]
        names, size = list(result.keys()), min(_FIRST_FETCH, most)
        while True:
            with self._told():
                rows = result.fetchmany(size)
            if not rows:
                return
            table = pa.table([_array(column) for column in zip(*rows, strict=True)], names=names)
            size = max(1, min(most, int(piece_bytes / max(1.0, table.nbytes / table.num_rows))))
            yield table

    @property
    def _open(self) -> sa.Connection:
        assert self._connection is not None
        return self._connection

    def _select(self, wanted: Sequence[Any], where: Sequence[Any]) -> sa.Select[Any]:
        statement = sa.select(*wanted).select_from(self._relation())
        if self._source.where is not None:
            statement = statement.where(sa.text(f"({_literal(self._source.where)})"))
        return statement.where(*where)

    def _relation(self) -> Any:
        if self._source.query is not None:
            return sa.text(f"({_literal(self._source.query.strip().rstrip(';'))}) AS source_rows")
        quote = None if self._engine.dialect.name in _FOLDS_NAMES else True
        name = sa.sql.quoted_name(str(self._source.table), quote)
        schema = self._source.schema_name
        return sa.table(name, schema=None if schema is None else sa.sql.quoted_name(schema, quote))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise _as_source_error(self._source, error) from error


def _literal(sql: str) -> str:
    """SQL as it was written: a colon in it is no parameter."""
    return sql.replace(":", "\\:")


def _array(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _engine(source: SqlSource) -> sa.Engine:
    store, wanted = process_store(), SecretName.of_variable(source.url_env)
    try:
        url = url_of(wanted, store.current(wanted))
    except SecretMissing as error:
        raise missing(wanted, error, "the SQLAlchemy URL of the source's database") from None
    return engine_for(store, wanted, poolclass=sa.NullPool, connect_args=_timeout(url, source.timeout_seconds))


def _timeout(url: sa.URL, seconds: int) -> dict[str, Any]:
    """The longest wait for a connection, as the driver calls it; drivers not named here have their own default."""
    name = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "sqlite": "timeout", "mssql": "timeout"}
    known = name.get(url.get_backend_name())
    return {known: seconds} if known else {}


def _as_source_error(source: SqlSource, error: sa.exc.DBAPIError) -> PynomalyError:
    text = " ".join(str(error.orig).split())
    told = f"{type(error.orig).__name__} {text}".lower()
    if any(sign in told for sign in _NO_COLUMN):
        return SchemaError(
            f"a column is not in {source.place}: {text[:300]}",
            rule="the pipeline names it",
            fix="correct the name in defs.yaml, or add the column to the table or query",
        )
    if any(sign in told for sign in _DENIED):
        return SourceDenied(
            f"{source.url_env} is denied access: {text[:300]}",
            rule=f"its user may connect, and read {source.place}",
            fix=f"correct the user and password in {source.url_env}, or GRANT SELECT to that user",
        )
    if any(sign in told for sign in _NO_TABLE):
        return SourceMissing(
            f"{source.place} does not exist: {text[:300]}",
            rule="the pipeline reads its rows from there",
            fix="correct `table`, `schema` or `query`, or create the table",
        )
    if "unable to open database file" in told or ("database" in told and "does not exist" in told):
        return SourceMissing(
            f"there is no database where {source.url_env} points: {text[:300]}",
            rule="the URL ends with the database's name",
            fix=f"correct {source.url_env}",
        )
    if isinstance(error, sa.exc.ProgrammingError | sa.exc.DataError):
        return SourceMissing(
            f"the database refuses to read {source.place}: {text[:300]}",
            rule="`query` is a SELECT and `where` a condition in its own SQL",
            fix="run it by hand and correct it",
        )
    return SourceUnreachable(
        f"the database of {source.url_env} does not answer: {text[:300]}",
        rule=f"it must answer within {source.timeout_seconds} s",
        fix="look whether it is up and reachable from here; the run is tried again",
    )
