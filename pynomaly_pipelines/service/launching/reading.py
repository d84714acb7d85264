"""Which runs there are for a caller, what they are at, and ending them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pynomaly_pipelines.operations.errors import Conflict, NotFound
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import demand
from pynomaly_pipelines.service.launching.answers import DagsterRun
from pynomaly_pipelines.service.launching.client import DagsterClient, Policy
from pynomaly_pipelines.service.launching.describing import details_view, kind_of, pipeline_of_run, run_view
from pynomaly_pipelines.service.launching.failures import failure_of
from pynomaly_pipelines.service.launching.planning import LAUNCH_TAG
from pynomaly_pipelines.service.launching.queueing import queued
from pynomaly_pipelines.service.launching.states import DAGSTER_STATUS, RunState, run_state
from pynomaly_pipelines.service.launching.views import Cancellation, RunDetailsView, RunsPage

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
SCANNED_AT_ONCE, SCANS = 200, 5
"""A page is filled from so many runs at most: runs of pipelines that the caller does not see cost time too."""


@dataclass(frozen=True)
class Wanted:
    """Which runs a list is to have."""

    pipeline: str | None = None
    states: tuple[RunState, ...] = ()
    kind: str | None = None
    launch: str | None = None


class RunReader:
    """Reads and ends runs on behalf of callers."""

    def __init__(self, client: DagsterClient) -> None:
        self._client = client

    async def page(self, caller: Caller, wanted: Wanted, cursor: str | None, limit: int) -> RunsPage:
        """The newest runs that the caller may see, after the run `cursor`."""
        found: list[DagsterRun] = []
        statuses = [status for state in wanted.states for status in DAGSTER_STATUS[state]]
        tags = {"pipeline": wanted.pipeline, LAUNCH_TAG: wanted.launch}
        chosen = {key: value for key, value in tags.items() if value is not None}
        for _ in range(SCANS):
            runs = await self._client.runs(tags=chosen, statuses=statuses, cursor=cursor, limit=SCANNED_AT_ONCE)
            for run in runs:
                if self._listed(run, caller, wanted):
                    if len(found) == limit:
                        return self._page(found, found[-1].id)
                    found.append(run)
            if len(runs) < SCANNED_AT_ONCE:
                return self._page(found, None)
            cursor = runs[-1].id
        return self._page(found, cursor)

    async def details(self, caller: Caller, run_id: str) -> RunDetailsView:
        """All there is to know of a run.

        Raises:
            NotFound: there is none, or not for this caller.
        """
        found = await self._client.details(run_id) if _ID.fullmatch(run_id) else None
        if found is None or not self._visible(found.run, caller):
            raise no_such_run(run_id)
        state, place = run_state(found.run.status), None
        if state is RunState.QUEUED:
            ids = [run.id for run in await queued(self._client)]
            place = ids.index(run_id) + 1 if run_id in ids else None
        failure = await failure_of(self._client, run_id) if state is RunState.FAILED else None
        return details_view(found, self._client.url, queue_place=place, failure=failure)

    async def visible(self, caller: Caller, run_id: str) -> DagsterRun:
        """A run that the caller may see.

        Raises:
            NotFound: there is none, or not for this caller.
        """
        run = await self._client.run(run_id) if _ID.fullmatch(run_id) else None
        if run is None or not self._visible(run, caller):
            raise no_such_run(run_id)
        return run

    async def cancel(self, caller: Caller, run_id: str, *, force: bool) -> Cancellation:
        """Tell a run to end; with `force`, mark it as canceled whatever its process does.

        Raises:
            NotFound: there is none, or not for this caller.
            Forbidden: the caller may not.
            Conflict: it has ended by itself, or Dagster cannot reach its process.
        """
        run = await self.visible(caller, run_id)
        demand(caller, Permission.RUNS_CANCEL, pipeline_of_run(run))
        state = run_state(run.status)
        if state is RunState.CANCELED:
            return Cancellation(id=run_id, state=state, told="over")
        if state.ended:
            raise _over(run_id, state)
        if state is RunState.CANCELING and not force:
            return Cancellation(id=run_id, state=state, told="before")
        policy: Policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        refused = await self._client.terminate(run_id, policy)
        return self._outcome(run_id, await self._client.run(run_id), refused)

    def _outcome(self, run_id: str, run: DagsterRun | None, refused: str | None) -> Cancellation:
        """What became of it, by what Dagster says now and not by what was hoped."""
        if run is None:
            raise no_such_run(run_id)
        state = run_state(run.status)
        if state in (RunState.CANCELING, RunState.CANCELED):
            return Cancellation(id=run_id, state=state, told="now")
        if state.ended:
            raise _over(run_id, state)
        raise Conflict(
            f"run {run_id} is {state.value} and could not be told to end: {refused or 'Dagster gives no reason'}",
            rule="its process is asked to end through the code server that started it",
            fix="try again; if its process is gone, `?force=true` marks the run as canceled",
        )

    def _listed(self, run: DagsterRun, caller: Caller, wanted: Wanted) -> bool:
        return self._visible(run, caller) and (wanted.kind is None or kind_of(run) == wanted.kind)

    def _visible(self, run: DagsterRun, caller: Caller) -> bool:
        # A run of a command in a terminal has no location; it is recorded in the same instance.
        here = run.location in (self._client.location, "")
        pipeline = pipeline_of_run(run)
        return here and bool(pipeline) and caller.may(Permission.RUNS_READ, pipeline)

    def _page(self, runs: Sequence[DagsterRun], after: str | None) -> RunsPage:
        return RunsPage(runs=tuple(run_view(run, self._client.url) for run in runs), next=after)


def no_such_run(run_id: str) -> NotFound:
    """The same answer for one that is not there and one that the caller may not see."""
    return NotFound(f"there is no run {run_id[:80]!r}", rule="an id of GET /v1/runs is expected", fix="check the id")


def _over(run_id: str, state: RunState) -> Conflict:
    return Conflict(
        f"run {run_id} has {state.value} already",
        rule="a run can be cancelled while it waits or runs",
        fix="nothing is left to cancel",
    )
