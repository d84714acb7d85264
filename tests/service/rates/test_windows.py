"""The sliding window, tick by tick."""

from __future__ import annotations

import random

import pytest

from pynomaly_pipelines.service.rates.windows import Limit, Windows


class Clock:
    def __init__(self, now: float = 600.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_key_has_its_limit_and_no_more() -> None:
    clock = Clock()
    windows, limit = Windows(10, clock), Limit(3, 60)
    found = [windows.hit("read", "a", limit) for _ in range(5)]
    assert [c.allowed for c in found] == [True, True, True, False, False]
    assert [c.remaining for c in found] == [2, 1, 0, 0, 0]
    assert found[0].reset_seconds == 60
    assert windows.hit("read", "b", limit).allowed
    assert windows.hit("write", "a", limit).allowed


def test_the_window_slides() -> None:
    clock = Clock()
    windows, limit = Windows(10, clock), Limit(4, 60)
    clock.now = 659
    assert [windows.hit("read", "a", limit).allowed for _ in range(4)] == [True] * 4
    # A second later a fixed window would let four more in; here 4 × 59/60 of the last ones still count.
    clock.now = 661
    assert [windows.hit("read", "a", limit).allowed for _ in range(2)] == [True, False]
    clock.now = 690
    assert [windows.hit("read", "a", limit).allowed for _ in range(2)] == [True, False]
    clock.now = 790
    assert [windows.hit("read", "a", limit).allowed for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize("hits", [1, 4, 30])
def test_who_waits_as_told_is_let_in_and_who_waits_less_is_not(hits: int) -> None:
    drawn = random.Random(hits)
    for _ in range(50):
        clock = Clock(600 + drawn.random() * 60)
        windows, limit = Windows(10, clock), Limit(hits, 60)
        while (count := windows.hit("read", "a", limit)).allowed:
            clock.now += drawn.random() * 20 / hits
        refused = clock.now
        clock.now = refused + count.reset_seconds
        assert windows.hit("read", "a", limit).allowed


def test_what_others_counted_counts() -> None:
    windows, limit = Windows(10, Clock()), Limit(3, 60)
    assert not windows.hit("read", "a", limit, elsewhere=3).allowed
    assert windows.hit("read", "a", limit, elsewhere=2).allowed
    assert not windows.hit("read", "a", limit, elsewhere=2).allowed


def test_memory_is_bounded_and_the_busiest_stay() -> None:
    windows, limit = Windows(100, Clock()), Limit(3, 60)
    for _ in range(3):
        windows.hit("login", "attacker", limit)
    for number in range(1000):
        windows.hit("login", str(number), limit)
        assert not windows.hit("login", "attacker", limit).allowed
    assert len(windows) == 100
