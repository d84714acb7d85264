"""A secret value, its version and when it ends; nothing but `reveal()` shows it."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.redaction import remember

_WORDS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Secret:
    """One version of a secret. Printing, logging, comparing, pickling or serialising it never shows the value."""

    __slots__ = ("_value", "expires", "name", "version")

    def __init__(self, name: str, value: str, version: str, expires: datetime | None = None) -> None:
        """From now on the value is blotted out of logs and errors.

        Args:
            name: what it is asked for by.
            version: changes with the value; itself no secret.
            expires: when it stops being of use, in UTC; None if nobody has said.
        """
        remember(value)
        self._value = value
        self.name = name
        self.version = version
        self.expires = expires

    def reveal(self) -> str:
        """The value. Use it at once and keep it nowhere, so that the next use sees the next version."""
        return self._value

    def same_value(self, other: Secret) -> bool:
        """Whether both hold the same value, told in constant time."""
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, version={self.version!r})"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} does not leave its process: send the name, and ask the store there")


@dataclass(frozen=True)
class SecretName:
    """What a secret is called, and the environment variable it is in where the environment is the store."""

    name: str
    """Words with dashes, such as `database-url`."""
    variable: str

    @classmethod
    def of(cls, name: str) -> SecretName:
        """A secret of the product: `database-url` is PYNOMALY_SECRET_DATABASE_URL.

        Raises:
            SettingsError: not words with dashes.
        """
        if _WORDS.fullmatch(name) is None:
            raise SettingsError(
                f"{name!r} is no name of a secret",
                rule="names are lower-case words joined by dashes, such as database-url",
                fix="correct the name",
            )
        return cls(name, f"PYNOMALY_SECRET_{name.upper().replace('-', '_')}")

    @classmethod
    def of_variable(cls, variable: str) -> SecretName:
        """A secret that a pipeline's YAML names as a variable: WAREHOUSE_URL is `warehouse-url` in other stores."""
        return cls(variable.strip("_").lower().replace("_", "-"), variable)
