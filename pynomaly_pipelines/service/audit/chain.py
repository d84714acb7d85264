"""Entries and anchors in order -> whether anything was changed, and where first.

Found by the chain alone: an entry that was edited, removed from the middle, put in, or moved. An attacker who may write
to the database could hash everything after his change anew, or cut off the end. Anchors stand against that: an anchor
is the place and hash of an entry under the service's signature, kept in the database and, as far as it is set, outside
it. What is older than the newest anchor cannot be changed or cut off without the signing key. What is newer can be cut
off unseen: seconds, by the setting of the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pynomaly_pipelines.service.audit.entries import GENESIS, Entry


@dataclass(frozen=True)
class Anchor:
    """A promise: entry `sequence` had this hash at that time, and every entry before it was as it was."""

    sequence: int
    hash: str
    at: str
    kid: str
    """Key that signed it."""
    signature: str
    """base64url, over `signed`."""

    @property
    def signed(self) -> bytes:
        """The bytes under the signature."""
        return f"pynomaly-audit-anchor\n{self.sequence}\n{self.hash}\n{self.at}".encode()


@dataclass(frozen=True)
class Break:
    """The first place where the log is not what was written."""

    sequence: int
    problem: str


@dataclass(frozen=True)
class Verdict:
    """What a look through the whole log found."""

    entries: int
    anchors: int
    last_anchored: int
    """Sequence of the newest anchor whose signature holds; 0 without one. Later entries could be cut off unseen."""
    broken: Break | None

    @property
    def intact(self) -> bool:
        """Nothing was found changed."""
        return self.broken is None


Verifier = Callable[[Anchor], bool]
"""Whether an anchor's signature is the service's own."""


def verify(
    stored: Iterable[tuple[Entry, str]], anchors: Sequence[Anchor], signed_by_us: Verifier, head: int | None = None
) -> Verdict:
    """Look through the log, oldest entry first; memory does not grow with it.

    Args:
        stored: each entry with the hash that is stored beside it, by sequence.
        anchors: those of the database and of any copy kept elsewhere.
        signed_by_us: checks an anchor's signature.
        head: sequence the database says it has reached, if it says so.
    """
    promised, forged = _promises(anchors, signed_by_us)
    previous, count, broken = GENESIS, 0, forged
    for entry, written in stored:
        found = _problem(entry, written, count + 1, previous, promised)
        if found is not None:
            broken = _first(broken, found)
            break
        count, previous = entry.sequence, written
    else:
        broken = _first(broken, _cut_off(count, max(head or 0, max(promised, default=0))))
    return Verdict(count, len(anchors), max(promised, default=0), broken)


def _promises(anchors: Sequence[Anchor], signed_by_us: Verifier) -> tuple[dict[int, str], Break | None]:
    promised: dict[int, str] = {}
    broken: Break | None = None
    for anchor in anchors:
        if not signed_by_us(anchor):
            broken = _first(broken, Break(anchor.sequence, f"the anchor's signature by {anchor.kid!r} does not hold"))
        elif promised.setdefault(anchor.sequence, anchor.hash) != anchor.hash:
            broken = _first(broken, Break(anchor.sequence, "two anchors promise different hashes"))
    return promised, broken


def _problem(entry: Entry, written: str, due: int, previous: str, promised: dict[int, str]) -> Break | None:
    if entry.sequence != due:
        return Break(due, f"the entry is missing; the next one there is {entry.sequence}")
    if entry.previous != previous:
        return Break(due, "the entry does not follow the one before it")
    if entry.hash != written:
        return Break(due, "the entry is not what was written: its hash differs")
    if promised.get(due, written) != written:
        return Break(due, "the log up to here is not what was anchored: it was written anew")
    return None


def _cut_off(count: int, reached: int) -> Break | None:
    return Break(count + 1, f"the end is cut off: the log had reached entry {reached}") if reached > count else None


def _first(one: Break | None, other: Break | None) -> Break | None:
    found = [b for b in (one, other) if b is not None]
    return min(found, key=lambda b: b.sequence) if found else None
