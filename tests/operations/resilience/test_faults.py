"""Errors of real libraries: whether the dependency is at fault, whether another try may help."""

from __future__ import annotations

import errno
import socket
import sqlite3
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import psycopg
import pytest
import redis
import requests
import sqlalchemy as sa

from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.operations.resilience import is_fault, is_transient
from tests.servers import Postgres, free_port


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _of_http(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(str(status), response=response)


class Serialization(psycopg.errors.SerializationFailure):
    sqlstate = "40001"


@pytest.mark.parametrize(
    ("error", "fault", "transient"),
    [
        (ConnectionRefusedError("x"), True, True),
        (TimeoutError("x"), True, True),
        (socket.gaierror("x"), True, True),
        (OSError(errno.EHOSTUNREACH, "x"), True, True),
        (OSError(errno.ENOSPC, "x"), False, False),
        (FileNotFoundError("x"), False, False),
        (PermissionError("x"), False, False),
        (ValueError("x"), False, False),
        (requests.ConnectionError("x"), True, True),
        (requests.exceptions.InvalidURL("x"), False, False),
        (_of_http(503), True, True),
        (_of_http(404), False, False),
        (_of_http(429), False, True),
        (urllib.error.HTTPError("http://a", 500, "x", Message(), None), True, True),
        (urllib.error.HTTPError("http://a", 403, "x", Message(), None), False, False),
        (urllib.error.URLError(ConnectionRefusedError("x")), True, True),
        (redis.ConnectionError("x"), True, True),
        (redis.TimeoutError("x"), True, True),
        (redis.BusyLoadingError("x"), True, True),
        (redis.AuthenticationError("x"), False, False),
        (redis.ResponseError("x"), False, False),
        (sa.exc.OperationalError("q", {}, psycopg.OperationalError("x")), True, True),
        (sa.exc.OperationalError("q", {}, Serialization("x")), False, True),
        (sa.exc.ProgrammingError("q", {}, psycopg.ProgrammingError("x")), False, False),
        (sa.exc.OperationalError("q", {}, sqlite3.OperationalError("database is locked")), True, True),
        (sa.exc.OperationalError("q", {}, sqlite3.OperationalError("no such table: a")), False, False),
        (errors.SourceUnreachable("x"), True, True),
        (errors.SourceChanging("x"), False, False),
        # Another came first; whoever was asked has answered.
        (errors.TableMoved("x"), False, True),
        (_caused(errors.ChampionMoved("x"), errors.TableMoved("x")), False, True),
        (errors.DataError("x"), False, False),
        (errors.DependencyUnavailable("x"), False, False),
        (_caused(errors.RegistryError("x"), ConnectionRefusedError("x")), True, True),
    ],
)
def test_kinds(error: Exception, fault: bool, transient: bool) -> None:
    assert (is_fault(error), is_transient(error)) == (fault, transient)


def test_what_libraries_really_raise_at_a_closed_port() -> None:
    port = free_port()
    for ask in (
        lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5),
        lambda: requests.get(f"http://127.0.0.1:{port}", timeout=5),
        lambda: redis.Redis(port=port).ping(),
        lambda: sa.create_engine(f"postgresql+psycopg://127.0.0.1:{port}/a").connect(),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 (each library has its own)
            ask()
        assert is_fault(caught.value), caught.value


def test_mlflow_says_what_it_is(tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_DOES_NOT_EXIST

    assert is_fault(MlflowException("down", INTERNAL_ERROR))
    assert not is_fault(MlflowException("none", RESOURCE_DOES_NOT_EXIST))


def test_postgres_answers_of_bad_statements(postgres: Postgres) -> None:
    engine = sa.create_engine(postgres.url(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in ("SELECT * FROM nowhere", "SELECT 1/0"):
            with pytest.raises(sa.exc.SQLAlchemyError) as caught:
                connection.execute(sa.text(statement))
            assert not is_fault(caught.value)
            connection.rollback()
        connection.execute(sa.text("SET statement_timeout = 20"))
        with pytest.raises(sa.exc.OperationalError) as caught_late:
            connection.execute(sa.text("SELECT pg_sleep(30)"))
        assert is_fault(caught_late.value)
