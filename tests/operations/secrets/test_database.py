"""A real Postgres whose users a real OpenBao makes and ends, while a load of queries goes on: none fails.

The role is made as the page on secrets says: each user becomes one owner role at login, so that a connection that is at
work when its user is dropped can finish.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pynomaly_pipelines.operations.errors import PynomalyError, SettingsError
from pynomaly_pipelines.operations.secrets import Secret, SecretName, SecretStore, secret_store
from pynomaly_pipelines.operations.secrets.database import engine_for, follow, url_of
from tests.operations.secrets.waiting import until
from tests.servers import OpenBao, Postgres

pytestmark = pytest.mark.slow

USERS = [
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE accounts_owner",
    'ALTER ROLE "{{name}}" SET ROLE accounts_owner',
]
POLICY = """
path "secret/data/accounts/*" { capabilities = ["read"] }
path "database/creds/accounts" { capabilities = ["read"] }
"""


@dataclass
class Accounts:
    """A database of accounts, and an OpenBao that makes its users."""

    bao: OpenBao
    client: Any
    url: str
    admin: sa.Engine
    files: Path
    stores: list[SecretStore] = field(default_factory=list)

    def role(self, ttl: str, max_ttl: str) -> None:
        self.client.secrets.database.create_role(
            "accounts", db_name="accounts", creation_statements=USERS, default_ttl=ttl, max_ttl=max_ttl
        )

    def store(self, more: str = "") -> SecretStore:
        login = f"role_id_file={self.files}/role-id&secret_id_file={self.files}/secret-id"
        made = secret_store(
            f"vault:{self.bao.address}/secret/accounts?database-url=database/creds/accounts&{login}"
            f"&refresh_seconds=0.2{more}"
        )
        self.stores.append(made)
        return made

    def users(self) -> set[str]:
        with self.admin.connect() as connection:
            return set(connection.scalars(sa.text("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")))


@pytest.fixture(scope="module")
def prepared(openbao: OpenBao, postgres: Postgres) -> Iterator[tuple[Any, str, sa.Engine]]:
    url = postgres.create("accounts")
    client = openbao.root()
    client.sys.enable_secrets_engine("database")
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE ROLE accounts_owner NOLOGIN"))
        connection.execute(sa.text("CREATE TABLE events (id serial PRIMARY KEY, worker int)"))
        connection.execute(sa.text("ALTER TABLE events OWNER TO accounts_owner"))
    client.secrets.database.configure(
        "accounts", plugin_name="postgresql-database-plugin", allowed_roles=["accounts"], username="postgres",
        password=postgres.password,
        connection_url=f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{postgres.port}/accounts",
    )  # fmt: skip
    plain = f"postgresql+psycopg://127.0.0.1:{postgres.port}/accounts"
    client.secrets.kv.v2.create_or_update_secret("accounts/database-url", secret={"value": plain})
    client.sys.create_or_update_policy("accounts", POLICY)
    if "approle/" not in client.sys.list_auth_methods()["data"]:
        client.sys.enable_auth_method("approle")
    yield client, url, admin
    client.sys.disable_secrets_engine("database")
    admin.dispose()


@pytest.fixture
def accounts(openbao: OpenBao, prepared: tuple[Any, str, sa.Engine], tmp_path: Path) -> Iterator[Accounts]:
    client, url, admin = prepared
    made = Accounts(openbao, client, url, admin, tmp_path)
    approle(made)
    yield made
    for store in made.stores:
        store.close()


def approle(accounts: Accounts, **options: Any) -> None:
    client = accounts.client
    lives = {"token_ttl": "1h", "token_max_ttl": "2h", **options}
    client.auth.approle.create_or_update_approle("accounts", token_policies=["accounts"], **lives)
    (accounts.files / "role-id").write_text(client.auth.approle.read_role_id("accounts")["data"]["role_id"])
    made = client.auth.approle.generate_secret_id("accounts")
    (accounts.files / "secret-id").write_text(made["data"]["secret_id"])


class Load:
    """Threads that write and read without pause; each transaction takes some time, so that some are always open."""

    def __init__(self, engine: sa.Engine, workers: int = 4) -> None:
        self._engine = engine
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(workers)]
        self.done: list[str] = []
        self.failed: list[Exception] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def users(self) -> set[str]:
        """Who the transactions were made as."""
        return set(self.done)

    def _work(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                with self._engine.begin() as connection:
                    connection.execute(sa.text("INSERT INTO events (worker) VALUES (:worker)"), {"worker": number})
                    time.sleep(0.01)
                    connection.execute(
                        sa.text("SELECT count(*) FROM events WHERE worker = :worker"), {"worker": number}
                    )
                    login = connection.scalar(
                        sa.text("SELECT usename FROM pg_stat_activity WHERE pid=pg_backend_pid()")
                    )
                self.done.append(str(login))
            except (sa.exc.SQLAlchemyError, PynomalyError) as error:
                self.failed.append(error)

    def goes_on(self) -> None:
        """Wait until every worker has done some more."""
        until_more(self, 20)


def until_more(load: Load, more: int) -> None:
    before = len(load.done)
    until(lambda: len(load.done) >= before + more or bool(load.failed))


# ------------------------------------------------------------------------------------------------- dynamic users


def test_credentials_rotate_under_load_without_one_failure(accounts: Accounts) -> None:
    accounts.role("1s", "2s")
    store = accounts.store()
    engine = engine_for(store, "database-url", pool_size=4)
    assert "***" not in str(engine.url)
    assert engine.url.username is None
    with Load(engine) as load:
        until(lambda: len(load.users) >= 3 or bool(load.failed), 60)
    engine.dispose()
    assert load.failed == []
    assert len(load.users) >= 3


def test_a_lease_is_renewed_as_long_as_that_goes(accounts: Accounts) -> None:
    accounts.role("1s", "1h")
    store = accounts.store()
    first = store.get("database-url")
    assert first.expires is not None
    time.sleep(2.5)
    later = store.get("database-url")
    assert later.reveal() == first.reveal()
    assert later.expires is not None
    assert later.expires > first.expires
    with engine_for(store, "database-url", poolclass=sa.NullPool).connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_a_lease_revoked_under_load_without_one_failure(accounts: Accounts) -> None:
    accounts.role("1h", "2h")
    engine = engine_for(accounts.store(), "database-url", pool_size=4)
    with Load(engine) as load:
        load.goes_on()
        before = load.users
        for _ in range(3):
            accounts.client.sys.revoke_prefix("database/creds/accounts")
            assert not accounts.users() & before
            load.goes_on()
    engine.dispose()
    assert load.failed == []
    assert len(load.users) >= 2


def test_a_lease_ends_with_the_login_it_was_taken_with(accounts: Accounts) -> None:
    approle(accounts, token_ttl="2s", token_max_ttl="2s")
    accounts.role("1h", "2h")
    engine = engine_for(accounts.store(), "database-url", pool_size=4)
    with Load(engine) as load:
        until(lambda: len(load.users) >= 3 or bool(load.failed), 60)
    engine.dispose()
    assert load.failed == []


def test_a_server_that_hangs_while_the_load_goes_on(accounts: Accounts) -> None:
    accounts.role("1h", "2h")
    store = accounts.store("&timeout_seconds=0.5")
    engine = engine_for(store, "database-url", pool_size=4)
    with Load(engine) as load:
        load.goes_on()
        with accounts.bao.hung():
            time.sleep(1.0)
            load.goes_on()
            with engine_for(store, "database-url", poolclass=sa.NullPool).connect() as new:
                assert new.scalar(sa.text("SELECT current_user")) == "accounts_owner"
    engine.dispose()
    assert load.failed == []


def test_closing_leaves_no_user_behind(accounts: Accounts) -> None:
    accounts.role("1h", "2h")
    before = accounts.users()
    store = accounts.store()
    store.get("database-url")
    made = accounts.users() - before
    assert len(made) == 1
    store.close()
    until(lambda: not accounts.users() & made)


# --------------------------------------------------------------------------------------------- passwords that change


@dataclass
class Person:
    """A user of Postgres with a password in a file."""

    admin: sa.Engine
    name: str
    file: Path
    plain: str

    def database_takes(self, password: str) -> None:
        with self.admin.connect() as connection:
            connection.execute(sa.text(f"ALTER ROLE \"{self.name}\" PASSWORD '{password}'"))

    def file_says(self, password: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(self.plain.replace("://", f"://{self.name}:{password}@"))
        new.replace(self.file)


@pytest.fixture
def person(postgres: Postgres, tmp_path: Path) -> Iterator[Person]:
    admin = sa.create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    name = f"p{secrets.token_hex(4)}"
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE ROLE {name} LOGIN PASSWORD 'first-pw'"))
    made = Person(admin, name, tmp_path / "database-url", f"postgresql+psycopg://127.0.0.1:{postgres.port}/postgres")
    made.file_says("first-pw")
    yield made
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP ROLE {name}"))
    admin.dispose()


def test_a_password_changed_in_both_places_under_way(person: Person) -> None:
    with secret_store(f"files:{person.file.parent}?refresh_seconds=3600") as store:
        engine = engine_for(store, "database-url")
        with engine.connect() as at_work:
            person.database_takes("second-pw")
            person.file_says("second-pw")
            with engine.connect() as other:  # Refused with the one known, so that the file is read again.
                assert other.scalar(sa.text("SELECT 1")) == 1
            assert at_work.scalar(sa.text("SELECT 1")) == 1
        assert store.get("database-url").reveal().count("second-pw") == 1
        engine.dispose()


def test_idle_connections_of_the_old_password_go(person: Person) -> None:
    with secret_store(f"files:{person.file.parent}?refresh_seconds=0.1") as store:
        engine = engine_for(store, "database-url", pool_size=3)
        with engine.connect() as connection:
            before = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        person.database_takes("second-pw")
        person.file_says("second-pw")
        with person.admin.connect() as admin:  # Nobody asks for a connection, and the old one goes.
            alive = sa.text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
            until(lambda: admin.scalar(alive, {"pid": before}) == 0)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT pg_backend_pid()")) != before
        engine.dispose()


def test_a_wrong_password_is_said_without_it(person: Person) -> None:
    person.file_says("never-was-right")
    with secret_store(f"files:{person.file.parent}") as store:
        engine = engine_for(store, "database-url")
        with pytest.raises(sa.exc.OperationalError, match="password authentication failed") as caught:
            engine.connect()
    assert "never-was-right" not in f"{caught.value} {engine.url!r} {engine!r}"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql+psycopg://app:hush@hush2@db/x", "has more than one @"),  # pragma: allowlist secret
        ("no url, hushhush", "is no SQLAlchemy URL"),
        ("postgresql://a:hushhush@db:port/x", "is no SQLAlchemy URL"),  # pragma: allowlist secret
    ],
)
def test_what_is_no_url_is_said_without_it(url: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem) as caught:
        url_of(SecretName.of("database-url"), Secret("database-url", url, "1"))
    import traceback

    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_a_url_of_another_kind_of_database_needs_a_restart(tmp_path: Path) -> None:
    (tmp_path / "database-url").write_text("sqlite://")
    with secret_store(f"files:{tmp_path}?refresh_seconds=0.05") as store:
        engine = engine_for(store, "database-url", poolclass=sa.NullPool)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
        (tmp_path / "database-url").write_text("postgresql+psycopg://db/x")
        until(lambda: store.get("database-url").reveal().startswith("postgresql"))
        with pytest.raises(SettingsError, match="has become a URL of postgresql"):
            engine.connect()


def test_engines_of_asyncio_follow_as_well(person: Person) -> None:
    import asyncio

    from sqlalchemy.ext.asyncio import create_async_engine

    async def asked(store: SecretStore) -> list[object]:
        engine = create_async_engine(person.plain)
        follow(engine.sync_engine, store, SecretName.of("database-url"))
        found = []
        for password in ("first-pw", "second-pw"):
            person.database_takes(password)
            person.file_says(password)
            await engine.dispose()
            async with engine.connect() as connection:
                found.append(await connection.scalar(sa.text("SELECT current_user")))
        await engine.dispose()
        return found

    with secret_store(f"files:{person.file.parent}?refresh_seconds=3600") as store:
        assert asyncio.run(asked(store)) == [person.name, person.name]
