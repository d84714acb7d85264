"""A value is computed once, kept for its time, and believed until one of its tags is invalidated."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pynomaly_pipelines.operations.cache import Cache, CacheSettings

Make = Callable[..., Cache]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Caches of one deployment, as several processes have them."""
    made: list[Cache] = []

    def new(**more: object) -> Cache:
        chance = more.pop("chance", lambda: 0.0)
        given = {"generations_url": f"sqlite:///{tmp_path}/generations.db", "poll_seconds": 0.02, **more}
        made.append(Cache(CacheSettings.model_validate(given), chance=chance))  # type: ignore[arg-type]
        return made[-1]

    yield new
    for cache in made:
        cache.close()


class Source:
    """Something that takes long, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._lock = threading.Lock()

    def __call__(self) -> bytes:
        with self._lock:
            self.asked += 1
            answer = f"answer {self.asked}".encode()
        assert self.may_answer.wait(30)
        return answer

    async def asynchronously(self) -> bytes:
        self.asked += 1
        answer = f"answer {self.asked}".encode()
        while not self.may_answer.is_set():
            await asyncio.sleep(0.001)
        return answer


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in other threads."""
    waiting = threading.Event()
    for _ in range(3000):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not happen within 30 s")


def test_what_was_set_is_got(make: Make) -> None:
    cache = make()
    assert cache.get("a") is None
    cache.set("a", b"1", ttl=60)
    assert cache.get("a") == b"1"
    figures = cache.figures()
    assert (figures.memory_hits, figures.misses, figures.entries, figures.hit_rate) == (1, 1, 1, 0.5)


def test_after_its_time_it_is_gone(make: Make) -> None:
    cache = make()
    cache.set("a", b"1", ttl=0.0)
    assert cache.get("a") is None
    assert cache.figures().entries == 0


def test_an_invalidated_tag_takes_all_its_values_and_no_others(make: Make) -> None:
    cache = make()
    cache.set("a", b"1", ttl=60, tags=["champion:shop", "data:shop"])
    cache.set("b", b"2", ttl=60, tags=["data:shop"])
    cache.set("c", b"3", ttl=60, tags=["data:other"])
    cache.invalidate("champion:shop")
    assert [cache.get(key) for key in "abc"] == [None, b"2", b"3"]
    cache.invalidate("data:shop", "data:other")
    assert [cache.get(key) for key in "abc"] == [None, None, None]


def test_generations_grow_and_are_shared(make: Make) -> None:
    first, second = make(), make()
    assert first.generation("champion:shop") == 0
    first.invalidate("champion:shop")
    one = first.generation("champion:shop")
    second.invalidate("champion:shop")
    assert second.generation("champion:shop") > one > 0
    until(lambda: first.generation("champion:shop") == second.generation("champion:shop"))


def test_another_process_drops_its_copies_and_tells_who_listens(make: Make) -> None:
    """Without Redis: by looking into the database."""
    here, there = make(), make()
    told: list[str] = []
    there.listen(told.extend)
    there.set("a", b"1", ttl=60, tags=["data:shop"])
    here.invalidate("data:shop")
    until(lambda: told == ["data:shop"])
    assert there.get("a") is None
    assert there.figures().entries == 0


def test_computed_once_for_fifty_threads(make: Make) -> None:
    cache, source = make(), Source()
    source.may_answer.clear()
    with ThreadPoolExecutor(50) as pool:
        calls = [pool.submit(cache.get_or_compute, "a", source, ttl=60) for _ in range(50)]
        until(lambda: cache.figures().misses == 50)
        source.may_answer.set()
        assert {call.result(30) for call in calls} == {b"answer 1"}
    assert source.asked == 1
    assert cache.figures().joined == 49


def test_computed_once_for_fifty_tasks(make: Make) -> None:
    cache, source = make(), Source()

    async def everyone() -> list[bytes]:
        calls = (cache.get_or_compute_async("a", source.asynchronously, ttl=60) for _ in range(50))
        return await asyncio.gather(*calls)

    assert set(asyncio.run(everyone())) == {b"answer 1"}
    assert source.asked == 1


def test_a_failure_is_told_to_everyone_and_not_kept(make: Make) -> None:
    cache, source = make(), Source()

    def broken() -> bytes:
        source()
        raise ConnectionRefusedError("down")

    source.may_answer.clear()
    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(cache.get_or_compute, "a", broken, ttl=60) for _ in range(5)]
        until(lambda: cache.figures().misses == 5)
        source.may_answer.set()
        for call in calls:
            with pytest.raises(ConnectionRefusedError):
                call.result(30)
    assert source.asked == 1
    assert cache.get_or_compute("a", source, ttl=60) == b"answer 2"


def test_whoever_computes_may_be_cancelled(make: Make) -> None:
    """One of those who wait takes over."""
    cache, source = make(), Source()
    source.may_answer.clear()

    async def two() -> bytes:
        calls = [asyncio.create_task(cache.get_or_compute_async("a", source.asynchronously, ttl=60)) for _ in range(2)]
        while cache.figures().misses < 2:
            await asyncio.sleep(0.001)
        calls[0].cancel()
        source.may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await calls[0]
        return await calls[1]

    assert asyncio.run(two()) == b"answer 2"


