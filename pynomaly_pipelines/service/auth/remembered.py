"""Answers kept by the hash of what was asked, so many of them."""

from __future__ import annotations

import hashlib
from typing import Generic, TypeVar

_T = TypeVar("_T")


def key_of(secret: str) -> bytes:
    """What an answer is kept under: a copy of the memory holds no credentials."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


class Remembered(Generic[_T]):
    """The newest answers; the oldest goes when there is no more room."""

    def __init__(self, most: int) -> None:
        """Empty."""
        self._most = most
        self._kept: dict[bytes, _T] = {}

    def get(self, key: bytes) -> _T | None:
        """What was kept under it."""
        return self._kept.get(key)

    def keep(self, key: bytes, value: _T) -> None:
        """Keep it."""
        if self._most == 0:
            return
        self._kept.pop(key, None)
        while len(self._kept) >= self._most:
            self._kept.pop(next(iter(self._kept)), None)
        self._kept[key] = value

    def __len__(self) -> int:
        return len(self._kept)
