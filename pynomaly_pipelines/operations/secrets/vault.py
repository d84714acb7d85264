"""OpenBao or HashiCorp Vault as a store: key-value entries with versions, and database credentials made on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pynomaly_pipelines.operations.errors import SecretDenied, SecretMissing
from pynomaly_pipelines.operations.secrets.composition import composed, from_parts, with_user
from pynomaly_pipelines.operations.secrets.provider import Fetched, Lease
from pynomaly_pipelines.operations.secrets.secret import Secret, SecretName
from pynomaly_pipelines.operations.secrets.setting import VaultSetting
from pynomaly_pipelines.operations.secrets.vault_login import Login

if TYPE_CHECKING:
    import hvac

_LEAST_LEFT = 1 / 3
"""Part of a lease's first length below which a new user is made: work under way needs what is left of the old one."""
_VALUE = "value"


class Vault:
    """Reads key-value entries (version 2), and keeps leases of database credentials."""

    def __init__(self, setting: VaultSetting) -> None:
        self._setting = setting
        self._roles: Mapping[str, str] = dict(setting.database_roles)
        self._login = Login(setting)
        self._leases: dict[str, str] = {}
        self.origin = f"{setting.address} {setting.mount}/{setting.path}"

    def place(self, name: SecretName) -> str:
        """The entry, and the role that user and password come from."""
        role = f" + {self._roles[name.name]}" if name.name in self._roles else ""
        return f"{self._setting.mount}/{self._path(name)}{role}"

    def fetch(self, name: SecretName) -> Fetched:
        """The entry's current version; with a database role, its URL with a user made for this process.

        Raises:
            SecretMissing: there is no such entry or role.
            SecretDenied, SecretsUnreachable: as the server answers.
        """
        value, version = self._entry(name)
        if name.name in self._roles:
            return self._credentials(name, value, version)
        return Fetched(Secret(name.name, value, version))

    def renew(self, name: SecretName, held: Fetched) -> Fetched:
        """The same user for longer; a new one when the lease is gone or its longest life is near."""
        if held.lease is None or self.ends_early(held):
            return self.fetch(name)
        url, version = self._entry(name)
        same_place = version == held.lease.completes
        return (self._longer(held, held.lease) if same_place else None) or self._credentials(name, url, version)

    def ends_early(self, held: Fetched) -> bool:
        """Whether it was taken with an earlier login, whose end it shares."""
        return held.lease is not None and held.lease.login != self._login.number

    def others(self, name: SecretName, held: Secret) -> Sequence[Secret]:
        """The entry's version before the current one."""
        if name.name in self._roles or not held.version.isdigit() or int(held.version) < 2:
            return ()
        try:
            value, version = self._entry(name, int(held.version) - 1)
        except SecretMissing:
            return ()
        return (Secret(name.name, value, version),)

    def upkeep(self) -> float | None:
        """Renew the token when it is time."""
        return self._login.upkeep()

    def close(self) -> None:
        """Revoke the leases, and the token if this process logged in for it."""
        for lease in self._leases.values():
            try:
                self._login.call("revoke a lease", _revoking(lease))
            except SecretDenied:
                # A policy need not allow it: revoking the token, or time, ends the lease as well.
                break
        self._leases.clear()
        self._login.close()

    def _path(self, name: SecretName) -> str:
        return f"{self._setting.path}/{name.name}"

    def _entry(self, name: SecretName, version: int | None = None) -> tuple[str, str]:
        import hvac.exceptions

        place = f"{self._setting.mount}/{self._path(name)}"
        try:
            answer = self._login.call(
                f"read {place}",
                lambda client: client.secrets.kv.v2.read_secret_version(
                    self._path(name), version=version, mount_point=self._setting.mount, raise_on_deleted_version=True
                ),
            )
        except hvac.exceptions.InvalidPath:
            raise SecretMissing(
                f"there is no entry {place} at {self._setting.address}",
                rule=f"it holds {name.name}; the mount is a key-value store of version 2",
                fix=f"bao kv put -mount={self._setting.mount} {self._path(name)} {_VALUE}=…",
            ) from None
        return _value(name, place, answer["data"]["data"]), str(answer["data"]["metadata"]["version"])

    def _credentials(self, name: SecretName, url: str, version: str) -> Fetched:
        import hvac.exceptions

        mount, _, role = self._roles[name.name].rpartition("/creds/")
        try:
            answer = self._login.call(
                f"make credentials of {mount}/creds/{role}",
                lambda client: client.secrets.database.generate_credentials(role, mount_point=mount),
            )
        except hvac.exceptions.InvalidPath:
            raise SecretMissing(
                f"there is no database role {mount}/creds/{role} at {self._setting.address}",
                rule=f"PYNOMALY_SECRETS names it for {name.name}",
                fix=f"bao write {mount}/roles/{role} db_name=… creation_statements=…",
            ) from None
        self._leases[name.name] = answer["lease_id"]
        lease = Lease(answer["lease_id"], float(answer["lease_duration"]), self._login.number, version)
        return _leased(name.name, with_user(url, answer["data"]), lease, lease.full_seconds)

    def _longer(self, held: Fetched, lease: Lease) -> Fetched | None:
        """The lease for longer, or None where only new credentials help."""
        import hvac.exceptions

        def ask(client: Any) -> Any:
            try:
                return client.sys.renew_lease(lease.name)
            except (hvac.exceptions.InvalidRequest, hvac.exceptions.InvalidPath):
                # Revoked, or at the end of its longest life.
                return None

        answer = self._login.call("renew a lease", ask)
        if answer is None or answer["lease_duration"] < lease.full_seconds * _LEAST_LEFT:
            return None
        return _leased(held.secret.name, held.secret.reveal(), lease, float(answer["lease_duration"]))


def _revoking(lease: str) -> Callable[[hvac.Client], Any]:
    return lambda client: client.sys.revoke_lease(lease)


def _leased(name: str, value: str, lease: Lease, seconds: float) -> Fetched:
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    # The end of the lease's name is drawn at random for each.
    return Fetched(Secret(name, value, f"lease {lease.name[-8:]}", ends), lease)


def _value(name: SecretName, place: str, fields: Mapping[str, Any]) -> str:
    """The field `value`, the only field, or a URL made of several."""
    if _VALUE in fields or len(fields) == 1:
        value = fields.get(_VALUE, next(iter(fields.values())))
        if isinstance(value, str) and value:
            return composed(name.name, value)
    elif name.name.endswith("-url"):
        return from_parts(name.name, fields)
    raise SecretMissing(
        f"the entry {place} has the fields {', '.join(sorted(fields)) or 'none'}",
        rule=f"the field {_VALUE!r} holds the secret, as a text",
        fix=f"write it as {_VALUE}=…",
    )
