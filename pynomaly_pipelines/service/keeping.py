"""What reading routes work out from tables and models -> kept while those are the same.

Kept is what is the same for everybody: figures, pages, evaluations of one pipeline, each under a key of everything it
was made from, versions of tables included. Who may read it is asked before, with every request; nothing that differs
between callers is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel

from pynomaly_pipelines.operations.cache import Cache, own_cache, tags
from pynomaly_pipelines.operations.errors import TableError
from pynomaly_pipelines.operations.telemetry.parts import KEPT
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.service.conditional import unchanged
from pynomaly_pipelines.service.specs import digest
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from pynomaly_pipelines.service.context import Service

M = TypeVar("M", bound=BaseModel)
_CHAMPION = tags.champion("")


class Kept:
    """Values by kind, pipeline and what they were made from. Safe to share between threads."""

    def __init__(self, cache: Cache, *, seconds: float, registry_seconds: float, place: Sequence[str]) -> None:
        """`seconds`: how long values are kept, 0 for not at all; those of the registry for `registry_seconds` at most.

        `place` is where tables and models lie: two deployments on one Redis must not read each other's.
        """
        self._cache, self._seconds = cache, seconds
        self._registry_seconds = min(seconds, registry_seconds)
        self._place = hashlib.blake2b("\n".join(place).encode(), digest_size=10).hexdigest()

    def of(self, kind: str, spec: PipelineSpec, made_from: Sequence[object], make: Callable[[], BaseModel]) -> bytes:
        """The JSON of what `make` makes, for everything that follows from `spec` and `made_from` alone."""
        return self._kept(kind, spec, made_from, make, self._seconds, tags.data(spec.name))

    def of_registry(
        self, kind: str, spec: PipelineSpec, made_from: Sequence[object], make: Callable[[], BaseModel]
    ) -> bytes:
        """Likewise of what the registry says, until it is said to have changed.

        What somebody changes in the registry itself is seen after as long as scoring needs to follow it.
        """
        return self._kept(kind, spec, made_from, make, self._registry_seconds, tags.champion(spec.name))

    def _kept(
        self,
        kind: str,
        spec: PipelineSpec,
        made_from: Sequence[object],
        make: Callable[[], BaseModel],
        seconds: float,
        tag: str,
    ) -> bytes:
        found = "kept"

        def compute() -> bytes:
            nonlocal found
            found = "computed"
            return make().model_dump_json().encode()

        if not seconds:
            return compute()
        # Hashed: questions hold what callers wrote.
        told = hashlib.blake2b(repr((spec.name, digest(spec), *made_from)).encode(), digest_size=20).hexdigest()
        value = self._cache.get_or_compute(f"{kind}:{self._place}:{told}", compute, ttl=seconds, tags=[tag])
        KEPT.labels(kind, found).inc()
        return value


def versions(lake: Lake, pipeline: str, nouns: Sequence[str]) -> tuple[int, ...]:
    """The versions of tables as they are now; -1 for one that is not there."""
    return tuple(_version(lake, pipeline, noun) for noun in nouns)


def _version(lake: Lake, pipeline: str, noun: str) -> int:
    try:
        return lake.version(pipeline, noun)
    except TableError:
        return -1


def as_answer(request: Request, response: Response, body: bytes, tag: str) -> Response:
    """JSON that was kept as the answer, with the headers set so far; 304 where the caller has it already."""
    same = unchanged(request, response, tag)
    if same is not None:
        return same
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(body, media_type="application/json", headers=headers)


@asynccontextmanager
async def caching(service: Service) -> AsyncIterator[None]:
    """The cache follows what is invalidated; what this process invalidates itself is so at once."""
    cache, loop = service.cache, asyncio.get_running_loop()
    following: set[asyncio.Task[None]] = set()

    def follow(invalidated: Sequence[str]) -> None:
        for tag in invalidated:
            pipeline = tag.removeprefix(_CHAMPION)
            if tag.startswith(_CHAMPION) and service.champions.held(pipeline) is not None:
                task = loop.create_task(service.champions.refresh(pipeline))
                following.add(task)
                task.add_done_callback(following.discard)

    def heard(invalidated: Sequence[str]) -> None:
        # In the thread that learnt of it; champions belong to the loop.
        if not loop.is_closed():
            loop.call_soon_threadsafe(follow, list(invalidated))

    await cache.start_async()
    cache.listen(heard)
    own_cache(cache)
    try:
        yield
    finally:
        own_cache(None)
        for task in list(following):
            task.cancel()
        await cache.close_async()
