"""What all assets of a pipeline share: keys, partitions, retries, code version, and errors told to Dagster."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg

from pynomaly_pipelines import __version__
from pynomaly_pipelines.automation.failures import FAULT
from pynomaly_pipelines.automation.heartbeats import alive, refuse_if_superseded
from pynomaly_pipelines.automation.promotions import GATE_CHECK
from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.operations.faults import Fault, fault_of
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.partitions import WHOLE, Calendar, Partition
from pynomaly_pipelines.spec import PipelineSpec

PARTITIONED = ("raw", "validated", "quarantine", "scores", "drift", "incidents")


TRAINED = ("model", "evaluation", "champion")


CONTRACT_CHECK = "contract"


EXPECTATIONS, GATE, THRESHOLD = "expectations", GATE_CHECK, "threshold"


DRIFTS = {"features": "feature_drift", "scores": "score_drift", "quality": "quality_drift"}
"""Kinds of drift, and the checks that tell of them."""


RELEASED_BY, RELEASE_REASON = "pynomaly/released_by", "pynomaly/reason"
"""Tags of a run that judges quarantined partitions again: who asked for it, and why."""


@dataclass(frozen=True)
class Wiring:
    """What all assets of a pipeline have in common."""

    spec: PipelineSpec

    def key(self, noun: str) -> dg.AssetKey:
        """Asset key of one of the pipeline's nouns."""
        return dg.AssetKey([self.spec.name, noun])

    @property
    def partitions_def(self) -> dg.TimeWindowPartitionsDefinition | None:
        """The partitions as Dagster knows them; None for the whole."""
        return partitions_def(self.spec)

    @property
    def backfill(self) -> dg.BackfillPolicy | None:
        """How many partitions one run takes."""
        if self.partitions_def is None:
            return None
        return dg.BackfillPolicy.multi_run(max_partitions_per_run=self.spec.automation.partitions_per_run)

    @property
    def retries(self) -> dg.RetryPolicy:
        """What a step does about transient faults."""
        return dg.RetryPolicy(
            max_retries=self.spec.automation.retries,
            delay=2,
            backoff=dg.Backoff.EXPONENTIAL,
            jitter=dg.Jitter.FULL,
        )

    def spec_of(self, noun: str, *, deps: list[str], kinds: set[str], description: str, **more: Any) -> dg.AssetSpec:
        """The asset of one noun, with what is the same for all."""
        return dg.AssetSpec(
            self.key(noun),
            deps=[self.key(name) for name in deps],
            kinds=kinds,
            description=description,
            group_name=self.spec.name,
            owners=list(self.spec.owners),
            tags={"pipeline": self.spec.name, "kind": self.spec.kind},
            code_version=code_version(self.spec),
            partitions_def=self.partitions_def if noun in (*PARTITIONED, "aggregated") else None,
            **more,
        )

    def partitions(self, context: dg.AssetExecutionContext) -> list[Partition]:
        """The partitions this run works on."""
        calendar = Calendar(self.spec)
        keys = list(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else [WHOLE]
        return [calendar.partition(key) for key in keys]


def partitions_def(spec: PipelineSpec) -> dg.TimeWindowPartitionsDefinition | None:
    """The pipeline's partitions as Dagster's type; None for the whole."""
    if spec.partition == "whole" or spec.start is None:
        return None
    kinds: dict[str, Callable[..., dg.TimeWindowPartitionsDefinition]] = {
        "hourly": dg.HourlyPartitionsDefinition,
        "daily": dg.DailyPartitionsDefinition,
        "weekly": dg.WeeklyPartitionsDefinition,
        "monthly": dg.MonthlyPartitionsDefinition,
    }
    calendar = Calendar(spec)
    first, end = calendar.first(), calendar.end()
    return kinds[spec.partition](
        start_date=first.key,
        end_date=None if end is None else end.key,
        timezone=str(calendar.zone),
        # The partition that is still filling counts too: its rows are scored as they come.
        end_offset=1 if end is None else 0,
    )


def freshness(spec: PipelineSpec) -> dg.FreshnessPolicy | None:
    """How old scores may be, for Dagster to watch; None where the pipeline does not say."""
    if spec.automation.freshness_hours is None:
        return None
    fail = timedelta(hours=spec.automation.freshness_hours)
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=fail * 0.75)


def code_version(spec: PipelineSpec) -> str:
    """Changes with the product's version and with the pipeline's YAML, so that the UI shows what is stale."""
    return f"{__version__}-{hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:8]}"


def note_of(run: dg.DagsterRun) -> dict[str, str]:
    """What the history of a table says of a commit: the run that made it, and who released rows."""
    tags = {RELEASED_BY: "released by", RELEASE_REASON: "reason"}
    return {"run": run.run_id} | {name: run.tags[tag] for tag, name in tags.items() if tag in run.tags}


def fence(context: dg.AssetExecutionContext) -> Callable[[], None]:
    """What a step asks right before it commits: whether the run is still its own."""
    return lambda: refuse_if_superseded(context.instance, context.run.run_id)


@contextmanager
def told(context: dg.AssetExecutionContext, but: type[PynomalyError] | None = None) -> Iterator[None]:
    """A step at work: alive for others to see, and its errors, `but` that kind, told with what is to be done.

    Everything that stops it becomes a Dagster failure that says which kind of failure it is.
    """
    try:
        with alive(context.instance, context.run.run_id, Settings.from_environment().heartbeat_seconds):
            yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:
        if but is not None and isinstance(error, but):
            raise
        raise _failure(error) from error


def _failure(error: Exception) -> dg.Failure:
    fault = fault_of(error)
    metadata: dict[str, str] = {FAULT: fault.value}
    if isinstance(error, PynomalyError):
        metadata |= {"code": error.code, "rule": error.rule, "fix": error.fix}
        description = str(error)
    else:
        metadata |= {"error": type(error).__name__}
        description = f"{type(error).__name__}: {error}"
    return dg.Failure(description=description, metadata=metadata, allow_retries=fault is Fault.TRANSIENT)
