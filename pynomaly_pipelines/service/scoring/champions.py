"""The registry's champions -> those this process scores with: loaded once, kept in bounds, followed without a gap.

A request takes the champion it finds and keeps it to its end, so that an answer never mixes two versions. Whether the
alias moved is looked up beside the requests; the new version is loaded and run once before it takes the place of
the old one. What can't be loaded takes no place: the old version goes on, and health says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import structlog

from pynomaly_pipelines.operations.errors import (
    DependencyUnavailable,
    NoChampion,
    PynomalyError,
    RegistryError,
    RequestError,
)
from pynomaly_pipelines.operations.health import Check, Finding, degraded, ok
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.service.scoring.champion import Champion, make_champion
from pynomaly_pipelines.service.specs import Specs
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.scoring import champion_of, refuse_unsound
from pynomaly_pipelines.stages.thresholds.in_force import ACCEPTED, in_force

if TYPE_CHECKING:
    from pynomaly_pipelines.service.context import Service

MOST_REMEMBERED = 1_000
"""Pipelines without a champion of which that is remembered for a while."""
MIB = 1 << 20
CHECK = "champions"
"""Name of the health check."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Standing:
    """How things stand with the champion of one pipeline."""

    version: int | None
    """The one that scores here; None: none does."""
    problem: str = ""
    """Why another, or the same anew, could not be loaded; empty if all is well."""
    since: float = 0.0
    """When the problem was first met, on the monotonic clock."""


@dataclass(frozen=True)
class _Held:
    champion: Champion
    seen: object
    """What the registry and the spec said when it was loaded; loaded anew when they say something else."""


@dataclass(frozen=True)
class _Absent:
    error: PynomalyError
    until: float


