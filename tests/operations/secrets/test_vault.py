"""A real OpenBao: logins that are used once, rotation seen while running, a server that hangs, is sealed or says no."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pynomaly_pipelines.operations.errors import SecretDenied, SecretError, SecretMissing, SecretsUnreachable
from pynomaly_pipelines.operations.secrets import SecretName, SecretStore, secret_store
from tests.operations.secrets.waiting import until
from tests.servers import OpenBao

pytestmark = pytest.mark.slow
QUICK = "refresh_seconds=0.1&timeout_seconds=0.5"
READER = """
path "secret/data/{folder}/*" {{ capabilities = ["read"] }}
path "database/creds/{folder}" {{ capabilities = ["read"] }}
path "sys/leases/renew" {{ capabilities = ["update"] }}
path "sys/leases/revoke" {{ capabilities = ["update"] }}
"""


@dataclass
class Room:
    """A folder of secrets of one test, with a policy that reads it."""

    bao: OpenBao
    client: Any
    name: str
    files: Path
    stores: list[SecretStore]

    def put(self, name: str, **fields: str) -> None:
        self.client.secrets.kv.v2.create_or_update_secret(f"{self.name}/{name}", secret=fields)

    def token(self, **options: Any) -> str:
        made = self.client.auth.token.create(policies=[self.name], **options)
        (self.files / "token").write_text(made["auth"]["client_token"])
        return str(made["auth"]["client_token"])

    def approle(self, wrap: str | None = None, **options: Any) -> None:
        """Role and secret ID in two files."""
        self.client.auth.approle.create_or_update_approle(self.name, token_policies=[self.name], **options)
        role = self.client.auth.approle.read_role_id(self.name)["data"]["role_id"]
        (self.files / "role-id").write_text(role)
        self.secret_id(wrap)

    def secret_id(self, wrap: str | None = None) -> None:
        made = self.client.auth.approle.generate_secret_id(self.name, wrap_ttl=wrap)
        text = made["wrap_info"]["token"] if wrap else made["data"]["secret_id"]
        (self.files / "secret-id").write_text(text + "\n")

    def store(self, login: str = "token", more: str = QUICK) -> SecretStore:
        files = {
            "token": f"token_file={self.files}/token",
            "approle": f"role_id_file={self.files}/role-id&secret_id_file={self.files}/secret-id",
        }
        made = secret_store(f"vault:{self.bao.address}/secret/{self.name}?{files[login]}&{more}")
        self.stores.append(made)
        return made


@pytest.fixture
def room(openbao: OpenBao, tmp_path: Path) -> Iterator[Room]:
    made = Room(openbao, openbao.root(), f"r{secrets.token_hex(4)}", tmp_path, [])
    made.client.sys.create_or_update_policy(made.name, READER.format(folder=made.name))
    if "approle/" not in made.client.sys.list_auth_methods()["data"]:
        made.client.sys.enable_auth_method("approle")
    yield made
    for store in made.stores:
        store.close()


def refused(ask: Callable[[], object], kind: type[SecretError]) -> SecretError:
    with pytest.raises(kind) as caught:
        ask()
    assert caught.value.fix
    return caught.value


# ------------------------------------------------------------------------------------------------------- reading


def test_an_entry_its_version_and_nothing_of_its_value(room: Room) -> None:
    room.put("smtp-url", value="smtps://mail:465")
    room.token()
    found = room.store().get("smtp-url")
    assert (found.reveal(), found.version, found.expires) == ("smtps://mail:465", "1", None)
    status = room.store().status(SecretName.of("smtp-url"))
    assert (status.place, status.version, status.error) == (f"secret/{room.name}/smtp-url", "1", "")


def test_fields_of_an_entry(room: Room) -> None:
    room.token()
    store = room.store()
    room.put("one", anything="only field")
    assert store.get("one").reveal() == "only field"
    fields = {"engine": "redis", "host": "cache", "port": "6379", "username": "app"}
    room.put("redis-url", **fields, password="s/t")  # pragma: allowlist secret
    assert store.get("redis-url").reveal() == "rediss://app:s%2Ft@cache:6379/"  # pragma: allowlist secret
    room.put("smtp-key", a="1", b="2")
    assert "the fields a, b" in str(refused(lambda: store.get("smtp-key"), SecretMissing))


def test_what_is_missing_and_what_is_denied(room: Room) -> None:
    room.token()
    missing = refused(lambda: room.store().get("no-such"), SecretMissing)
    assert f"there is no entry secret/{room.name}/no-such" in str(missing)
    elsewhere = f"vault:{room.bao.address}/secret/elsewhere?token_file={room.files}/token&{QUICK}"
    error = refused(lambda: secret_store(elsewhere).get("smtp-url"), SecretDenied)
    assert "permission denied" in str(error)
    assert not error.retryable


def test_a_token_that_is_missing_or_wrong(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(lambda: room.store().get("smtp-url"), SecretDenied)
    (room.files / "token").write_text("hvs.invented")
    error = refused(lambda: room.store().get("smtp-url"), SecretDenied)
    assert "hvs.invented" not in str(error)
    setting = f"vault:{room.bao.address}/secret/{room.name}"
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    monkeypatch.delenv("BAO_TOKEN", raising=False)
    assert "there is no token" in str(refused(lambda: secret_store(setting).get("smtp-url"), SecretDenied))
    room.put("smtp-url", value="from a variable's token")
    monkeypatch.setenv("BAO_TOKEN", room.token())
    with secret_store(setting) as store:
        assert store.get("smtp-url").reveal() == "from a variable's token"


# ------------------------------------------------------------------------------------------------------ rotation


def test_a_new_version_is_seen_while_running(room: Room) -> None:
    room.put("signing-keys", value="first key")
    room.token()
    store, told = room.store(), []
    first = store.get("signing-keys")
    store.on_change("signing-keys", lambda secret: told.append((secret.version, secret.reveal())))
    room.put("signing-keys", value="second key")
    until(lambda: store.get("signing-keys").version == "2")
    assert store.get("signing-keys").reveal() == "second key"
    assert first.reveal() == "first key"
    until(lambda: bool(told))
    room.put("signing-keys", value="second key")  # A new version of the same value is no change.
    until(lambda: store.get("signing-keys").version == "3")
    assert told == [("2", "second key")]


def test_the_version_before_is_at_hand(room: Room) -> None:
    room.put("database-url", value="old")
    room.put("database-url", value="new")
    room.token()
    store, name = room.store(), SecretName.of("database-url")
    assert [(one.reveal(), one.version) for one in store.others(name, store.get("database-url"))] == [("old", "1")]


def test_a_listener_that_fails_keeps_nobody_from_hearing(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.put("api-key", value="one-value")
    room.token()
    store, told = room.store(), threading.Event()
    store.get("api-key")

    def fails(_secret: object) -> None:
        raise ZeroDivisionError("in a listener")

    store.on_change("api-key", fails)
    stop = store.on_change("api-key", lambda _secret: told.set())
    room.put("api-key", value="two-value")
    assert told.wait(20)
    assert "a listener of api-key failed" in caplog.text
    stop()
    told.clear()
    room.put("api-key", value="three-value")
    until(lambda: store.get("api-key").reveal() == "three-value")
    assert not told.is_set()


# -------------------------------------------------------------------------------------------------------- logins


def test_a_secret_id_that_works_once(room: Room) -> None:
    room.put("smtp-url", value="by approle")
    room.approle(secret_id_num_uses=1, token_ttl="1h")
    store = room.store("approle")
    assert store.get("smtp-url").reveal() == "by approle"
    # The same secret ID again, in a second process: used up, and said so; the first store goes on.
    error = refused(lambda: room.store("approle").get("smtp-url"), SecretDenied)
    assert "refuses the AppRole login" in str(error)
    assert (room.files / "secret-id").read_text().strip() not in str(error)
    room.put("smtp-url", value="still logged in")
    until(lambda: store.get("smtp-url").reveal() == "still logged in")


def test_a_wrapped_secret_id(room: Room) -> None:
    room.put("smtp-url", value="unwrapped")
    room.approle(wrap="60s", token_ttl="1s", token_max_ttl="1s")
    store = room.store("approle", f"wrapped=yes&{QUICK}")
    assert store.get("smtp-url").reveal() == "unwrapped"
    refused(lambda: room.store("approle", f"wrapped=yes&{QUICK}").get("smtp-url"), SecretDenied)
    time.sleep(1.5)  # The token has ended; the secret ID is known, and the wrapping token was used only once.
    room.put("smtp-url", value="logged in again")
    until(lambda: store.get("smtp-url").reveal() == "logged in again")


def test_a_short_token_is_renewed_again_and_again(room: Room) -> None:
    room.put("smtp-url", value="v1")
    room.approle(secret_id_num_uses=1, token_ttl="1s", token_max_ttl="1h")
    store = room.store("approle")
    store.get("smtp-url")
    time.sleep(2.5)  # Two lives of the token; the secret ID can't be used again.
    room.put("smtp-url", value="v2")
    until(lambda: store.get("smtp-url").reveal() == "v2")


def test_a_token_past_its_longest_life_is_followed_by_a_login(room: Room) -> None:
    room.put("smtp-url", value="v1")
    room.approle(token_ttl="1s", token_max_ttl="1s")
    store = room.store("approle")
    store.get("smtp-url")
    time.sleep(2.5)
    room.put("smtp-url", value="v2")
    until(lambda: store.get("smtp-url").reveal() == "v2")
    assert store.problems() == {}


def test_a_token_revoked_under_way(room: Room) -> None:
    room.put("smtp-url", value="v1")
    token = room.token()
    store = room.store()
    store.get("smtp-url")
    room.client.auth.token.revoke(token)
    until(lambda: isinstance(store.problems().get("smtp-url"), SecretDenied))
    assert store.get("smtp-url").reveal() == "v1"
    room.put("smtp-url", value="v2")
    room.token()  # An agent writes a new one into the same file.
    until(lambda: store.get("smtp-url").reveal() == "v2")


def test_closing_gives_the_login_back(room: Room) -> None:
    room.put("smtp-url", value="v1")
    room.approle(token_ttl="1h")
    store = room.store("approle")
    store.get("smtp-url")
    accessors = room.client.list("auth/token/accessors")["data"]["keys"]
    store.close()
    assert len(room.client.list("auth/token/accessors")["data"]["keys"]) == len(accessors) - 1


# -------------------------------------------------------------------------------------------------------- faults


def test_a_server_that_hangs_holds_nobody_up(room: Room) -> None:
    room.put("smtp-url", value="v1")
    room.token()
    store = room.store()
    store.get("smtp-url")
    with room.bao.hung():
        until(lambda: isinstance(store.problems().get("smtp-url"), SecretsUnreachable))
        waits = []
        for _ in range(200):
            started = time.perf_counter()
            assert store.get("smtp-url").reveal() == "v1"
            waits.append(time.perf_counter() - started)
        # The median: this machine may be busy, the server's half second would show in each.
        assert sorted(waits)[100] < 0.05
        # Without a known version the wait is bounded, once; then the failure answers for a while.
        unknown = room.store()
        error = refused(lambda: unknown.get("smtp-url"), SecretsUnreachable)
        assert error.retryable
        assert "must answer within 0.5 s" in error.rule
        asked = unknown._entry(SecretName.of("smtp-url")).tried
        refused(lambda: unknown.get("smtp-url"), SecretsUnreachable)
        assert unknown._entry(SecretName.of("smtp-url")).tried == asked
    room.put("smtp-url", value="v2")
    until(lambda: store.get("smtp-url").reveal() == "v2")
    assert store.problems() == {}


def test_the_last_version_is_used_no_longer_than_the_setting_says(room: Room) -> None:
    room.put("smtp-url", value="v1")
    room.token()
    store = room.store(more=f"{QUICK}&stale_seconds=1")
    store.get("smtp-url")
    with room.bao.hung():
        time.sleep(1.5)
        refused(lambda: store.get("smtp-url"), SecretsUnreachable)
    until(lambda: not store.problems())
    assert store.get("smtp-url").reveal() == "v1"


def test_a_sealed_server(room: Room) -> None:
    room.put("smtp-url", value="v1")
    room.token()
    store = room.store()
    store.get("smtp-url")
    with room.bao.sealed():
        until(lambda: "smtp-url" in store.problems())
        assert "is sealed" in str(store.problems()["smtp-url"])
        assert store.get("smtp-url").reveal() == "v1"
        refused(lambda: room.store().get("smtp-url"), SecretsUnreachable)
    until(lambda: not store.problems())


def test_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hvs.some-token")
    with secret_store(f"vault:http://127.0.0.1:9/secret/x?token_file={tmp_path}/token&{QUICK}") as store:
        error = refused(lambda: store.get("smtp-url"), SecretsUnreachable)
    assert "http://127.0.0.1:9 can't read secret/x/smtp-url" in str(error)
    assert "hvs.some-token" not in str(error)
