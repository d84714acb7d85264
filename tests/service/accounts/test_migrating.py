"""Migrations: up, down, the same as the models, once however many start together."""

from __future__ import annotations

import multiprocessing
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.service.accounts.database import Database, parsed
from pynomaly_pipelines.service.accounts.metadata import metadata
from pynomaly_pipelines.service.accounts.migrating import migrate, require_current, revision, scripts, undo


def _tables(database: Database) -> set[str]:
    return set(sa.inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_up_makes_what_the_models_say_and_down_leaves_nothing(empty: Database) -> None:
    assert migrate(empty) == (None, scripts().get_current_head())
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata()) == []
    assert _tables(empty) == set(metadata().tables)
    undo(empty)
    assert _tables(empty) == set()
    assert revision(empty) is None
    migrate(empty)
    assert _tables(empty) == set(metadata().tables)


def test_each_step_can_be_taken_back_and_again(empty: Database) -> None:
    steps = [step.revision for step in scripts().walk_revisions()][::-1]
    for step in steps:
        migrate(empty, step)
        before = _tables(empty)
        undo(empty, "-1")
        migrate(empty, step)
        assert _tables(empty) == before
    assert revision(empty) == scripts().get_current_head()


def _start(url: str, found: multiprocessing.Queue[tuple[str | None, str | None]]) -> None:
    database = Database(url)
    found.put(migrate(database))
    database.close()


@pytest.mark.slow
def test_of_processes_that_start_together_one_migrates(empty: Database) -> None:
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[tuple[str | None, str | None]] = context.Queue()
    url = empty.url.render_as_string(hide_password=False)
    started = [context.Process(target=_start, args=(url, found)) for _ in range(4)]
    for process in started:
        process.start()
    moves = [found.get(timeout=60) for _ in started]
    for process in started:
        process.join(30)
    head = scripts().get_current_head()
    assert sorted(moves, key=str) == sorted([(None, head), *[(head, head)] * 3], key=str)


def _connect(url: str, ready: Barrier, failed: multiprocessing.Queue[str]) -> None:
    database = Database(url)
    ready.wait(60)
    try:
        with database.engine.connect():
            failed.put("")
    except sa.exc.DBAPIError as error:
        failed.put(str(error))
    database.close()


@pytest.mark.slow
def test_those_that_open_a_new_file_at_the_same_moment_wait_for_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    failed: multiprocessing.Queue[str] = context.Queue()
    ready = [context.Barrier(4) for _ in range(20)]
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(20)]
    started = [context.Process(target=_connect_all, args=(urls, ready, failed)) for _ in range(4)]
    for process in started:
        process.start()
    said = [failed.get(timeout=120) for _ in range(4 * 20)]
    for process in started:
        process.join(60)
    assert set(said) == {""}


def _connect_all(urls: list[str], ready: list[Barrier], failed: multiprocessing.Queue[str]) -> None:
    for url, together in zip(urls, ready, strict=True):
        _connect(url, together, failed)


def test_an_old_schema_is_refused_where_migrating_is_off(empty: Database) -> None:
    with pytest.raises(SettingsError, match="pynomaly accounts migrate"):
        require_current(empty)
    migrate(empty)
    require_current(empty)


def test_a_newer_schema_is_refused(empty: Database) -> None:
    migrate(empty)
    with empty.writing() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999_later'"))
    with pytest.raises(SettingsError, match="9999_later"):
        migrate(empty)


def test_a_failed_step_leaves_nothing_behind(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from pynomaly_pipelines.service.accounts.migrations import epoch

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(epoch, "create_counter", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        migrate(empty)
    assert _tables(empty) == set()


def test_the_file_is_its_owners(empty: Database) -> None:
    if not empty.is_sqlite:
        pytest.skip("a file is SQLite's")
    migrate(empty)
    assert stat.S_IMODE(empty.file.stat().st_mode) == 0o600
    with empty.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


@pytest.mark.parametrize("url", ["mysql://localhost/a", "sqlite://", "nonsense"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="are supported"):
        parsed(url)
