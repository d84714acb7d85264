"""What is told of runs: the bodies of answers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pynomaly_pipelines.service.launching.requests import Span
from pynomaly_pipelines.service.launching.states import RunState, StepState
from pynomaly_pipelines.service.problems import Problem


class View(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class Links(View):
    """Where more is to be had."""

    self: str
    events: str = Field(description="Its progress as server-sent events.")
    cancel: str
    dagster: str = Field(description="The run on Dagster's pages.")


class Failure(View):
    """Why a run or step failed."""

    code: str = Field(description="Code of the product's error; `run-failed` for errors that are not its own.")
    detail: str
    cause: str = Field(default="", description="The rule that was broken.")
    fix: str = ""
    step: str = Field(default="", description="The step it happened in.")


class RunView(View):
    """A run in a list."""

    id: str
    pipeline: str
    kind: str = Field(description="`ingest`, `validate`, `train`, `score`; `assets` for a choice of assets.")
    state: RunState
    partitions: str | Span | None = Field(description="The partition, or the first and last of its range.")
    priority: int
    trigger: str = Field(description="What launched it: `api`, `command`, `arrivals`, `automation`, `schedule`, …")
    launch: str | None = Field(description="The launch it belongs to: GET /v1/runs?launch=…")
    account: str | None = Field(description="The account that launched it through this API.")
    created: datetime
    started: datetime | None
    ended: datetime | None
    seconds: float | None = Field(description="How long it ran, or has been running.")
    links: Links


class StepView(View):
    """A step of a run."""

    name: str
    state: StepState
    started: datetime | None
    ended: datetime | None
    attempts: int
    made: int = Field(description="Partitions of assets made so far.")


class Progress(View):
    """How far a run is."""

    steps: int
    done: int
    failed: int


class RunDetailsView(RunView):
    """A run, with all there is to know of it."""

    queue_place: int | None = Field(description="1: the next to leave the queue. None: not in the queue.")
    waited_seconds: float | None = Field(description="How long it waited, or has been waiting, in the queue.")
    progress: Progress
    steps: tuple[StepView, ...]
    failure: Failure | None


class RunsPage(View):
    """A page of runs, newest first."""

    runs: tuple[RunView, ...]
    next: str | None = Field(description="`cursor` of the next page; None on the last.")


class LaunchedRun(View):
    """A run that a launch made."""

    id: str
    state: RunState
    partitions: str | Span | None
    links: Links


class Launched(View):
    """A launch and its runs, in the order of their partitions."""

    launch: str
    pipeline: str
    part: str
    priority: int
    runs: tuple[LaunchedRun, ...]


class BatchItemView(View):
    """What became of one launch of a batch: `launched` or `problem`."""

    status: int
    launched: Launched | None = None
    problem: Problem | None = None


class BatchView(View):
    """What became of a batch, in the order it was asked."""

    launches: tuple[BatchItemView, ...]


class Cancellation(View):
    """What became of a request to cancel."""

    id: str
    state: RunState
    told: Literal["now", "before", "over"] = Field(
        description="`now`: by this request. `before`: it was being canceled already. `over`: it had been canceled."
    )


class PriorityDepth(View):
    """Waiting runs of one priority."""

    priority: int
    runs: int
    oldest_wait_seconds: float


class PoolView(View):
    """Steps that share slots, such as training."""

    name: str
    limit: int
    active: int
    waiting: int


class QueueView(View):
    """The queue of runs. Figures count the runs of all pipelines, also those that the caller does not see."""

    depth: int
    starting: int
    running: int
    oldest_wait_seconds: float | None
    priorities: tuple[PriorityDepth, ...] = Field(description="Highest first; of the oldest thousand runs.")
    max_concurrent_runs: int | None = Field(description="None: no limit is set.")
    default_pool_limit: int | None = Field(description="Slots of a pool that has no limit of its own.")
    pools: tuple[PoolView, ...]
    at: datetime
