"""Random secrets that say nothing: refresh tokens, browser sessions, one-time codes, API keys.

They hold 256 random bits, so that a plain SHA-256 of them can be stored: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets

REFRESH = "pnr_"
SESSION = "pns_"
CODE = "pnc_"
API_KEY = "pnk_"  # pragma: allowlist secret
_BYTES = 32


def new(prefix: str) -> str:
    """A secret that shows what it is: scanners find it, people don't mix it up."""
    return prefix + secrets.token_urlsafe(_BYTES)


def hashed(secret: str) -> str:
    """What is stored of it."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
