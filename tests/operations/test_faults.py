"""Exceptions, as they come from the libraries in use -> the kind of failure."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.operations.faults import Fault, fault_of


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ConnectionResetError(104, "reset"), Fault.TRANSIENT),
        (TimeoutError(), Fault.TRANSIENT),
        (OSError(errno.ENOSPC, "No space left on device"), Fault.TRANSIENT),
        (OSError(errno.ENOENT, "no such file"), Fault.BUG),
        (errors.SourceUnreachable("away"), Fault.TRANSIENT),
        (errors.SourceUnreadable("torn"), Fault.DATA),
        (errors.SchemaError("lost"), Fault.DATA),
        (errors.SourceDenied("no key"), Fault.SETTING),
        (errors.SpecError("min > max"), Fault.SETTING),
        (errors.TableError("a column changed its type"), Fault.SETTING),
        (caused(errors.RegistryError("no answer"), ConnectionRefusedError(111, "refused")), Fault.TRANSIENT),
        (caused(errors.SchemaError("lost"), ConnectionRefusedError(111, "refused")), Fault.DATA),
        (caused(RuntimeError("wrapped"), MemoryError()), Fault.MEMORY),
        (MemoryError(), Fault.MEMORY),
        (ValueError("a bug that timed out"), Fault.BUG),
        (KeyError("amount"), Fault.BUG),
    ],
)
def test_the_kind_of(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault


def nobody_listens(_: Path) -> None:
    from mlflow.tracking import MlflowClient

    MlflowClient("http://127.0.0.1:9").search_registered_models()


def locked(folder: Path) -> None:
    import sqlite3

    import sqlalchemy as sa

    file = folder / "locked.db"
    with sqlite3.connect(file) as holder:
        holder.execute("CREATE TABLE t (a)")
        holder.execute("BEGIN EXCLUSIVE")
        engine = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": 0.01})
        try:
            with engine.connect() as connection:
                connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        finally:
            engine.dispose()
            holder.rollback()
    holder.close()


def away(_: Path) -> None:
    from deltalake import DeltaTable

    options = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",  # pragma: allowlist secret
        "AWS_REGION": "nowhere",
        "max_retries": "0",
    }
    DeltaTable("s3://nobody/there", storage_options=options)


@pytest.mark.parametrize("fails", [nobody_listens, locked, away])
def test_what_libraries_raise_when_the_world_fails(
    fails: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Exception) as caught:  # noqa: PT011 (any: the kind is what is asked)
        fails(tmp_path)
    assert fault_of(caught.value) is Fault.TRANSIENT, repr(caught.value)