def test_what_was_invalidated_while_computed_is_not_kept(make: Make) -> None:
    cache, source = make(), Source()
    source.may_answer.clear()
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(cache.get_or_compute, "a", source, ttl=60, tags=["data:shop"])
        until(lambda: source.asked == 1)
        cache.invalidate("data:shop")
        # Who asks from now on must not join the computation that began before.
        late = pool.submit(cache.get_or_compute, "a", source, ttl=60, tags=["data:shop"])
        until(lambda: source.asked == 2)
        source.may_answer.set()
        assert (early.result(30), late.result(30)) == (b"answer 1", b"answer 2")
    assert cache.get_or_compute("a", source, ttl=60, tags=["data:shop"]) in (b"answer 2", b"answer 3")


def test_shortly_before_the_end_one_refreshes_and_the_others_get_the_old_one(make: Make) -> None:
    """A draw of 0 never refreshes early; one of 1 - 2**-53 does within 37 times the computation of the end."""
    draws = iter([0.0])
    cache, source = make(chance=lambda: next(draws, 1.0 - 2**-53)), Source()
    assert cache.get_or_compute("a", lambda: _slowly(source), ttl=3.0) == b"answer 1"
    assert cache.get_or_compute("a", source, ttl=60) == b"answer 1"
    source.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        refresh = pool.submit(cache.get_or_compute, "a", source, ttl=60)
        until(lambda: source.asked == 2)
        assert cache.get_or_compute("a", source, ttl=60) == b"answer 1"
        source.may_answer.set()
        assert refresh.result(30) == b"answer 2"
    assert cache.get_or_compute("a", source, ttl=60) == b"answer 2"
    assert cache.figures().refreshed_early == 1


def _slowly(source: Source) -> bytes:
    threading.Event().wait(0.1)
    return source()


def test_a_failing_refresh_leaves_the_old_value(make: Make) -> None:
    cache, source = make(chance=lambda: 1.0 - 2**-53), Source()
    cache.get_or_compute("a", lambda: _slowly(source), ttl=3.0)

    def broken() -> bytes:
        raise ConnectionRefusedError("down")

    assert cache.get_or_compute("a", broken, ttl=60) == b"answer 1"


def test_memory_is_bounded_and_the_least_used_goes_first(make: Make) -> None:
    cache = make(memory_bytes=10 * (100 + 400 + 40))
    for number in range(10):
        cache.set(str(number), bytes(100), ttl=60)
    cache.get("0")
    kept = cache.figures().entries
    for number in range(10, 15):
        cache.set(str(number), bytes(100), ttl=60)
    figures = cache.figures()
    assert figures.bytes <= 10 * 540
    assert figures.entries <= kept
    assert figures.evicted == 15 - figures.entries
    assert cache.get("0") is not None
    assert cache.get("1") is None


def test_a_value_over_the_bound_is_not_kept(make: Make) -> None:
    cache = make(value_bytes=10)
    cache.set("a", bytes(11), ttl=60)
    assert cache.get("a") is None
    assert cache.get_or_compute("b", lambda: bytes(11), ttl=60) == bytes(11)
    assert (cache.figures().too_large, cache.figures().entries) == (2, 0)


class Away:
    """A database of generations that may be away."""

    def __init__(self) -> None:
        self.away = False
        self.known: dict[str, int] = {}

    def read(self) -> dict[str, int]:
        if self.away:
            raise ConnectionRefusedError("down")
        return dict(self.known)

    def advance(self, tags: object) -> dict[str, int]:
        raise AssertionError("not asked")

    def close(self) -> None:
        """Nothing to close."""


def test_when_it_is_not_known_what_was_invalidated_nothing_is_believed(tmp_path: Path) -> None:
    """Another process may have invalidated it in the database that this one can't reach."""
    database = Away()
    settings = CacheSettings(generations_url="unused", poll_seconds=0.01, unknown_after_seconds=0.1)
    cache, source = Cache(settings, generations=database), Source()
    try:
        assert cache.get_or_compute("a", source, ttl=60, tags=["data:shop"]) == b"answer 1"
        cache.set("untagged", b"1", ttl=60)
        database.away = True
        until(lambda: cache.get("a") is None)
        assert cache.get_or_compute("a", source, ttl=60, tags=["data:shop"]) == b"answer 2"
        assert cache.get("untagged") == b"1"
        assert cache.figures().bypassed >= 1
        database.away = False
        until(lambda: cache.seconds_behind() < 0.1)
        assert cache.get_or_compute("a", source, ttl=60, tags=["data:shop"]) == b"answer 3"
        assert cache.get("a") == b"answer 3"
    finally:
        cache.close()


def test_invalidating_starts_nothing(make: Make) -> None:
    """A run that promotes a model needs no threads for it."""
    before = threading.active_count()
    make().invalidate("champion:shop")
    assert threading.active_count() == before
