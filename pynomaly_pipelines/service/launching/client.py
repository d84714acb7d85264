"""Questions to Dagster's webserver -> typed answers, or errors that say what to mend.

Queries are repeated after a fault, within the budget of the dependency `dagster`; what changes something is sent once,
because Dagster has no way to tell a repeated launch from a second one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx

from pynomaly_pipelines.operations.errors import (
    DagsterError,
    DagsterUnreachable,
    DagsterUnsettled,
    DependencyUnavailable,
    JobUnknown,
    LocationNotLoaded,
)
from pynomaly_pipelines.operations.resilience import breaker, retrying
from pynomaly_pipelines.service.launching import queries
from pynomaly_pipelines.service.launching.answers import DagsterRun, EventPage, Limits, RunDetails

REPOSITORY = "__repository__"
"""Dagster's name for the definitions of a code location that names none."""
CONNECTIONS = 20
URL_VARIABLE = "PYNOMALY_SERVICE_DAGSTER_URL"
Policy = Literal["SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY"]


class DagsterClient:
    """Dagster's GraphQL API. Belongs to the event loop it is first used on."""

    def __init__(self, url: str, location: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`location`: the code location whose jobs are launched."""
        self.url = url.rstrip("/")
        self.location = location
        self._breaker, self._retrying = breaker("dagster"), retrying("dagster")
        self._http = httpx.AsyncClient(
            timeout=self._breaker.rules.timeout_seconds,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            # The webserver is ours and near: a proxy for the outside world is not for it.
            trust_env=False,
            transport=transport,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def launch(self, job: str, tags: Mapping[str, str]) -> DagsterRun:
        """Put a run of a job into the queue.

        Raises:
            DagsterUnreachable: nothing was sent.
            DagsterUnsettled: it was sent, and no answer came: the run may exist.
            LocationNotLoaded, JobUnknown: see there.
        """
        params = {
            "selector": {"repositoryName": REPOSITORY, "repositoryLocationName": self.location, "jobName": job},
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = (await self._tell(queries.LAUNCH, {"params": params}))["launchRun"]
        if answer["__typename"] == "LaunchRunSuccess":
            return DagsterRun.from_answer(answer["run"])
        if answer["__typename"] == "PipelineNotFoundError":
            raise await self._why_no_job(job)
        raise _refused(answer)

    async def runs(
        self,
        *,
        tags: Mapping[str, str] | None = None,
        job: str | None = None,
        statuses: Sequence[str] = (),
        cursor: str | None = None,
        limit: int = 100,
    ) -> list[DagsterRun]:
        """Runs, newest first, from the one after `cursor` (the id of a run) on."""
        chosen = _filter(tags, job, statuses)
        answer = await self._ask(queries.RUNS, {"filter": chosen, "cursor": cursor, "limit": limit})
        return [DagsterRun.from_answer(run) for run in _good(answer["runsOrError"], "Runs")["results"]]

    async def count(self, *, tags: Mapping[str, str] | None = None, statuses: Sequence[str] = ()) -> int:
        """How many runs there are."""
        answer = await self._ask(queries.COUNT, {"filter": _filter(tags, None, statuses)})
        return int(_good(answer["runsOrError"], "Runs")["count"])

    async def run(self, run_id: str) -> DagsterRun | None:
        """One run; None if there is none."""
        found = (await self._ask(queries.ROOT, {"id": run_id}))["runOrError"]
        return None if _missing(found) else DagsterRun.from_answer(_good(found, "Run"))

    async def details(self, run_id: str) -> RunDetails | None:
        """One run with its steps; None if there is none."""
        found = (await self._ask(queries.RUN, {"id": run_id}))["runOrError"]
        return None if _missing(found) else RunDetails.from_answer(_good(found, "Run"))

    async def events(self, run_id: str, after: str | None, limit: int) -> EventPage | None:
        """A piece of a run's log; None if the run is gone."""
        answer = await self._ask(queries.EVENTS, {"id": run_id, "after": after, "limit": limit})
        if _missing(answer["runOrError"]):
            return None
        return EventPage.from_answer(_good(answer["runOrError"], "Run"), _good(answer["logsForRun"], "EventConnection"))

    async def terminate(self, run_id: str, policy: Policy) -> str | None:
        """Ask a run to end. Returns why that was not possible, in Dagster's words; None if it was."""
        answer = (await self._tell(queries.TERMINATE, {"id": run_id, "policy": policy}))["terminateRun"]
        if answer["__typename"] == "TerminateRunSuccess":
            return None
        if answer["__typename"] == "TerminateRunFailure":
            return str(answer["message"])
        raise _refused(answer)

    async def limits(self) -> Limits:
        """How much may run at the same time."""
        return Limits.from_answer((await self._ask(queries.LIMITS, {}))["instance"])

    async def _why_no_job(self, job: str) -> DagsterError:
        answer = (await self._ask(queries.LOCATION, {"location": self.location}))["workspaceLocationEntryOrError"]
        if answer is None or answer["__typename"] != "WorkspaceLocationEntry":
            return self._not_loaded("the webserver does not know it")
        loaded = answer["locationOrLoadError"]
        if answer["loadStatus"] == "LOADING" or loaded is None:
            return self._not_loaded("it is loading")
        if loaded["__typename"] == "PythonError":
            return self._not_loaded(loaded["message"].strip().splitlines()[0])
        return JobUnknown(
            f"the code location {self.location!r} has no job {job!r}",
            rule="Dagster runs the pipelines that its code server loaded at its start",
            fix=f"reload the location, or restart the code server, so that it reads the pipeline's defs.yaml ({job})",
        )

    def _not_loaded(self, why: str) -> LocationNotLoaded:
        return LocationNotLoaded(
            f"Dagster has not loaded the code location {self.location!r}: {why}",
            rule="runs are launched from the location that PYNOMALY_SERVICE_DAGSTER_LOCATION names",
            fix="look at the code server's log, or correct the variable",
        )

    async def _ask(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """A query: repeated after a fault."""
        try:
            return await self._retrying.call_async(self._send, query, variables)
        except (httpx.TransportError, httpx.HTTPStatusError, TimeoutError, DependencyUnavailable) as error:
            raise self._unreachable(error) from error

    async def _tell(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """A mutation: sent once."""
        try:
            return await self._breaker.call_async(self._send, query, variables)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, DependencyUnavailable) as error:
            raise self._unreachable(error) from error
        except (httpx.TransportError, httpx.HTTPStatusError, TimeoutError) as error:
            known = self._unreachable(error)
            raise DagsterUnsettled(
                known.problem, rule=known.rule, fix=known.fix, dependency="dagster", retry_after=known.retry_after
            ) from error

    async def _send(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self._http.post(f"{self.url}/graphql", json={"query": query, "variables": dict(variables)})
        # Dagster answers 500 with a GraphQL body when one of its resolvers raised; a proxy answers 502 without one.
        if "application/json" not in answer.headers.get("content-type", ""):
            answer.raise_for_status()
            raise DagsterError(
                f"{self.url} is not Dagster's webserver: it answered {answer.status_code}, not JSON",
                rule=f"{URL_VARIABLE} is the address of a Dagster webserver",
                fix="correct it",
            )
        told = answer.json()
        if not isinstance(told, dict) or told.get("data") is None:
            raise _refused({"message": _first_error(told)})
        found: dict[str, Any] = told["data"]
        return found

    def _unreachable(self, error: Exception) -> DagsterUnreachable:
        wait = error.retry_after if isinstance(error, DependencyUnavailable) else self._breaker.rules.open_seconds
        why = error.problem if isinstance(error, DependencyUnavailable) else f"{type(error).__name__} {error}".strip()
        return DagsterUnreachable(
            f"Dagster's webserver at {self.url} gives no answer: {why}",
            rule=f"runs are launched and read through the webserver that {URL_VARIABLE} names",
            fix=f"start it, or correct {URL_VARIABLE}",
            dependency="dagster",
            retry_after=wait,
        )


def _filter(tags: Mapping[str, str] | None, job: str | None, statuses: Sequence[str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    if tags:
        chosen["tags"] = [{"key": key, "value": value} for key, value in tags.items()]
    if job:
        chosen["pipelineName"] = job
    if statuses:
        chosen["statuses"] = list(statuses)
    return chosen


def _missing(found: Mapping[str, Any]) -> bool:
    return bool(found["__typename"] == "RunNotFoundError")


def _good(found: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    if found["__typename"] != kind:
        raise _refused(found)
    return found


def _first_error(told: object) -> str:
    errors = told.get("errors") if isinstance(told, dict) else None
    return str(errors[0].get("message", "")) if errors else "an answer without data"


def _refused(found: Mapping[str, Any]) -> DagsterError:
    lines = str(found.get("message", "")).strip().splitlines()
    return DagsterError(
        f"Dagster could not do it: {lines[0] if lines else found.get('__typename', 'no reason given')}",
        rule="the service speaks to the GraphQL API of Dagster 1.13",
        fix="the webserver's log has the details",
    )
