"""Redis refused, hung, emptied, back again: whoever asks the cache goes on, and never gets what was invalidated."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pynomaly_pipelines.operations.cache import Cache, CacheSettings
from pynomaly_pipelines.operations.resilience import State, breaker, dependencies
from tests.servers import Redis

TAG = "champion:shop"
Make = Callable[[], Cache]


@pytest.fixture(autouse=True)
def _fresh_breakers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Breakers of the test's own, which stay open for 0.2 s."""
    monkeypatch.setenv("PYNOMALY_BREAKER_REDIS_OPEN_SECONDS", "0.2")
    dependencies.cache_clear()
    yield
    dependencies.cache_clear()


@pytest.fixture
def make(redis: Redis, tmp_path: Path) -> Iterator[Make]:
    """Caches as several processes have them: they share Redis and the database of generations, nothing else."""
    made: list[Cache] = []

    def new() -> Cache:
        settings = CacheSettings(
            redis_url=redis.url, generations_url=f"sqlite:///{tmp_path}/generations.db", poll_seconds=0.05
        )
        made.append(Cache(settings, chance=lambda: 0.0))
        return made[-1]

    yield new
    for cache in made:
        cache.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in other threads."""
    waiting = threading.Event()
    for _ in range(3000):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not happen within 30 s")


def test_processes_share_values(make: Make) -> None:
    here, there = make(), make()
    here.set("a", b"\x00\xff", ttl=60, tags=[TAG])
    assert there.get("a") == b"\x00\xff"
    assert there.get("a") == b"\x00\xff"
    assert (there.figures().redis_hits, there.figures().memory_hits) == (1, 1)


def test_one_process_computes_for_all(make: Make) -> None:
    """The lock is Redis': the second cache knows nothing of the first."""
    here, there = make(), make()
    began, may_end = threading.Event(), threading.Event()

    def slow() -> bytes:
        began.set()
        assert may_end.wait(30)
        return b"here"

    answers: list[bytes] = []
    first = threading.Thread(target=lambda: answers.append(here.get_or_compute("a", slow, ttl=60)))
    second = threading.Thread(target=lambda: answers.append(there.get_or_compute("a", lambda: b"there", ttl=60)))
    first.start()
    assert began.wait(30)
    second.start()
    until(lambda: there.figures().misses == 1)
    may_end.set()
    first.join(30)
    second.join(30)
    assert answers == [b"here", b"here"]
    assert (there.figures().computed, there.figures().waited) == (0, 1)


