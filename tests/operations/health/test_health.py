"""Checks run at the same time, each within its time-out; what they find adds up; a hung one hangs nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.health import (
    Check,
    Finding,
    Health,
    Phase,
    Status,
    checks,
    degraded,
    failed,
    health_check,
    ok,
    process_health,
    run,
)


@pytest.fixture
def health() -> Health:
    found = Health()
    found.phase = Phase.SERVING
    return found


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hung checks wait for; opened in the end, so that their threads go away."""
    event = threading.Event()
    yield event
    event.set()


def _wait(gate: threading.Event) -> None:
    gate.wait(60)


def found(health: Health) -> dict[str, Status]:
    return {one.name: one.status for one in asyncio.run(health.run()).checks}


@pytest.mark.parametrize(
    ("finding", "critical", "whole"),
    [
        (None, True, Status.OK),
        (ok(free_bytes=1), True, Status.OK),
        (degraded("slow"), True, Status.DEGRADED),
        (failed("gone"), False, Status.DEGRADED),
        (failed("gone"), True, Status.FAILED),
    ],
)
def test_what_one_check_means_for_the_whole(
    health: Health, finding: Finding | None, critical: bool, whole: Status
) -> None:
    health.add(Check("fine", lambda: None, critical=True))
    health.add(Check("other", lambda: finding, critical=critical))
    report = asyncio.run(health.run())
    assert report.status is whole
    assert report.failing == (() if whole is Status.OK else ("other",))
    assert report.healthy is (whole is not Status.FAILED)


def test_figures_and_message_arrive(health: Health) -> None:
    health.add(Check("disk", lambda: degraded("nearly full", free_bytes=12, path="/srv")))
    (result,) = asyncio.run(health.run()).checks
    assert (result.message, dict(result.figures)) == ("nearly full", {"free_bytes": 12, "path": "/srv"})


def test_what_is_raised_is_the_finding(health: Health) -> None:
    def broken() -> None:
        raise ConnectionRefusedError("nobody listens\nand a page of advice")

    async def broken_too() -> None:
        raise ValueError

    health.add(Check("plain", broken))
    health.add(Check("async", broken_too))
    report = asyncio.run(health.run())
    assert [one.message for one in report.checks] == ["ConnectionRefusedError: nobody listens", "ValueError"]
    assert {one.status for one in report.checks} == {Status.FAILED}


def test_a_check_that_returns_something_else_fails(health: Health) -> None:
    health.add(Check("wrong", lambda: {"status": "ok"}))  # type: ignore[arg-type,return-value]
    (result,) = asyncio.run(health.run()).checks
    assert result.status is Status.FAILED
    assert "returned {'status': 'ok'}" in result.message


def test_checks_run_at_the_same_time(health: Health) -> None:
    """Each waits for all the others: one after another they would all time out."""
    together = threading.Barrier(8)

    def wait() -> None:
        together.wait(20)

    for number in range(8):
        health.add(Check(f"check-{number}", wait, timeout=20))
    assert set(found(health).values()) == {Status.OK}


def test_a_hung_check_fails_alone_and_holds_one_thread(health: Health, gate: threading.Event) -> None:
    begun: list[int] = []

    def hang() -> None:
        begun.append(1)
        gate.wait(60)

    health.add(Check("hung", hang, timeout=0.05))
    health.add(Check("fine", lambda: None))
    for _ in range(5):
        assert found(health) == {"hung": Status.FAILED, "fine": Status.OK}
    (result,) = (one for one in asyncio.run(health.run()).checks if one.name == "hung")
    assert "no answer within 0.05 s" in result.message
    assert len(begun) == 1
    assert sum(thread.name == "health-hung" for thread in threading.enumerate()) == 1


def test_once_it_answers_again_it_is_asked_again(health: Health, gate: threading.Event) -> None:
    health.add(Check("hung", lambda: _wait(gate), timeout=0.05))
    assert found(health) == {"hung": Status.FAILED}
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "health-hung":
            thread.join(20)
    assert found(health) == {"hung": Status.OK}


def test_a_hung_task_is_cancelled(health: Health) -> None:
    cancelled = []

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    health.add(Check("hung", hang, timeout=0.05))
    assert found(health) == {"hung": Status.FAILED}
    assert cancelled == [1]


def test_a_storm_of_probes_is_one_check(health: Health) -> None:
    asked: list[int] = []
    health.add(Check("plain", lambda: asked.append(1), timeout=20))

    async def ask() -> None:
        asked.append(1)
        await asyncio.sleep(0)

    health.add(Check("async", ask))

    async def storm() -> None:
        await asyncio.gather(*(health.run() for _ in range(100)))

    asyncio.run(storm())
    assert len(asked) == 2


def test_a_result_older_than_a_second_is_measured_anew(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    health.add(Check("plain", lambda: asked.append(1)))
    found(health)
    found(health)
    assert len(asked) == 1
    monkeypatch.setattr(checks, "KEPT_SECONDS", 0.0)
    found(health)
    assert len(asked) == 2


def test_a_probe_that_goes_away_leaves_the_run_to_the_others(health: Health, gate: threading.Event) -> None:
    health.add(Check("slow", lambda: _wait(gate), timeout=60))

    async def two() -> Status:
        first, second = (asyncio.create_task(health.run()) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        gate.set()
        return (await second).status

    assert asyncio.run(two()) is Status.OK


def test_live_asks_nobody_and_ready_asks_what_is_critical(health: Health) -> None:
    asked: list[str] = []
    health.add(Check("database", lambda: asked.append("database"), critical=True))
    health.add(Check("disk", lambda: asked.append("disk")))
    assert health.live().status is Status.OK
    assert asked == []
    assert asyncio.run(health.ready()).status is Status.OK
    assert asked == ["database"]


@pytest.mark.parametrize(
    ("phase", "started", "ready"),
    [
        (Phase.STARTING, Status.FAILED, Status.FAILED),
        (Phase.SERVING, Status.OK, Status.OK),
        (Phase.DRAINING, Status.OK, Status.FAILED),
    ],
)
def test_the_phases(health: Health, phase: Phase, started: Status, ready: Status) -> None:
    health.phase = phase
    assert health.startup().status is started
    assert asyncio.run(health.ready()).status is ready
    assert health.live().status is Status.OK


def test_a_degraded_service_is_ready(health: Health) -> None:
    health.add(Check("database", lambda: degraded("slow"), critical=True))
    assert asyncio.run(health.ready()).healthy


def test_two_checks_of_one_name_are_refused(health: Health) -> None:
    health.add(Check("disk", lambda: None))
    with pytest.raises(SettingsError, match="two health checks called 'disk'"):
        health.add(Check("disk", lambda: None))


def test_the_decorator_adds_to_the_process() -> None:
    @health_check("the-test's-own", timeout=5, critical=True)
    def fine() -> Finding:
        return ok(answer=42)

    try:
        report = asyncio.run(run(["the-test's-own"]))
        assert [(one.name, one.figures, one.critical) for one in report.checks] == [
            ("the-test's-own", {"answer": 42}, True)
        ]
        assert fine() == ok(answer=42)
    finally:
        process_health().remove("the-test's-own")


def test_what_a_check_took_is_measured(health: Health) -> None:
    health.add(Check("slow", lambda: time.sleep(0.02)))
    (result,) = asyncio.run(health.run()).checks
    assert result.seconds >= 0.02
