"""The installation's key -> seals of anchors that nobody makes who has the database alone.

Not the keys that sign tokens: they are deleted after their rotation, and an anchor must hold for years. The key that
encrypts them lies outside the database and stays. AES-GCM authenticates what it encrypts, so a seal is the digest of
the anchor, encrypted under a name of its own.
"""

from __future__ import annotations

import hashlib
from binascii import Error as NotBase64

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.service.auth.key_encryption import KeyEncryption

KID = "key-encryption-key"
_NAME = "audit-anchor"


class Seals:
    """The `Keys` of anchors."""

    def __init__(self, encryption: KeyEncryption) -> None:
        self._encryption = encryption

    def sign(self, content: bytes) -> tuple[str, str]:
        """Key id and seal."""
        return KID, self._encryption.encrypt(hashlib.sha256(content).hexdigest(), _NAME)

    def signed(self, kid: str, content: bytes, signature: str) -> bool:
        """Whether the seal was made here, for this content."""
        try:
            sealed = self._encryption.decrypt(signature, _NAME)
        except (SettingsError, NotBase64, ValueError):
            return False
        return kid == KID and sealed == hashlib.sha256(content).hexdigest()
