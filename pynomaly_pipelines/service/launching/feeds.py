"""Many listeners of a run -> one question to Dagster at a time.

Listeners who are at the same place of a run's log share one task that asks for what comes next. All who have caught up
are at the same place, so that a run is asked for once per interval, however many follow it. The task ends with its last
listener. Nothing is kept: what was told lies in Dagster's log, and memory does not grow with runs or listeners.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pynomaly_pipelines.operations.errors import NotFound
from pynomaly_pipelines.service.launching.answers import EventPage
from pynomaly_pipelines.service.launching.client import DagsterClient

PAGE = 200
"""Log entries asked for at once."""


@dataclass
class _Question:
    """A question under way, and how many wait for its answer."""

    task: asyncio.Task[EventPage]
    listeners: int = 0


class Feeds:
    """What is being asked on behalf of listeners. Belongs to one event loop."""

    def __init__(self, client: DagsterClient, poll_seconds: float, page: int = PAGE) -> None:
        self._client = client
        self._poll_seconds = poll_seconds
        self._page = page
        self._questions: dict[tuple[str, str | None], _Question] = {}

    @property
    def asking(self) -> int:
        """Tasks that ask Dagster now."""
        return len(self._questions)

    async def now(self, run_id: str, cursor: str | None) -> EventPage:
        """What the log holds after a cursor, at once; perhaps nothing.

        Raises:
            NotFound: the run is gone.
        """
        page = await self._client.events(run_id, cursor, self._page)
        if page is None:
            raise NotFound(f"run {run_id!r} was deleted", rule="its log went with it", fix="look at other runs")
        return page

    async def next(self, run_id: str, cursor: str | None) -> EventPage:
        """What comes after a cursor: waits until there is something, or the run has ended.

        Raises:
            NotFound: the run is gone.
            DagsterUnreachable: no answer.
        """
        key = (run_id, cursor)
        question = self._questions.get(key)
        if question is None:
            task = asyncio.create_task(self._watch(run_id, cursor), name=f"run {run_id}")
            question = self._questions[key] = _Question(task)
        question.listeners += 1
        try:
            return await asyncio.shield(question.task)
        finally:
            question.listeners -= 1
            if self._questions.get(key) is question and (question.task.done() or not question.listeners):
                del self._questions[key]
                question.task.cancel()

    async def _watch(self, run_id: str, cursor: str | None) -> EventPage:
        while True:
            page = await self.now(run_id, cursor)
            if page.events or page.last:
                return page
            await asyncio.sleep(self._poll_seconds)
