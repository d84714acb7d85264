"""What all assets of a pipeline share: keys, partitions, retries, code version, and errors told to Dagster."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import dagster as dg

from pynomaly_pipelines import __version__
from pynomaly_pipelines.automation.reruns import BAD_DATA
from pynomaly_pipelines.operations.errors import DataError, PynomalyError, SourceError
from pynomaly_pipelines.partitions import WHOLE, Calendar, Partition
from pynomaly_pipelines.spec import PipelineSpec

PARTITIONED = ("raw", "validated", "quarantine", "scores", "drift")


TRAINED = ("model", "evaluation", "champion")


CONTRACT_CHECK = "contract"


EXPECTATIONS, GATE, THRESHOLD = "expectations", "gate", "threshold"


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


def code_version(spec: PipelineSpec) -> str:
    """Changes with the product's version and with the pipeline's YAML, so that the UI shows what is stale."""
    return f"{__version__}-{hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:8]}"


def note_of(run: dg.DagsterRun) -> dict[str, str]:
    """What the history of a table says of a commit: the run that made it, and who released rows."""
    tags = {RELEASED_BY: "released by", RELEASE_REASON: "reason"}
    return {"run": run.run_id} | {name: run.tags[tag] for tag, name in tags.items() if tag in run.tags}


@contextmanager
def told(but: type[PynomalyError] | None = None) -> Iterator[None]:
    """Turn the product's errors, `but` that kind, into Dagster failures that say whether trying again makes sense."""
    try:
        yield
    except PynomalyError as error:
        if but is not None and isinstance(error, but):
            raise
        _fail(error)


def _fail(error: PynomalyError) -> NoReturn:
    bad_data = isinstance(error, DataError | SourceError) and not error.retryable
    raise dg.Failure(
        description=str(error),
        metadata={"code": error.code, "rule": error.rule, "fix": error.fix, BAD_DATA: bad_data},
        allow_retries=error.retryable,
    ) from error
