"""A token for OpenBao or Vault, from a file, a variable or an AppRole login: kept alive, taken anew when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pynomaly_pipelines.operations.errors import SecretDenied, SecretError, SecretsUnreachable
from pynomaly_pipelines.operations.redaction import remember
from pynomaly_pipelines.operations.secrets.setting import VaultSetting
from pynomaly_pipelines.operations.settings import environment_value

if TYPE_CHECKING:
    import hvac

TOKEN_VARIABLES = ("BAO_TOKEN", "VAULT_TOKEN")
_RENEW_AT = 2 / 3
"""Part of a token's or lease's life after which it is renewed."""
_LEAST_LEFT = 1 / 3
_SOONEST_SECONDS = 0.2


class Login:
    """One client with a token that works, for all threads of the process."""

    def __init__(self, setting: VaultSetting) -> None:
        self._setting = setting
        self._client = _client(setting)
        self._lock = threading.Lock()
        self._since = 0.0
        self._lives: float | None = None
        self._full = 0.0
        self._renewable = False
        self._unwrapping = ("", "")
        self.number = 0
        """Counts the logins: what was taken with an earlier one ends with it."""

    def call(self, what: str, ask: Callable[[hvac.Client], Any]) -> Any:
        """The answer to a question, with a login before it where there is none, or none that still holds.

        Raises:
            SecretDenied: the server refuses, and not because of the token's age.
            SecretsUnreachable: no answer, or sealed.
        """
        import hvac.exceptions

        with answered(self._setting, what):
            used = self._token()
            try:
                return ask(self._client)
            except hvac.exceptions.Forbidden:
                # Either the policy says no, or the token has ended: only a login can tell.
                if self._works():
                    raise
            self._again(used)
            return ask(self._client)

    def upkeep(self) -> float | None:
        """Renew the token if it is time; says in how many seconds it will be."""
        if self._lives is None:
            return None
        due = self._since + self._lives * _RENEW_AT - time.monotonic()
        if due > 0:
            return due
        with answered(self._setting, "renew the token"):
            self._renew()
        return max(_SOONEST_SECONDS, (self._lives or 0.0) * _RENEW_AT)

    def close(self) -> None:
        """Revoke a token this process has logged in for, and with it the leases taken with it."""
        if self._setting.role_id_file and self._client.token:
            with answered(self._setting, "revoke the token"):
                self._client.auth.token.revoke_self()
        self._client.token = None
        self._client.adapter.close()

    def _token(self) -> str:
        with self._lock:
            if not self._client.token:
                self._log_in()
            return str(self._client.token)

    def _again(self, used: str) -> None:
        """A new login, unless another thread has made one since `used` failed."""
        with self._lock:
            if self._client.token == used:
                self._log_in()

    def _works(self) -> bool:
        import hvac.exceptions

        try:
            self._client.auth.token.lookup_self()
        except hvac.exceptions.Forbidden:
            return False
        return True

    def _log_in(self) -> None:
        """A token that works; one that was there stays until then."""
        if self._setting.role_id_file:
            self._use(self._approle())
        else:
            given = self._given()
            trial = _client(self._setting)
            trial.token = given
            self._use(trial.auth.token.lookup_self())
            self._client.token = given
        self._full = self._lives or 0.0
        self.number += 1

    def _use(self, answer: dict[str, Any]) -> None:
        """Remember the token and how long it lives, from a login's or a lookup's answer."""
        told = answer["auth"] or answer["data"]
        if answer["auth"]:
            self._client.token = told["client_token"]
            remember(self._client.token)
        seconds = float(told.get("lease_duration", told.get("ttl", 0)) or 0)
        self._since, self._lives = time.monotonic(), seconds or None
        self._renewable = bool(told.get("renewable", False))

    def _renew(self) -> None:
        """Longer life for the token; a new login where that is refused or gives little."""
        import hvac.exceptions

        try:
            if self._renewable:
                self._use(self._client.auth.token.renew_self())
        except (hvac.exceptions.Forbidden, hvac.exceptions.InvalidRequest):
            self._renewable = False
        # The longest life is near when a renewal gives far less than the login did.
        if not self._renewable or (self._lives or 0.0) < self._full * _LEAST_LEFT:
            with self._lock:
                self._log_in()

    def _approle(self) -> dict[str, Any]:
        import hvac.exceptions

        setting = self._setting
        role, secret = _content(setting.role_id_file, "role ID"), _content(setting.secret_id_file, "secret ID")
        remember(secret)
        # A client of its own: a token that has ended would be sent along and refused.
        client = _client(setting)
        try:
            secret = self._unwrapped(client, secret) if setting.wrapped else secret
            answer: dict[str, Any] = client.auth.approle.login(role, secret, mount_point=setting.approle)
        except (hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden) as error:
            raise SecretDenied(
                f"{setting.address} refuses the AppRole login: {_words(error)}",
                rule="a secret ID or wrapping token works until it has been used as often, or is as old, as allowed",
                fix=f"put a new secret ID into {setting.secret_id_file}; it is read at each login",
            ) from None
        return answer

    def _unwrapped(self, client: hvac.Client, wrapping: str) -> str:
        """The secret ID behind a wrapping token, which gives it once; later logins use it again."""
        if self._unwrapping[0] != wrapping:
            client.token = wrapping
            secret = str(client.sys.unwrap()["data"]["secret_id"])
            client.token = None
            remember(secret)
            self._unwrapping = (wrapping, secret)
        return self._unwrapping[1]

    def _given(self) -> str:
        """The token of the file, else of the environment."""
        if self._setting.token_file:
            token = _content(self._setting.token_file, "token")
        else:
            token = next(filter(None, map(environment_value, TOKEN_VARIABLES)), "")
        if not token:
            raise SecretDenied(
                f"there is no token for {self._setting.address}",
                rule="it comes from token_file, from an AppRole login, or from BAO_TOKEN or VAULT_TOKEN",
                fix="add role_id_file and secret_id_file, or token_file, to PYNOMALY_SECRETS",
            )
        remember(token)
        return token


@contextmanager
def answered(setting: VaultSetting, what: str) -> Iterator[None]:
    """Turn what the client raises into the product's errors; a missing entry (404) passes.

    Raises:
        SecretDenied: the server says no.
        SecretsUnreachable: it says nothing, or can't say now.
    """
    import hvac.exceptions
    import requests

    try:
        yield
    except hvac.exceptions.InvalidPath:
        raise
    except hvac.exceptions.VaultDown:
        raise SecretsUnreachable(
            f"{setting.address} is sealed or not ready, and can't {what}",
            rule="a sealed server answers nothing",
            fix="unseal it; what was read before stays in use for stale_seconds",
        ) from None
    except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized, hvac.exceptions.InvalidRequest) as error:
        raise SecretDenied(
            f"{setting.address} refuses to {what}: {_words(error)}",
            rule="the token's policies allow it",
            fix="extend its policy, or give another token or AppRole",
        ) from None
    except (hvac.exceptions.VaultError, requests.RequestException) as error:
        raise SecretsUnreachable(
            f"{setting.address} can't {what}: {_words(error)}",
            rule=f"it must answer within {setting.freshness.timeout_seconds:g} s",
            fix="look whether it is up and reachable from here; what was read before stays in use for stale_seconds",
        ) from None


def _client(setting: VaultSetting) -> hvac.Client:
    try:
        import hvac
    except ImportError as error:
        raise SecretError(
            "secrets come from OpenBao or Vault, and hvac is not installed",
            rule="reading them is an extra of the package",
            fix="pip install 'pynomaly-pipelines[vault]'",
        ) from error
    return hvac.Client(
        url=setting.address,
        namespace=setting.namespace or None,
        timeout=setting.freshness.timeout_seconds,
        verify=setting.ca_file or True,
        # Without this the client looks for a token in files and variables of its own.
        token="",  # nosec B106
    )


def _content(file: str, what: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SecretDenied(
            f"the {what} can't be read from {file}: {error.strerror}",
            rule="PYNOMALY_SECRETS names the file",
            fix="mount it, or correct the path",
        ) from None


def _words(error: Exception) -> str:
    """The first line of what a server or client says, without its object addresses."""
    text = " ".join(str(error).split())
    return (text.split(", on ")[0] if text else type(error).__name__)[:200]
