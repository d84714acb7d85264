"""A key of the installation -> private signing keys that can lie in the database (AES-256-GCM).

The key comes from the settings or, for one machine, from a file of the home that only its owner can read. Whoever has a
copy of the database alone, a backup say, cannot sign tokens.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pynomaly_pipelines.operations.errors import SettingsError

FILE = "accounts.key"
_BYTES = 32
_NONCE = 12


class KeyEncryption:
    """Encrypts and decrypts texts; each is bound to the name it is stored under."""

    def __init__(self, key: bytes) -> None:
        """A key of 32 bytes."""
        self._cipher = AESGCM(key)

    @classmethod
    def of(cls, setting: str, home: Path) -> KeyEncryption:
        """The setting's key; without one, that of the file, which is made if it is not there.

        Raises:
            SettingsError: it is not 32 bytes in base64.
        """
        return cls(_decoded(setting, "PYNOMALY_SERVICE_KEY_ENCRYPTION_KEY") if setting else _of_file(home / FILE))

    def encrypt(self, text: str, name: str) -> str:
        """In base64, with a nonce of its own."""
        nonce = secrets.token_bytes(_NONCE)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), name.encode())).decode()

    def decrypt(self, stored: str, name: str) -> str:
        """The text.

        Raises:
            SettingsError: it was encrypted under another key, or is another's.
        """
        raw = base64.b64decode(stored)
        try:
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], name.encode()).decode()
        except InvalidTag:
            raise SettingsError(
                f"the signing key {name!r} cannot be decrypted",
                rule="private keys are encrypted under PYNOMALY_SERVICE_KEY_ENCRYPTION_KEY or the home's accounts.key, "
                "and every process needs the same",
                fix="give this process that key; if it is lost: pynomaly accounts rotate-keys --now",
            ) from None


def _of_file(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written whole under another name, then given its own: who finds the file finds the key, and the first one wins.
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(base64.b64encode(secrets.token_bytes(_BYTES)))
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _decoded(file.read_text(), str(file))


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _BYTES:
        raise SettingsError(
            f"{where} holds no key",
            rule=f"{_BYTES} random bytes in base64 are expected",
            fix="`openssl rand -base64 32` makes one",
        )
    return key
