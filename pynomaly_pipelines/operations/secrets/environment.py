"""Environment variables as a store: the default, for one machine and for platforms that set them."""

from __future__ import annotations

import hashlib
import secrets

from pynomaly_pipelines.operations.errors import SecretMissing
from pynomaly_pipelines.operations.secrets.provider import Fetched, Leaseless
from pynomaly_pipelines.operations.secrets.secret import Secret, SecretName
from pynomaly_pipelines.operations.settings import environment_value


class Environment(Leaseless):
    """Reads the variables of this process, each time."""

    origin = "environment"

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)

    def place(self, name: SecretName) -> str:
        """The variable."""
        return name.variable

    def fetch(self, name: SecretName) -> Fetched:
        """What the variable holds.

        Raises:
            SecretMissing: it is not set, or empty.
        """
        value = environment_value(name.variable)
        if not value:
            raise SecretMissing(
                f"the environment variable {name.variable} is not set",
                rule=f"it holds {name.name}, as PYNOMALY_SECRETS says `environment`",
                fix=f"set {name.variable}, or choose another store by PYNOMALY_SECRETS",
            )
        # Tells versions apart within this process; without its key it says nothing of the value.
        mark = hashlib.blake2b(value.encode(), key=self._key, digest_size=4).hexdigest()
        return Fetched(Secret(name.name, value, mark))
