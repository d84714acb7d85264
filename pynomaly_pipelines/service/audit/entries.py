"""One event of the audit log: its fields, its canonical form, its hash.

The canonical form is JSON with sorted keys, no spaces and ASCII only; the hash is SHA-256 over it, in hex. The hash of
the entry before is one of the fields, so that each hash stands for everything up to here.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

GENESIS = "0" * 64
"""What stands before the first entry."""
LONGEST = 300
"""Characters of a field that came from outside; more are cut off."""

Detail = str | int | float | bool | None | Sequence[str]

_SECRET = re.compile(r"passw|secret|token|api.?key$|authorization|cookie|credential|private", re.IGNORECASE)


@dataclass(frozen=True)
class Actor:
    """Who did it, and from where."""

    account: str
    """Id of the account; empty where nobody is logged in."""
    name: str
    """What the account logs in with, or the part of the product that acted (`system:…`)."""
    address: str = ""
    """The client's address."""
    request_id: str = ""

    @classmethod
    def system(cls, part: str) -> Actor:
        """The product itself: a schedule, a command line."""
        return cls(account="", name=f"system:{part}")


@dataclass(frozen=True)
class Entry:
    """What is stored, and what the hash is made from. Times are text, so that every database gives them back alike."""

    sequence: int
    """1, 2, 3 … without gaps."""
    at: str
    """RFC 3339 in UTC, microseconds, `Z`."""
    account: str
    name: str
    action: str
    subject: str
    """What it was done to: `account:<id>`, `pipeline:<name>`, `run:<id>` …"""
    address: str
    request_id: str
    details: str
    """A JSON object as text."""
    previous: str
    """Hash of the entry before, or `GENESIS`."""

    @property
    def canonical(self) -> bytes:
        """The bytes that are hashed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical form, in hex."""
        return hashlib.sha256(self.canonical).hexdigest()


def moment(at: datetime | None = None) -> str:
    """A time as entries hold it; by default now.

    Raises:
        ValueError: a time without a zone.
    """
    found = at or datetime.now(UTC)
    if found.tzinfo is None:
        raise ValueError(f"{found} has no time zone; times of the audit log are in UTC")
    return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(text: str, longest: int = LONGEST) -> str:
    """Text from outside as every database takes it: no control characters, no half characters, not too long."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    whole = escaped.encode("utf-8", "backslashreplace").decode("utf-8")
    return whole if len(whole) <= longest else whole[: longest - 1] + "…"


def details_text(details: Mapping[str, Detail]) -> str:
    """Details as they are stored. What is called like a secret is left out, whatever its value."""
    kept = {name: "[removed]" if _SECRET.search(name) else _kept(value) for name, value in details.items()}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _kept(value: Detail) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return plain(value) if isinstance(value, str) else [plain(part) for part in value[:100]]
