"""What the database of generations says -> known in this process, at most a poll old.

A thread looks every `poll_seconds`; notices over Redis tell of an invalidation at once. Where the database can't be
asked for `unknown_after_seconds`, the process no longer knows what was invalidated, and says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from pynomaly_pipelines.operations.cache.generations import Generations
from pynomaly_pipelines.operations.errors import DependencyUnavailable
from pynomaly_pipelines.operations.resilience import is_fault

log = logging.getLogger(__name__)


class Following:
    """Generations as this process knows them. Safe to share between threads."""

    def __init__(
        self,
        source: Generations,
        *,
        poll_seconds: float,
        unknown_after_seconds: float,
        on_news: Callable[[Sequence[str]], None],
    ) -> None:
        """`on_news` is called with the tags that were invalidated, by whichever way it was learnt."""
        self._source = source
        self._on_news = on_news
        self._poll = poll_seconds
        self._unknown_after = unknown_after_seconds
        self._known: dict[str, int] = {}
        self._confirmed = -float("inf")
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._away = False

    @property
    def started(self) -> bool:
        """Whether it follows."""
        return self._thread is not None

    def start(self) -> None:
        """Look once, then keep looking. A database that is down now is looked at again later."""
        with self._starting:
            if self._thread is None:
                self.try_to_look()
                self._thread = threading.Thread(target=self._keep_looking, name="cache-generations", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._poll + 1)

    def generation(self, tag: str) -> int:
        """The newest generation of a tag that this process knows of; 0 if it was never invalidated."""
        return self._known.get(tag, 0)

    def stamp(self, tags: Iterable[str]) -> dict[str, int] | None:
        """Tag -> generation; None while it is not known what was invalidated."""
        if time.monotonic() - self._confirmed > self._unknown_after:
            return None
        return {tag: self._known.get(tag, 0) for tag in tags}

    def learn(self, news: Mapping[str, int]) -> None:
        """Take note of generations; older ones than those known are passed over."""
        if all(generation <= self._known.get(tag, 0) for tag, generation in news.items()):
            return
        with self._lock:
            newer = [tag for tag, generation in news.items() if generation > self._known.get(tag, 0)]
            self._known |= {tag: news[tag] for tag in newer}
        self._on_news(newer)

    def seconds_behind(self) -> float:
        """Since the database was last asked with success."""
        return time.monotonic() - self._confirmed

    def look(self) -> None:
        """Ask the database now; its errors pass."""
        # Before the question: what is committed after it is not in the answer.
        asked = time.monotonic()
        self.learn(self._source.read())
        self._confirmed = max(self._confirmed, asked)

    def try_to_look(self) -> None:
        """Ask the database now; if it is down, that is logged."""
        try:
            self.look()
        except Exception as error:
            if not is_fault(error) and not isinstance(error, DependencyUnavailable):
                raise
            if not self._away:
                log.warning("what was invalidated can't be looked up: %s", error)
            self._away = True
        else:
            self._away = False

    def _keep_looking(self) -> None:
        while not self._stop.wait(self._poll):
            self.try_to_look()
