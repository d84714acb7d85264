"""Calls are repeated after faults that pass, at growing intervals, and never by more than the budget."""

from __future__ import annotations

import asyncio
import random

import pytest

from pynomaly_pipelines.operations.errors import DependencyUnavailable
from pynomaly_pipelines.operations.resilience import Breaker, BreakerRules, Retrying, RetryRules, State

NEVER = BreakerRules(failures=1000, rate=1.0, calls=100_000)


class Flaky:
    """Fails the first `times`."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left = times
        self.asked = 0
        self.error = error or ConnectionResetError("x")

    def __call__(self) -> int:
        self.asked += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        return self.asked

    async def asynchronously(self) -> int:
        return self()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would have been slept."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def retrying(breaker: BreakerRules = NEVER, **rules: float) -> Retrying:
    return Retrying(Breaker("registry", breaker), RetryRules.model_validate(rules))


def test_it_is_asked_until_it_answers(pauses: list[float]) -> None:
    server, calls = Flaky(2), retrying(attempts=3)
    assert calls.call(server) == 3
    assert (calls.figures().calls, calls.figures().retries) == (1, 2)


def test_tasks_too() -> None:
    server, calls = Flaky(2), retrying(attempts=3, wait_seconds=0.001, jitter_seconds=0)
    assert asyncio.run(calls.call_async(server.asynchronously)) == 3


def test_the_last_error_is_told(pauses: list[float]) -> None:
    server = Flaky(9)
    with pytest.raises(ConnectionResetError):
        retrying(attempts=4).call(server)
    assert server.asked == 4


@pytest.mark.parametrize("error", [FileNotFoundError("x"), ValueError("x")])
def test_an_answer_is_not_asked_for_again(error: Exception, pauses: list[float]) -> None:
    server = Flaky(9, error)
    with pytest.raises(type(error)):
        retrying(attempts=4).call(server)
    assert (server.asked, pauses) == (1, [])


def test_pauses_double_up_to_the_longest_with_jitter_on_top(pauses: list[float]) -> None:
    with pytest.raises(ConnectionResetError):
        retrying(attempts=6, wait_seconds=1, wait_max_seconds=8, jitter_seconds=0.5).call(Flaky(9))
    for pause, least in zip(pauses, [1, 2, 4, 8, 8], strict=True):
        assert least <= pause <= min(least + 0.5, 8)
    assert len(set(pauses)) > 2


def test_of_many_failing_calls_at_most_a_tenth_is_repeated(pauses: list[float]) -> None:
    """Plus the reserve, 5."""
    calls, asked = retrying(attempts=3, ratio=0.1, reserve=5), 0
    for _ in range(500):
        server = Flaky(9)
        with pytest.raises(ConnectionResetError):
            calls.call(server)
        asked += server.asked
    assert asked - 500 == calls.figures().retries
    assert 45 <= asked - 500 <= 55
    assert calls.figures().over_budget > 0


def test_an_open_breaker_ends_it_at_once(pauses: list[float]) -> None:
    calls = retrying(BreakerRules(failures=2), attempts=9)
    server = Flaky(9)
    with pytest.raises(DependencyUnavailable):
        calls.call(server)
    assert server.asked == 2


def test_a_dependency_that_flaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of ten calls fail: few notice. Then all do: it opens; then none: one probe closes it."""
    now, draw = [0.0], random.Random(7)
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    breaker = Breaker("sources", BreakerRules(failures=20, rate=1.0, open_seconds=10), clock=lambda: now[0])
    calls = Retrying(breaker, RetryRules(attempts=3, ratio=0.5, reserve=5))
    rate, asked, given_up = 0.3, 0, 0

    def ask() -> None:
        nonlocal asked
        asked += 1
        if draw.random() < rate:
            raise ConnectionResetError("x")

    for _ in range(500):
        now[0] += 0.1
        try:
            calls.call(ask)
        except (ConnectionResetError, DependencyUnavailable):
            given_up += 1
    figures = calls.figures()
    assert asked == breaker.figures().calls
    assert figures.retries <= 0.5 * 500 + 5
    assert given_up < 0.3 * 500 / 2
    rate = 1.0
    while breaker.state is State.CLOSED:
        with pytest.raises((ConnectionResetError, DependencyUnavailable)):
            calls.call(ask)
    rate, asked = 0.0, 0
    now[0] += 10
    calls.call(ask)
    assert (asked, breaker.state) == (1, State.CLOSED)
