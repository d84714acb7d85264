"""What the chain and the anchors find, change by change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pynomaly_pipelines.service.audit.chain import Anchor, Verdict, verify
from pynomaly_pipelines.service.audit.entries import GENESIS, Entry

Stored = list[tuple[Entry, str]]


def log(length: int, start: str = "pipeline:flights") -> Stored:
    stored: Stored = []
    for sequence in range(1, length + 1):
        previous = stored[-1][1] if stored else GENESIS
        entry = Entry(sequence, f"2026-11-23T20:00:{sequence:02}.000000Z", "a1", "mia", "model.promoted", start,
                      "192.0.2.1", f"r{sequence}", "{}", previous)  # fmt: skip
        stored.append((entry, entry.hash))
    return stored


def anchored(stored: Stored, *sequences: int, kid: str = "ours") -> list[Anchor]:
    return [Anchor(n, stored[n - 1][1], "2026-11-23T21:00:00.000000Z", kid, "…") for n in sequences]


def looked_through(stored: Stored, anchors: list[Anchor] | None = None, head: int | None = None) -> Verdict:
    return verify(stored, anchors or [], lambda anchor: anchor.kid == "ours", head)


def written_anew(stored: Stored, sequence: int) -> Stored:
    """What an attacker with the database does who knows how the hash is made."""
    changed: Stored = stored[: sequence - 1]
    for entry, _ in stored[sequence - 1 :]:
        name = "nobody" if entry.sequence == sequence else entry.name
        forged = replace(entry, name=name, previous=changed[-1][1] if changed else GENESIS)
        changed.append((forged, forged.hash))
    return changed


def test_an_untouched_log_is_intact() -> None:
    stored = log(6)
    assert looked_through(stored, anchored(stored, 2, 5), head=6) == Verdict(6, 2, 5, None)
    assert looked_through([]).intact


def edited(stored: Stored) -> Stored:
    entry, written = stored[2]
    return [*stored[:2], (replace(entry, name="nobody"), written), *stored[3:]]


def edited_with_its_hash(stored: Stored) -> Stored:
    forged = replace(stored[2][0], name="nobody")
    return [*stored[:2], (forged, forged.hash), *stored[3:]]


@pytest.mark.parametrize(
    ("change", "first", "problem"),
    [
        (edited, 3, "its hash differs"),
        (edited_with_its_hash, 4, "does not follow"),
        (lambda s: s[:2] + s[3:], 3, "missing; the next one there is 4"),
        (lambda s: s[1:], 1, "missing"),
        (lambda s: [s[0], s[2], s[1], *s[3:]], 2, "missing"),
        (lambda s: [*s[:2], s[1], *s[2:]], 3, "missing; the next one there is 2"),
    ],
)
def test_a_change_is_found_and_named(change: Callable[[Stored], Stored], first: int, problem: str) -> None:
    broken = looked_through(change(log(6))).broken
    assert broken is not None
    assert broken.sequence == first
    assert problem in broken.problem


def test_a_log_written_anew_is_found_by_the_first_anchor_after_the_change() -> None:
    stored = log(6)
    forged = written_anew(stored, 3)
    assert looked_through(forged).intact, "the chain alone cannot know"
    broken = looked_through(forged, anchored(stored, 2, 5)).broken
    assert broken is not None
    assert (broken.sequence, "written anew" in broken.problem) == (5, True)


def test_a_cut_off_end_is_found_up_to_the_newest_anchor() -> None:
    stored = log(6)
    broken = looked_through(stored[:3], anchored(stored, 5)).broken
    assert broken is not None
    assert broken.sequence == 4
    assert "had reached entry 5" in broken.problem
    # What came after the newest anchor, with a head that was set back as well: not found.
    assert looked_through(stored[:5], anchored(stored, 5), head=5).intact
    # With the head forgotten by the attacker: found.
    assert looked_through(stored[:5], anchored(stored, 5), head=6).broken is not None


def test_an_anchor_of_somebody_else_is_no_anchor() -> None:
    stored = log(6)
    forged = written_anew(stored, 3)
    broken = looked_through(forged, anchored(forged, 4, kid="theirs")).broken
    assert broken is not None
    assert "signature by 'theirs' does not hold" in broken.problem


def test_two_promises_about_one_entry_are_a_break() -> None:
    stored = log(6)
    broken = looked_through(stored, [*anchored(stored, 4), *anchored(written_anew(stored, 3), 4)]).broken
    assert broken is not None
    assert "two anchors" in broken.problem


def test_the_first_break_is_named() -> None:
    stored = log(6)
    forged = edited(stored)
    broken = looked_through(forged, anchored(stored, 5, kid="theirs")).broken
    assert broken is not None
    assert broken.sequence == 3
