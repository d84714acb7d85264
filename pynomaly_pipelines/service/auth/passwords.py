"""A password -> its argon2id hash, and back to yes or no.

Passwords are Unicode in normal form C, of any length up to 1,024 bytes, and never cut (NIST SP 800-63B-4, 3.1.1.2).
Hashing takes tens of milliseconds and megabytes by design: call it in `Workers`, never in the event loop.
"""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pynomaly_pipelines.service.settings import ServiceSettings

MOST_BYTES = 1024


def normalised(password: str) -> str:
    """The same text for the same characters, however a keyboard composes them."""
    return unicodedata.normalize("NFC", password)


class Passwords:
    """Hashes and checks with the parameters of the settings."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Nothing is hashed yet."""
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_passes,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_lanes,
        )
        # Of nobody's password: unknown names cost what known ones do.
        self._nobody = self._hasher.hash("")

    def hash(self, password: str) -> str:
        """What is stored of it: PHC form, with its parameters and salt."""
        return self._hasher.hash(normalised(password))

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the stored one; without one, as much work for the answer no."""
        given = normalised(password)
        # Too long for any stored one; hashing it would cost by its length.
        fits = len(given.encode("utf-8", "replace")) <= MOST_BYTES
        try:
            self._hasher.verify(stored or self._nobody, given.encode("utf-8", "replace") if fits else b"-")
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None and fits

    def outdated(self, stored: str) -> bool:
        """Whether it was hashed with other parameters than those of now."""
        return self._hasher.check_needs_rehash(stored)
