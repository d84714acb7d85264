"""What a caller asks to be run -> Dagster runs, launched once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pynomaly_pipelines.operations.errors import (
    Conflict,
    DagsterUnsettled,
    Forbidden,
    RequestError,
    TooManyRequests,
)
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import demand
from pynomaly_pipelines.service.launching.answers import DagsterRun
from pynomaly_pipelines.service.launching.client import DagsterClient
from pynomaly_pipelines.service.launching.describing import launched_run
from pynomaly_pipelines.service.launching.idempotency import HEADER, Answer, Busy, Claim, IdempotencyKeys
from pynomaly_pipelines.service.launching.planning import (
    ACCOUNT_TAG,
    LAUNCH_TAG,
    RUN_TAG,
    PlannedRun,
    plan,
)
from pynomaly_pipelines.service.launching.requests import Launch
from pynomaly_pipelines.service.launching.views import Launched
from pynomaly_pipelines.service.settings import ServiceSettings
from pynomaly_pipelines.spec import PipelineSpec

WAIT_STEP_SECONDS = 0.2
SETTLE_SECONDS = 15.0
"""After a lost answer Dagster may still be at it: nobody looks again before."""


@dataclass(frozen=True)
class Ticket:
    """One request's work: which launch it is, and what of it may be there already."""

    launch: str
    resumed: bool = False
    alive: Callable[[], Awaitable[None]] | None = None
    """Called between launches, so that a long request keeps its claim."""


@dataclass(frozen=True)
class Order:
    """One pipeline's launch within a request."""

    pipeline: str
    asked: Launch
    caller: Caller
    number: int = 0
    """Its place in a batch."""
    tags: dict[str, str] = field(default_factory=dict)
    """More tags for its runs: request and trace."""
    needs: Permission = Permission.RUNS_LAUNCH
    """What the caller must hold: a release needs its own permission, and no other."""


class Launcher:
    """Launches runs through Dagster's webserver."""

    def __init__(
        self,
        client: DagsterClient,
        settings: ServiceSettings,
        pipeline: Callable[[str], PipelineSpec],
        keys: IdempotencyKeys,
    ) -> None:
        self._client = client
        self._settings = settings
        self._pipeline = pipeline
        self._keys = keys

    async def launch(self, order: Order, ticket: Ticket) -> Launched:
        """The runs of an order; those that the ticket's launch has already are not launched again.

        Raises:
            NotFound, Forbidden, Unprocessable: it cannot be done.
            TooManyRequests: the account has too many runs in the queue.
            DagsterUnreachable, DagsterError: Dagster did not do it, or not all of it.
        """
        spec = await asyncio.to_thread(self._pipeline, order.pipeline)
        demand(order.caller, order.needs, order.pipeline)
        self._check_priority(order)
        planned = await asyncio.to_thread(plan, spec, order.asked, self._settings)
        there = await self._there(ticket, order) if ticket.resumed else {}
        await self._check_room(order.caller.account, sum(run.name not in there for run in planned))
        runs = []
        for run in planned:
            runs.append(there.get(run.name) or await self._one(run, order, ticket))
            if ticket.alive is not None:
                await ticket.alive()
        return Launched(
            launch=ticket.launch,
            pipeline=order.pipeline,
            part=order.asked.part,
            priority=order.asked.priority,
            runs=tuple(launched_run(run, self._client.url) for run in runs),
        )

    async def once(
        self, account: str, key: str | None, fingerprint: str, work: Callable[[Ticket], Awaitable[Answer]]
    ) -> Answer:
        """The answer of `work`, or the one that the same request was given before.

        Raises:
            Conflict: the key was used for another request, or the first is still being worked on.
        """
        if key is None:
            return await work(Ticket(uuid.uuid4().hex))
        claim = await self._claim(account, key, fingerprint)
        if isinstance(claim, Answer):
            return claim
        try:
            answer = await work(Ticket(claim.launch, claim.resumed, lambda: self._alive(claim)))
        except RequestError:
            await asyncio.to_thread(self._keys.forget, claim)
            raise
        except DagsterUnsettled:
            await asyncio.to_thread(self._keys.renew, claim, SETTLE_SECONDS)
            raise
        except Exception:
            await asyncio.to_thread(self._keys.renew, claim, 0.0)
            raise
        if answer.final:
            await asyncio.to_thread(self._keys.answer, claim, answer)
        else:
            await asyncio.to_thread(self._keys.renew, claim, SETTLE_SECONDS)
        return answer

    async def _claim(self, account: str, key: str, fingerprint: str) -> Claim | Answer:
        waited = 0.0
        while True:
            found = await asyncio.to_thread(self._keys.claim, account, key, fingerprint)
            if not isinstance(found, Busy):
                return found
            if waited >= self._settings.idempotency_wait_seconds:
                raise Conflict(
                    f"the first request with {HEADER} {key!r} is still being worked on",
                    rule=f"its claim holds for another {found.seconds:.0f} s at most",
                    fix="send the same request again a little later",
                )
            await asyncio.sleep(WAIT_STEP_SECONDS)
            waited += WAIT_STEP_SECONDS

    async def _alive(self, claim: Claim) -> None:
        await asyncio.to_thread(self._keys.renew, claim)

    async def _there(self, ticket: Ticket, order: Order) -> dict[str, DagsterRun]:
        """Runs of this order that an earlier attempt launched, by the name of the plan."""
        most = self._settings.runs_per_request * 50
        runs = await self._client.runs(tags={LAUNCH_TAG: ticket.launch}, limit=most)
        mine = f"{order.number}."
        tagged = ((run.tags.get(RUN_TAG, ""), run) for run in runs)
        return {name.removeprefix(mine): run for name, run in tagged if name.startswith(mine)}

    async def _one(self, run: PlannedRun, order: Order, ticket: Ticket) -> DagsterRun:
        name = {LAUNCH_TAG: ticket.launch, RUN_TAG: f"{order.number}.{run.name}"}
        tags = {**run.tags(), ACCOUNT_TAG: order.caller.account, **order.tags, **name}
        try:
            return await self._client.launch(run.job, tags)
        except DagsterUnsettled as error:
            # The answer got lost; the run may be there.
            found = await self._client.runs(tags=name, limit=1)
            if found:
                return found[0]
            raise DagsterUnsettled(
                error.problem,
                rule=f"run {run.job} may have been launched nevertheless",
                fix=f"send the request again with the same {HEADER}, or look at GET /v1/runs?launch={ticket.launch}",
                dependency="dagster",
                retry_after=SETTLE_SECONDS,
            ) from error

    def _check_priority(self, order: Order) -> None:
        free, wanted = self._settings.priority_for_all, order.asked.priority
        if wanted > free and not order.caller.may(Permission.RUNS_PRIORITIZE, order.pipeline):
            raise Forbidden(
                f"{order.caller.name!r} asks for priority {wanted}",
                rule=f"above {free} needs the permission {Permission.RUNS_PRIORITIZE.value!r}",
                fix=f"launch with priority {free} or lower, or ask for it: POST /v1/access-requests",
                where="priority",
            )

    async def _check_room(self, account: str, wanted: int) -> None:
        most = self._settings.queued_runs_per_account
        waiting = await self._client.count(tags={ACCOUNT_TAG: account}, statuses=("QUEUED",))
        if waiting + wanted > most:
            raise TooManyRequests(
                f"{waiting} runs of this account wait in the queue, and {wanted} more are asked for",
                rule=f"an account may have {most} there (PYNOMALY_SERVICE_QUEUED_RUNS_PER_ACCOUNT)",
                fix="wait for some of them, or cancel some",
            )
