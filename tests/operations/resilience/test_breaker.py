"""A breaker opens on faults alone, lets exactly one probe through, and closes on its success."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from pynomaly_pipelines.operations.errors import DependencyUnavailable, NoChampion
from pynomaly_pipelines.operations.resilience import Breaker, BreakerRules, Change, State


@dataclass
class Server:
    """A dependency that works or does not, and counts who asks."""

    down: bool = True
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> str:
        with self.lock:
            self.asked += 1
        if self.down:
            raise ConnectionRefusedError("nobody listens")
        return "answer"


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Case:
    breaker: Breaker
    clock: Clock
    server: Server
    changes: list[Change]

    def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(ConnectionRefusedError):
                self.breaker.call(self.server)

    def half_open(self) -> None:
        self.fail(3)
        self.clock.now += 10


@pytest.fixture
def case() -> Case:
    clock, changes = Clock(), []
    rules = BreakerRules(failures=3, open_seconds=10, calls=20, rate=0.5, window_seconds=30, timeout_seconds=5)
    return Case(Breaker("registry", rules, on_change=changes.append, clock=clock), clock, Server(), changes)


def test_closed_it_passes_answers_and_errors_on(case: Case) -> None:
    case.server.down = False
    assert case.breaker.call(case.server) == "answer"
    assert case.breaker.call(lambda a, *, b: a + b, 1, b=2) == 3
    case.server.down = True
    case.fail(2)
    assert case.breaker.state is State.CLOSED
    assert case.changes == []


def test_it_opens_after_so_many_faults_in_a_row_and_asks_no_more(case: Case) -> None:
    case.fail(3)
    assert case.breaker.state is State.OPEN
    for _ in range(100):
        with pytest.raises(DependencyUnavailable):
            case.breaker.call(case.server)
    assert case.server.asked == 3
    figures = case.breaker.figures()
    assert (figures.calls, figures.faults, figures.refused, figures.opened) == (3, 3, 100, 1)


def test_a_success_between_breaks_the_row(case: Case) -> None:
    case.fail(2)
    case.server.down = False
    case.breaker.call(case.server)
    case.server.down = True
    case.fail(2)
    assert case.breaker.state is State.CLOSED


def test_the_error_says_who_is_down_why_and_when_to_ask_again(case: Case) -> None:
    case.fail(3)
    case.clock.now += 4
    with pytest.raises(
        DependencyUnavailable, match=r"registry is down: ConnectionRefusedError: nobody listens"
    ) as told:
        case.breaker.call(case.server)
    assert told.value.dependency == "registry"
    assert told.value.retry_after == pytest.approx(6.0)
    assert told.value.retryable


@pytest.mark.parametrize(
    "answer", [FileNotFoundError("none"), PermissionError("no"), ValueError("bad"), NoChampion("x")]
)
def test_what_is_an_answer_does_not_count(case: Case, answer: Exception) -> None:
    def ask() -> None:
        raise answer

    for _ in range(50):
        with pytest.raises(type(answer)):
            case.breaker.call(ask)
    assert case.breaker.state is State.CLOSED
    assert case.breaker.figures().faults == 0


def test_it_opens_when_half_of_enough_calls_failed(case: Case) -> None:
    """Every second call fails: never three in a row, ten of twenty."""
    for number in range(20):
        assert case.breaker.state is State.CLOSED, number
        case.server.down = number % 2 == 1
        if case.server.down:
            case.fail(1)
        else:
            case.breaker.call(case.server)
    assert case.breaker.state is State.OPEN
    assert case.changes[-1].reason == "10 of 20 calls within 30 s failed"


def test_faults_long_past_are_forgotten(case: Case) -> None:
    """The same twenty calls, nine of ten faults before a pause longer than the window."""
    for number in range(20):
        case.server.down = number % 2 == 1
        if case.server.down:
            case.fail(1)
        else:
            case.breaker.call(case.server)
        if number == 17:
            case.clock.now += 31
    assert case.breaker.state is State.CLOSED


def test_half_open_one_of_fifty_threads_probes(case: Case) -> None:
    case.half_open()
    inside, together = threading.Event(), threading.Barrier(50)

    def slow() -> str:
        # The probe is still under way when the last of the others asks.
        inside.wait(30)
        return case.server()

    def ask(_: int) -> str:
        together.wait(30)
        try:
            return case.breaker.call(slow)
        except DependencyUnavailable:
            return "refused"

    case.server.down = False
    with ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(ask, number) for number in range(50)]
        while case.breaker.figures().refused < 49:
            pass
        inside.set()
        found = [answer.result(30) for answer in answers]
    assert sorted(found) == ["answer"] + ["refused"] * 49
    assert case.server.asked == 3 + 1
    assert case.breaker.state is State.CLOSED


def test_half_open_one_of_fifty_tasks_probes(case: Case) -> None:
    case.half_open()
    case.server.down = False

    async def slow() -> str:
        await asyncio.sleep(0)
        return case.server()

    async def everyone() -> list[str | BaseException]:
        calls = (case.breaker.call_async(slow) for _ in range(50))
        return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(everyone())
    assert found.count("answer") == 1
    assert sum(isinstance(one, DependencyUnavailable) for one in found) == 49
    assert case.server.asked == 3 + 1
    assert case.breaker.state is State.CLOSED


def test_threads_and_tasks_share_one_state(case: Case) -> None:
    case.fail(3)

    async def ask() -> str:
        return case.server()

    with pytest.raises(DependencyUnavailable):
        asyncio.run(case.breaker.call_async(ask))
    assert case.server.asked == 3


def test_a_failing_probe_opens_it_for_another_period(case: Case) -> None:
    case.half_open()
    assert case.breaker.state is State.HALF_OPEN
    case.fail(1)
    with pytest.raises(DependencyUnavailable):
        case.breaker.call(case.server)
    case.clock.now += 10
    case.server.down = False
    assert case.breaker.call(case.server) == "answer"
    walk = [(change.before, change.after) for change in case.changes]
    closed, half, opened = State.CLOSED, State.HALF_OPEN, State.OPEN
    assert walk == [(closed, opened), (opened, half), (half, opened), (opened, half), (half, closed)]
    assert case.breaker.figures().opened == 2


def test_an_answer_to_the_probe_closes_it(case: Case) -> None:
    case.half_open()

    def missing() -> None:
        raise FileNotFoundError("no such model")

    with pytest.raises(FileNotFoundError):
        case.breaker.call(missing)
    assert case.breaker.state is State.CLOSED


def test_a_cancelled_probe_leaves_the_next_one_to_probe(case: Case) -> None:
    case.half_open()

    async def cancelled() -> None:
        task = asyncio.create_task(case.breaker.call_async(asyncio.sleep, 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    case.server.down = False
    assert case.breaker.call(case.server) == "answer"
    assert case.breaker.state is State.CLOSED


def test_a_probe_that_never_returns_gives_way_after_its_lease(case: Case) -> None:
    case.half_open()
    hung = case.breaker.guard()
    hung.__enter__()
    with pytest.raises(DependencyUnavailable):
        case.breaker.call(case.server)
    case.clock.now += 10
    case.server.down = False
    assert case.breaker.call(case.server) == "answer"
    # What the first probe says in the end is of another era.
    hung.__exit__(TimeoutError, TimeoutError("at last"), None)
    assert case.breaker.state is State.CLOSED


def test_an_old_success_does_not_close_it(case: Case) -> None:
    early = case.breaker.guard()
    early.__enter__()
    case.fail(3)
    early.__exit__(None, None, None)
    assert case.breaker.state is State.OPEN


def test_a_call_that_hangs_is_a_fault() -> None:
    breaker = Breaker("database", BreakerRules(failures=1, timeout_seconds=0.01))
    with pytest.raises(TimeoutError):
        asyncio.run(breaker.call_async(asyncio.sleep, 60))
    assert breaker.state is State.OPEN
    assert breaker.figures().faults == 1