@pytest.mark.slow
def test_a_process_killed_while_it_computes_holds_the_others_for_the_lease_only(
    redis: Redis, make: Make, tmp_path: Path
) -> None:
    code = (
        "import sys, time\n"
        "from pynomaly_pipelines.operations.cache import Cache, CacheSettings\n"
        f"cache = Cache(CacheSettings(redis_url={redis.url!r}, lock_seconds=1.0,"
        f" generations_url='sqlite:///{tmp_path}/generations.db'))\n"
        "def compute():\n    print('computing', flush=True)\n    time.sleep(600)\n"
        "cache.get_or_compute('a', compute, ttl=60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"computing\n"
        process.kill()
        process.wait(30)
    cache = make()
    assert cache.get_or_compute("a", lambda: b"there", ttl=60) == b"there"
    assert cache.figures().computed == 1


def test_a_notice_reaches_other_processes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not their look into the database: that one sees nothing here."""
    here, there = make(), make()
    there.set("a", b"1", ttl=60, tags=[TAG])
    until(lambda: there._notices is not None and there._notices.listening.is_set())
    monkeypatch.setattr(there._generations, "read", lambda: {})
    here.invalidate(TAG)
    until(lambda: there.generation(TAG) > 0)
    assert there.get("a") is None


# ------------------------------------------------------------------------------------------------- refused, hung


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_away_it_costs_one_time_out_then_nothing(redis: Redis, make: Make, fault: str) -> None:
    cache = make()
    cache.set("before", b"1", ttl=60, tags=[TAG])
    getattr(redis, fault)()
    asked = 0

    def compute() -> bytes:
        nonlocal asked
        asked += 1
        return b"computed"

    # In memory it is found as before.
    assert cache.get("before") == b"1"
    before = cache.figures().redis_seconds
    assert cache.get_or_compute("a", compute, ttl=60) == b"computed"
    # The first call met the fault, the other three of a computation (lock, look, keep) were not made.
    first = cache.figures().redis_seconds - before
    assert first < 0.25 + 0.2
    figures = breaker("redis").figures()
    assert (figures.state, figures.faults) == (State.OPEN, 1)
    assert figures.refused >= 3
    assert cache.get("a") == b"computed"
    assert asked == 1
    if fault == "hang":
        redis.go_on()


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_tasks_go_on_too_and_the_loop_is_not_blocked(redis: Redis, make: Make, fault: str) -> None:
    cache = make()

    async def compute() -> bytes:
        return b"computed"

    async def everyone() -> tuple[list[bytes], int]:
        await cache.set_async("before", b"1", ttl=60)
        getattr(redis, fault)()
        beats = 0

        async def heartbeat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.005)
                beats += 1

        beat = asyncio.create_task(heartbeat())
        calls = (cache.get_or_compute_async(str(number), compute, ttl=60) for number in range(50))
        found = await asyncio.gather(*calls)
        beat.cancel()
        await cache.close_async()
        return found, beats

    found, beats = asyncio.run(everyone())
    if fault == "hang":
        # The time-out is 50 beats long; a call that blocked the loop would leave one or two.
        assert beats > 5
    assert found == [b"computed"] * 50
    assert breaker("redis").state is not State.CLOSED
    if fault == "hang":
        redis.go_on()


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_back_again_one_probe_finds_it(redis: Redis, make: Make, fault: str) -> None:
    cache = make()
    cache.set("a", b"1", ttl=60)
    getattr(redis, fault)()
    assert cache.get("b") is None
    assert breaker("redis").figures().faults == 1
    redis.go_on() if fault == "hang" else redis.start()
    until(lambda: breaker("redis").state is State.HALF_OPEN)
    cache.set("c", b"3", ttl=60)
    assert breaker("redis").state is State.CLOSED
    assert make().get("c") == b"3"
    assert breaker("redis").figures().faults == 1


def test_emptied_it_is_filled_again(redis: Redis, make: Make) -> None:
    here, there = make(), make()
    assert here.get_or_compute("a", lambda: b"1", ttl=60, tags=[TAG]) == b"1"
    redis.flush()
    assert there.get_or_compute("a", lambda: b"2", ttl=60, tags=[TAG]) == b"2"
    here.invalidate(TAG)
    redis.flush()
    assert here.get("a") is None
    until(lambda: there.generation(TAG) == here.generation(TAG))
    assert there.get("a") is None


# ------------------------------------------------------------------------------- never what was invalidated


@pytest.mark.parametrize("reader_began", ["before", "after"])
def test_what_a_hung_redis_kept_is_not_believed_when_it_comes_back(redis: Redis, make: Make, reader_began: str) -> None:
    """The invalidation can't be delivered to Redis, where the old value survives."""
    writer = make()
    writer.set("a", b"old champion", ttl=60, tags=[TAG])
    early = make()
    assert early.get("a") == b"old champion"
    redis.hang()
    writer.invalidate(TAG)
    redis.go_on()
    until(lambda: breaker("redis").state is not State.OPEN)
    with redis.client() as client:
        assert any(b"old champion" in client.get(key) for key in client.keys("*:a"))
    reader = early if reader_began == "before" else make()
    if reader is early:
        until(lambda: reader.generation(TAG) > 0)
    assert reader.get("a") is None
    assert reader.get_or_compute("a", lambda: b"new champion", ttl=60, tags=[TAG]) == b"new champion"
    assert writer.get("a") == b"new champion"


def test_a_process_that_knows_less_does_not_spoil_what_others_believe(redis: Redis, make: Make) -> None:
    """Here is ahead; there has not looked yet, but learns the generation from the entry it reads."""
    here, there = make(), make()
    there.start()
    there._following.stop()
    until(lambda: there._notices is not None and there._notices.listening.is_set())
    there._notices.stop()  # type: ignore[union-attr]
    here.invalidate(TAG)
    here.set("a", b"new", ttl=60, tags=[TAG])
    assert there.generation(TAG) == 0
    assert there.get("a") == b"new"
    assert there.generation(TAG) == here.generation(TAG)


def test_what_others_put_there_is_passed_over(redis: Redis, make: Make) -> None:
    cache = make()
    cache.set("a", b"1", ttl=60)
    with redis.client() as client:
        (key,) = client.keys("*:a")
        for rubbish in (b"", b"x", b"PYN1\x00\x00\x00\x05{}", b"PYN1\xff\xff\xff\xff{}", b"PYN1\x00\x00\x00\x02[]"):
            client.set(key, rubbish)
            assert make().get("a") is None
        client.publish("pynomaly:1:invalidated", b"rubbish")
        client.publish("pynomaly:1:invalidated", b'["a"]')
    cache.invalidate(TAG)
    assert cache.get("a") == b"1"


def test_a_full_redis_is_no_fault_of_its_own(redis: Redis, make: Make) -> None:
    """Without eviction it refuses to store: each process keeps its own, reading goes on."""
    with redis.client() as client:
        client.config_set("maxmemory", "1mb")
        client.config_set("maxmemory-policy", "noeviction")
    cache = make()
    cache.set("a", bytes(900_000), ttl=60)
    assert cache.get("a") == bytes(900_000)
    assert breaker("redis").state is State.CLOSED
    assert cache.figures().redis_failures >= 1


def test_keys_name_product_format_and_version(redis: Redis, make: Make) -> None:
    from pynomaly_pipelines import __version__

    make().set("scores/shop", b"1", ttl=60)
    make().set("x" * 1000, b"1", ttl=60)
    with redis.client() as client:
        keys = sorted(client.keys("*"), key=len)
        assert keys[0] == f"pynomaly:1:{__version__}:scores/shop".encode()
        assert len(keys[1]) < 100
        assert all(0 < client.pttl(key) <= 60_000 for key in keys)
