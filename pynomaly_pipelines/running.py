"""A pipeline and partitions -> Dagster runs in this process, one after another, each recorded like any other run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from pynomaly_pipelines.automation.arrivals import partition_tags, stretches
from pynomaly_pipelines.automation.failures import FAULT, refused_partitions
from pynomaly_pipelines.operations.errors import DataError, RunFailed
from pynomaly_pipelines.operations.faults import Fault
from pynomaly_pipelines.operations.local_sqlite import fewer_flushes
from pynomaly_pipelines.partitions import WHOLE, Calendar
from pynomaly_pipelines.pipeline import standalone
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.spec import PipelineSpec

NOT_THE_DATA = (Fault.SETTING, Fault.TRANSIENT)
"""What every partition would meet: looking for the one that causes it is in vain."""
SAME_ERROR = 3
"""So many partitions that fail with the same words, and none that does not: all would."""
Progress = Callable[[str, int, int], None]
"""Called with the part that runs, partitions done and partitions in all."""


@dataclass
class Outcome:
    """What a series of runs did."""

    runs: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Partition -> why it was refused."""
    failed: dict[str, str] = field(default_factory=dict)
    """Partition -> the error that stopped its run."""
    succeeded: int = 0
    """Runs that did all of their partitions."""

    def always_fails(self, why: str) -> bool:
        """Whether this error, met once more, would be met by every partition."""
        return self.succeeded == 0 and list(self.failed.values()).count(why) >= SAME_ERROR


class Runner:
    """Runs the parts of one pipeline in this process."""

    def __init__(
        self,
        project: Project,
        spec: PipelineSpec,
        progress: Progress = lambda *_: None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Runs carry these tags besides their own."""
        self.spec = spec
        self._instance = project.instance()
        self._progress = progress
        self._tags = {"pipeline": spec.name, "pynomaly/trigger": "command", **(tags or {})}
        self._defs = standalone(spec, project.settings)

    def ingest(self, keys: Sequence[str]) -> Outcome:
        """Ingest and validate partitions; one that is refused does not hold up the others."""
        return self._over(keys, "ingest")

    def validate(self, keys: Sequence[str]) -> Outcome:
        """Judge what has been ingested again, by the expectations of now."""
        return self._over(keys, "validate")

    def score(self, keys: Sequence[str]) -> Outcome:
        """Score partitions with the champion."""
        return self._over(keys, "score")

    def train(self) -> Outcome:
        """Train, evaluate and hold the challenger against the champion.

        Raises:
            RunFailed: one of the three did not succeed.
        """
        outcome = Outcome()
        self._progress("train", 0, 1)
        result = self._execute("train", [])
        outcome.runs.append(result.run_id)
        if not result.success:
            raise _run_failed(result)
        self._progress("train", 1, 1)
        return outcome

    def waiting(self, run_id: str) -> str | None:
        """Why a training made no model, if it waits for data."""
        records = self._instance.fetch_observations(dg.AssetKey([self.spec.name, "model"]), limit=1).records
        if not records or records[0].run_id != run_id or records[0].asset_observation is None:
            return None
        return str(records[0].asset_observation.metadata["waiting"].value)

    def _over(self, keys: Sequence[str], part: str) -> Outcome:
        outcome, done = Outcome(), 0
        for stretch in stretches(self.spec, keys):
            self._progress(part, done, len(keys))
            self._stretch(part, stretch, outcome)
            done += len(stretch)
        self._progress(part, len(keys), len(keys))
        return outcome

    def _stretch(self, part: str, stretch: Sequence[str], outcome: Outcome) -> None:
        result = self._execute(part, stretch)
        outcome.runs.append(result.run_id)
        if result.success:
            outcome.succeeded += 1
            return
        refused = refused_partitions(self._instance, result.run_id)
        if refused:
            outcome.refused |= refused
            self._rest(part, [key for key in stretch if key not in refused], result, outcome)
        elif _fault(result) in NOT_THE_DATA or outcome.always_fails(_why(result)):
            raise _run_failed(result)
        elif len(stretch) == 1:
            outcome.failed[stretch[0]] = _why(result)
        else:
            self._halves(part, stretch, outcome)

    def _rest(self, part: str, good: Sequence[str], result: dg.ExecuteInProcessResult, outcome: Outcome) -> None:
        """What a refusal at the first step kept from being validated; after a later one nothing is left to do."""
        validated = dg.AssetKey([self.spec.name, "validated"])
        if not any(event.asset_key == validated for event in result.all_events if event.is_step_materialization):
            for stretch in stretches(self.spec, good):
                self._stretch(part, stretch, outcome)

    def _halves(self, part: str, stretch: Sequence[str], outcome: Outcome) -> None:
        """Find the partition that stops its range by halving; the others go through."""
        middle = len(stretch) // 2
        for half in (stretch[:middle], stretch[middle:]):
            self._stretch(part, half, outcome)

    def _execute(self, part: str, stretch: Sequence[str]) -> dg.ExecuteInProcessResult:
        job = self._defs.resolve_job_def(f"{self.spec.name}_{part}")
        tags = {**self._tags, **partition_tags(stretch or [WHOLE])}
        # The event log keeps everything; on the terminal a person wants the bars and one line per problem.
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with fewer_flushes():
            return job.execute_in_process(quiet, instance=self._instance, tags=tags, raise_on_error=False)


def choose(
    spec: PipelineSpec, known: Sequence[str], partition: str | None, span: tuple[str | None, str | None]
) -> list[str]:
    """The partitions a command names: one, a range, or all that have files.

    Args:
        known: partitions that files were found for, in order.

    Raises:
        DataError: a key does not exist, or the range runs backwards.
    """
    calendar = Calendar(spec)
    first, last = span
    if spec.partition == "whole":
        return [calendar.partition(partition or first or last or WHOLE).key]
    if partition is not None:
        return [calendar.inside(partition).key]
    if first is None and last is None:
        return list(known)
    keys = list(known) or [calendar.first().key]
    start, stop = (calendar.inside(key) for key in (first or keys[0], last or keys[-1]))
    if stop < start:
        raise DataError(
            f"the range {start.key} … {stop.key} runs backwards", rule="--from is not after --to", fix="swap them"
        )
    return [part.key for part in calendar.range(start.key, stop.key)]


def _why(result: dg.ExecuteInProcessResult) -> str:
    """The first failure of a run, in one line."""
    return next(_failures(result), f"run {result.run_id} failed")


def _run_failed(result: dg.ExecuteInProcessResult) -> RunFailed:
    return RunFailed(_why(result), rule=f"run {result.run_id} has the details", fix="mend the cause and run again")


def _fault(result: dg.ExecuteInProcessResult) -> Fault:
    """What kind of failure stopped a run; a step that says nothing of it has a bug."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data is not None:
            metadata = event.step_failure_data.user_failure_data.metadata
            return Fault(str(metadata[FAULT].value)) if FAULT in metadata else Fault.DATA
    return Fault.BUG


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                yield data.user_failure_data.description
            elif data.error is not None:
                root = data.error
                while root.cause is not None:
                    root = root.cause
                yield root.message.strip()
