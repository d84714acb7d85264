"""The log of a failed run -> the first failure, with the product's code, cause and fix."""

from __future__ import annotations

from collections.abc import Iterable

from pynomaly_pipelines.operations.errors import RunFailed
from pynomaly_pipelines.service.launching.answers import EventPage, LogEvent, Trouble
from pynomaly_pipelines.service.launching.client import DagsterClient
from pynomaly_pipelines.service.launching.views import Failure

PAGE, PAGES = 500, 20
"""A log is read up to here for its failure; steps fail early in what follows them."""
LONGEST = 1000
"""Characters of a message that are passed on."""
STEP_FAILURE, RUN_FAILURE = "ExecutionStepFailureEvent", "RunFailureEvent"


async def failure_of(client: DagsterClient, run_id: str) -> Failure:
    """Why a failed run failed."""
    after, last = None, None
    for _ in range(PAGES):
        page: EventPage | None = await client.events(run_id, after, PAGE)
        if page is None:
            break
        found = first_failure(page.events)
        if found is not None and found.step:
            return found
        last = found or last
        if not page.more:
            break
        after = page.cursor
    return last or Failure(
        code=RunFailed.code, detail="the run failed, and its log does not say why", fix="look at it on Dagster's pages"
    )


def first_failure(events: Iterable[LogEvent]) -> Failure | None:
    """The first step that failed; else why the run as a whole did."""
    whole = None
    for event in events:
        if event.kind == STEP_FAILURE:
            return failure(event)
        if event.kind == RUN_FAILURE:
            whole = whole or failure(event)
    return whole


def failure(event: LogEvent) -> Failure:
    """What one event says: our own errors in their parts, others by their innermost cause."""
    trouble = event.trouble or Trouble()
    code = str(trouble.figures.get("code", RunFailed.code))
    rule, fix = (str(trouble.figures.get(name, "")) for name in ("rule", "fix"))
    said = trouble.description or (trouble.chain[-1] if trouble.chain else event.message)
    return Failure(code=code, detail=_problem_alone(said, rule, fix)[:LONGEST], cause=rule, fix=fix, step=event.step)


def _problem_alone(said: str, rule: str, fix: str) -> str:
    """The message of one of our errors without the rule and the fix, which are told apart."""
    for part in (f"Fix: {fix}" if fix else "", rule):
        said = said.rstrip()
        for ending in (part, f"{part}."):
            if part and said.endswith(ending):
                said = said.removesuffix(ending)
                break
    return said.strip()
