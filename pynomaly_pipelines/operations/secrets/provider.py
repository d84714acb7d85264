"""What every store of secrets can do, whatever holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pynomaly_pipelines.operations.secrets.secret import Secret, SecretName


@dataclass(frozen=True)
class Lease:
    """The right to use credentials for a while."""

    name: str
    """What it is renewed by; itself no secret, of no use without the token."""
    full_seconds: float
    """How long it was granted for at first. A renewal that grants far less says that its longest life is near."""
    login: int
    """Which login it was taken with: it ends with that."""
    completes: str
    """Version of the URL without a user that the credentials were put into."""


@dataclass(frozen=True)
class Fetched:
    """One answer of a provider."""

    secret: Secret
    lease: Lease | None = None


class Provider(Protocol):
    """Fetches secrets. Calls are bounded in time; errors are the product's (`SecretError`)."""

    @property
    def origin(self) -> str:
        """Where secrets come from, fit to be shown."""

    def place(self, name: SecretName) -> str:
        """Where this secret is, fit to be shown."""

    def fetch(self, name: SecretName) -> Fetched:
        """The current version.

        Raises:
            SecretMissing, SecretDenied, SecretsUnreachable: it can't be had.
        """

    def renew(self, name: SecretName, held: Fetched) -> Fetched:
        """The same lease for longer, or the version that follows it; without leases the current version."""

    def ends_early(self, held: Fetched) -> bool:
        """Whether its lease will not live as long as it says, so that another is needed now."""

    def others(self, name: SecretName, held: Secret) -> Sequence[Secret]:
        """Versions that may be in force just before or after the current one, while a rotation is under way."""

    def upkeep(self) -> float | None:
        """Keep the login itself alive; says in how many seconds to come again, None for never."""

    def close(self) -> None:
        """Give back leases and logins this process has taken."""


class Leaseless:
    """What providers have in common whose secrets are only looked at."""

    def fetch(self, name: SecretName) -> Fetched:
        """The current version."""
        raise NotImplementedError

    def renew(self, name: SecretName, _held: Fetched) -> Fetched:
        """The same as `fetch`."""
        return self.fetch(name)

    def ends_early(self, _held: Fetched) -> bool:
        """Never: there are no leases."""
        return False

    def others(self, _name: SecretName, _held: Secret) -> Sequence[Secret]:
        """None: there is one version."""
        return ()

    def upkeep(self) -> float | None:
        """Nothing to keep alive."""
        return None

    def close(self) -> None:
        """Nothing was taken."""


def moment(value: datetime | None) -> str:
    """A time as it is shown, empty for none."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S}Z"
