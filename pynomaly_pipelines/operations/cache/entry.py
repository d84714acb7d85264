"""A cached value with what it takes to believe it: how long it holds, and the generations it was made under."""

from __future__ import annotations

import json
import math
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass

MAGIC = b"PYN1"
_HEAD = struct.Struct(">4sI")


@dataclass(frozen=True)
class Entry:
    """A value and its papers."""

    value: bytes
    expires: float
    """Seconds since 1970: processes have no other clock in common."""
    seconds: float
    """How long it took to compute."""
    stamp: Mapping[str, int]
    """Tag -> generation when the computation began."""

    def alive(self) -> bool:
        """Whether its time is not over."""
        return time.time() < self.expires

    def due(self, chance: float) -> bool:
        """Whether to compute it anew ahead of time, so that not everybody does when it expires.

        `chance` is uniform in (0, 1]: the closer the end and the longer the computation, the likelier. XFetch, in
        Vattani et al., Optimal Probabilistic Cache Stampede Prevention, VLDB 2015.
        """
        return time.time() - self.seconds * math.log(chance) >= self.expires

    def to_bytes(self) -> bytes:
        """As it lies in Redis: a header of JSON, then the value as it is."""
        header = json.dumps({"e": self.expires, "s": self.seconds, "g": dict(self.stamp)}).encode()
        return _HEAD.pack(MAGIC, len(header)) + header + self.value

    @classmethod
    def from_bytes(cls, data: bytes) -> Entry | None:
        """Back again; None for what is not such an entry, as when another program uses the same Redis."""
        try:
            magic, length = _HEAD.unpack_from(data)
            header = json.loads(data[_HEAD.size : _HEAD.size + length])
            stamp = {str(tag): int(generation) for tag, generation in header["g"].items()}
            entry = cls(data[_HEAD.size + length :], float(header["e"]), float(header["s"]), stamp)
        except (struct.error, ValueError, KeyError, TypeError, AttributeError):
            return None
        return entry if magic == MAGIC else None
