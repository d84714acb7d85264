"""Dagster's statuses -> what is said of a run and its steps."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run is."""

    CREATED = "created"
    """Recorded, and not yet in the queue."""
    QUEUED = "queued"
    """Waits for its turn."""
    STARTING = "starting"
    """Its process is being started."""
    RUNNING = "running"
    CANCELING = "canceling"
    """Told to stop; its process has not ended yet."""
    CANCELED = "canceled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (RunState.CANCELED, RunState.SUCCEEDED, RunState.FAILED)


DAGSTER_STATUS: dict[RunState, tuple[str, ...]] = {
    RunState.CREATED: ("NOT_STARTED", "MANAGED"),
    RunState.QUEUED: ("QUEUED",),
    RunState.STARTING: ("STARTING",),
    RunState.RUNNING: ("STARTED",),
    RunState.CANCELING: ("CANCELING",),
    RunState.CANCELED: ("CANCELED",),
    RunState.SUCCEEDED: ("SUCCESS",),
    RunState.FAILED: ("FAILURE",),
}
_STATE = {status: state for state, statuses in DAGSTER_STATUS.items() for status in statuses}


def run_state(status: str) -> RunState:
    """The state for Dagster's status."""
    return _STATE[status]


class StepState(StrEnum):
    """Where a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    """A step before it failed, or made nothing."""


_STEP = {
    "": StepState.WAITING,
    "IN_PROGRESS": StepState.RUNNING,
    "SUCCESS": StepState.SUCCEEDED,
    "FAILURE": StepState.FAILED,
    "SKIPPED": StepState.SKIPPED,
}


def step_state(status: str, run: RunState) -> StepState:
    """The state for Dagster's status of a step; steps that a run left behind at its end were skipped."""
    state = _STEP[status]
    if not run.ended:
        return state
    return {StepState.WAITING: StepState.SKIPPED, StepState.RUNNING: StepState.FAILED}.get(state, state)
