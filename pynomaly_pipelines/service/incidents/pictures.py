"""An incident -> its picture, drawn in a thread of its own, a few of them kept."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.errors import TooManyRequests
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.service.incidents.finding import standing_of
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents.following import SCORES
from pynomaly_pipelines.stages.notifications.plots import picture

if TYPE_CHECKING:
    from pynomaly_pipelines.service.context import Service

KEPT = 64
"""Pictures of some tens of kilobytes each."""


class Pictures:
    """Draws, and bounds how many wait for it: a picture costs some hundred milliseconds of processor time."""

    def __init__(self, lake: Lake, threads: int, queue: int) -> None:
        self._lake, self._threads, self._most = lake, threads, threads + queue
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._taken = 0
        self._pool: ThreadPoolExecutor | None = None

    async def of(self, spec: PipelineSpec, id: str) -> bytes:
        """The PNG of the incident with that id.

        Raises:
            NotFound: there is none.
            TooManyRequests: too many wait already.
            TableError: nothing is scored any more.
        """
        if self._taken >= self._most:
            raise _busy(self._taken)
        self._taken += 1
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="drawing")
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._drawn, spec, id)
        # Until it is done, not until somebody stops waiting: a request that is given up still holds its thread.
        future.add_done_callback(self._free)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Take no more work."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _drawn(self, spec: PipelineSpec, id: str) -> bytes:
        incident = standing_of(spec, self._lake, id).incident
        key = (incident, self._lake.version(spec.name, SCORES))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        png = picture(spec, self._lake, incident).png
        with self._lock:
            self._kept[key] = png
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return png

    def _free(self, _done: asyncio.Future[bytes]) -> None:
        self._taken -= 1


def _busy(taken: int) -> TooManyRequests:
    error = TooManyRequests(
        f"{taken} pictures are being drawn or wait already",
        rule="PYNOMALY_SERVICE_PLOT_THREADS and …_PLOT_QUEUE bound them",
        fix="try again in a second, or raise the settings",
    )
    error.retry_after = 1.0
    return error


@asynccontextmanager
async def drawing(service: Service) -> AsyncIterator[None]:
    """While the service runs, pictures can be drawn."""
    yield
    service.pictures.close()