class Champions:
    """The champions of one process. All but loading happens on the event loop's thread."""

    def __init__(
        self,
        specs: Specs,
        lake: Lake,
        registry: Registry,
        *,
        poll_seconds: float,
        memory_mb: int,
        most_rows: int,
    ) -> None:
        self._specs, self._lake, self._registry = specs, lake, registry
        self._poll, self._memory, self._most_rows = poll_seconds, memory_mb * MIB, most_rows
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._absent: OrderedDict[str, _Absent] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Champion]] = {}
        self._standing: dict[str, Standing] = {}
        # One at a time: loading is no hurry, and two large models at once need twice the memory.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="champions")

    # ---------------------------------------------------------------------------------------------- of a request

    def held(self, pipeline: str) -> Champion | None:
        """The loaded champion; None where it is to be asked for with `of`."""
        found = self._held.get(pipeline)
        if found is None:
            return None
        self._held.move_to_end(pipeline)
        return found.champion

    async def of(self, pipeline: str) -> Champion:
        """The champion of a pipeline, loaded if it is not yet: by one request for all that wait.

        Raises:
            NotFound: there is no such pipeline.
            NoChampion: none was promoted yet.
            Unprocessable: its points are scored by runs alone.
            DependencyUnavailable: it can't be fetched, or its files are not what was registered.
        """
        found = self.held(pipeline)
        if found is not None:
            return found
        absent = self._absent.get(pipeline)
        if absent is not None and time.monotonic() < absent.until:
            raise absent.error
        return await asyncio.shield(self._load(pipeline))

    # -------------------------------------------------------------------------------------------- of the registry

    async def refresh(self, pipeline: str) -> None:
        """Follow the registry at once, after a promotion; nothing is raised where the new one can't be loaded."""
        self._absent.pop(pipeline, None)
        under_way = self._loading.get(pipeline)
        if under_way is not None:
            # It may have looked before the promotion.
            await asyncio.wait({under_way})
        with contextlib.suppress(PynomalyError, OSError):
            await asyncio.shield(self._load(pipeline))

    async def warm(self) -> None:
        """Load the champions of all pipelines that have one."""
        for spec in await self._in_thread(self._specs.all):
            await self.refresh(spec.name)

    async def follow(self) -> None:
        """Look for ever, every so many seconds, whether a champion that is held should be another."""
        while True:
            await asyncio.sleep(self._poll)
            for pipeline in list(self._held):
                await self.refresh(pipeline)

    def close(self) -> None:
        """Load no more."""
        self._loader.shutdown(wait=False, cancel_futures=True)

    def standings(self) -> dict[str, Standing]:
        """Pipeline -> how its champion stands here."""
        return dict(self._standing)

    @property
    def bytes(self) -> int:
        """Memory that the loaded champions take."""
        return sum(one.champion.bytes for one in self._held.values())

    def check(self) -> Finding:
        """For health: whether every champion could be followed."""
        troubled = {name: one for name, one in self._standing.items() if one.problem}
        if not troubled:
            return ok(loaded=len(self._held), bytes=self.bytes)
        told = "; ".join(
            f"{name}: {one.problem}; " + (f"version {one.version} goes on" if one.version else "nothing scores")
            for name, one in list(troubled.items())[:5]
        )
        return degraded(told, loaded=len(self._held), bytes=self.bytes)

    # --------------------------------------------------------------------------------------------------- loading

    def _load(self, pipeline: str) -> asyncio.Task[Champion]:
        task = self._loading.get(pipeline)
        if task is None:
            task = self._loading[pipeline] = asyncio.create_task(self._loaded(pipeline))
            task.add_done_callback(lambda done: self._finished(pipeline, done))
        return task

    def _finished(self, pipeline: str, done: asyncio.Task[Champion]) -> None:
        self._loading.pop(pipeline, None)
        if not done.cancelled():
            # Looked at, so that asyncio does not warn where nobody waited for it.
            done.exception()

    async def _loaded(self, pipeline: str) -> Champion:
        before = self._held.get(pipeline)
        try:
            found = await self._in_thread(lambda: self._look(pipeline, before))
        except (PynomalyError, OSError) as error:
            told = self._failed(pipeline, error)
            # An error that is its own cause sends whoever follows causes round in circles.
            raise told from (None if told is error else error)
        except Exception as error:  # whatever a broken file or an unknown server makes a library raise
            raise self._failed(pipeline, _unforeseen(pipeline, error)) from error
        self._keep(pipeline, found)
        return found.champion

    def _look(self, pipeline: str, before: _Held | None) -> _Held:
        """In the loader's thread: what to hold now."""
        spec = self._specs.of(pipeline)
        version = self._registry.champion(pipeline)
        refuse_unsound(version)
        seen = self._seen(spec, version)
        if before is not None and before.seen == seen:
            return self._renewed(before)
        if before is not None and _same_model(before.champion.version, version):
            scorer = before.champion.scorer
            version = in_force(spec, self._lake, self._registry, version, scorer)
        else:
            version, scorer = champion_of(spec, self._lake, self._registry)
        champion = make_champion(spec, version, scorer, self._lake, self._most_rows)
        self._refuse_too_large(champion)
        # The threshold may have been derived anew, and noted in the registry.
        return _Held(champion, self._seen(spec, version))

    def _renewed(self, before: _Held) -> _Held:
        """The same version; of a series, with the past as the lake has it now."""
        champion = before.champion
        way = champion.way.renewed(self._lake)
        return before if way is champion.way else replace(before, champion=replace(champion, way=way))

    def _seen(self, spec: PipelineSpec, version: Version) -> object:
        rule = self._registry.pipeline_tags(spec.name).get(ACCEPTED)
        threshold = {key: value for key, value in version.tags.items() if key.startswith("threshold")}
        return spec, version.number, version.run_id, version.source, threshold, rule

    def _refuse_too_large(self, champion: Champion) -> None:
        if champion.bytes > self._memory:
            raise RegistryError(
                f"champion {champion.version.number} of {champion.spec.name!r} takes {champion.bytes / MIB:.0f} MiB",
                rule=f"all loaded models together take {self._memory // MIB} MiB at most",
                fix="raise PYNOMALY_SERVICE_MODEL_MEMORY_MB, or train a smaller model",
            )

    def _keep(self, pipeline: str, found: _Held) -> None:
        """On the loop: from here on, requests that begin are scored by it."""
        before = self._held.get(pipeline)
        self._held[pipeline] = found
        self._absent.pop(pipeline, None)
        number = found.champion.version.number
        self._standing[pipeline] = Standing(number)
        if before is None or before.champion.version.number != number:
            self._held.move_to_end(pipeline)
            _log.info("champion loaded", pipeline=pipeline, version=number, bytes=found.champion.bytes)
        while self.bytes > self._memory and len(self._held) > 1:
            evicted, _ = self._held.popitem(last=False)
            self._standing.pop(evicted, None)

    def _failed(self, pipeline: str, error: PynomalyError | OSError) -> PynomalyError:
        told = error if isinstance(error, PynomalyError) else _unforeseen(pipeline, error)
        if isinstance(told, NoChampion | RequestError):
            # Not a fault: somebody took the alias or the pipeline away, or there never was one.
            self._held.pop(pipeline, None)
            self._standing.pop(pipeline, None)
        else:
            held, before = self._held.get(pipeline), self._standing.get(pipeline)
            since = before.since if before is not None and before.problem else time.monotonic()
            number = None if held is None else held.champion.version.number
            self._standing[pipeline] = Standing(number, told.problem, since)
            _log.warning("champion not loaded", pipeline=pipeline, code=told.code, problem=told.problem)
        if not isinstance(told, RequestError | NoChampion):
            told = DependencyUnavailable(
                f"pipeline {pipeline!r} can't score now: {told.problem}", rule=told.rule, fix=told.fix
            )
        if pipeline not in self._held:
            self._absent[pipeline] = _Absent(told, time.monotonic() + self._poll)
            while len(self._absent) > MOST_REMEMBERED:
                self._absent.popitem(last=False)
        return told

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._loader, work)


def _same_model(one: Version, other: Version) -> bool:
    return (one.number, one.run_id, one.source) == (other.number, other.run_id, other.source)


def _unforeseen(pipeline: str, error: Exception) -> RegistryError:
    return RegistryError(
        f"the champion of {pipeline!r} can't be loaded: {type(error).__name__}: {str(error)[:200]}",
        rule="the registry and its artifacts can be read, and hold what was registered",
        fix="look at the registry and its artifact store; `pynomaly rollback` takes an earlier version",
    )


@contextlib.asynccontextmanager
async def following(service: Service) -> AsyncIterator[None]:
    """Champions followed until the end; they are loaded by the warming of `lifespan`."""
    champions = service.champions
    service.health.add(Check(CHECK, champions.check))
    task = asyncio.create_task(champions.follow())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        service.health.remove(CHECK)
        champions.close()
        service.workers.close()
