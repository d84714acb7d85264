"""Entries in this process: the least recently used go first when they would take more than their share of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from pynomaly_pipelines.operations.cache.entry import Entry

OVERHEAD = 400
"""Bytes that Python takes for an entry beside key and value (measured: 250 to 400 with one or two tags)."""


@dataclass(frozen=True)
class MemoryFigures:
    """What a process keeps."""

    entries: int
    bytes: int
    evicted: int
    """Dropped for lack of room since the process began."""


class Memory:
    """Key -> entry, within bounds. Safe to share between threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        self._evicted = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """The entry, now the most recently used."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: str, entry: Entry) -> None:
        """Keep it, dropping others as needed; not kept if it alone is over the bound."""
        size = _size(key, entry)
        with self._lock:
            self._drop(key)
            if size > self._most:
                return
            self._entries[key] = entry
            self._bytes += size
            while self._bytes > self._most:
                self._drop(next(iter(self._entries)))
                self._evicted += 1

    def drop(self, key: str) -> None:
        """Keep it no more."""
        with self._lock:
            self._drop(key)

    def drop_tagged(self, tag: str) -> None:
        """Free what was made under a tag: it would not be believed any more."""
        with self._lock:
            for key in [key for key, entry in self._entries.items() if tag in entry.stamp]:
                self._drop(key)

    def figures(self) -> MemoryFigures:
        """What is kept now."""
        with self._lock:
            return MemoryFigures(len(self._entries), self._bytes, self._evicted)

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry)


def _size(key: str, entry: Entry) -> int:
    return len(key) + len(entry.value) + OVERHEAD
