"""A launch of one pipeline -> the runs it takes: their jobs, partitions and tags.

Many partitions become one run per stretch of neighbours, as with new files, and not a Dagster backfill: each run
exists, with its place in the queue, from the moment of the answer, and can be followed and cancelled by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from pynomaly_pipelines.automation.arrivals import not_begun, partition_tags, stretches
from pynomaly_pipelines.operations.errors import DataError, Unprocessable
from pynomaly_pipelines.partitions import WHOLE, Calendar
from pynomaly_pipelines.service.launching.requests import Launch, Span
from pynomaly_pipelines.service.settings import ServiceSettings
from pynomaly_pipelines.spec import PipelineSpec

LAUNCH_TAG, RUN_TAG = "pynomaly/launch", "pynomaly/launch_run"
"""Which launch a run belongs to, and which of its runs it is."""
ACCOUNT_TAG, REQUEST_TAG, TRACE_TAG = "pynomaly/account", "pynomaly/request", "traceparent"
PRIORITY_TAG = "dagster/priority"


@dataclass(frozen=True)
class PlannedRun:
    """A run to be launched."""

    pipeline: str
    part: str
    partitions: tuple[str, ...]
    """Keys, in order; empty for parts and pipelines without."""
    priority: int

    @property
    def job(self) -> str:
        """Dagster's name of the job."""
        return f"{self.pipeline}_{self.part}"

    @property
    def name(self) -> str:
        """The same for the same run, short enough for a tag."""
        told = "\n".join((self.job, *self.partitions))
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def tags(self) -> dict[str, str]:
        """Those that do not depend on who asks."""
        return {
            "pipeline": self.pipeline,
            "pynomaly/trigger": "api",
            PRIORITY_TAG: str(self.priority),
            **partition_tags(self.partitions or [WHOLE]),
        }


def plan(spec: PipelineSpec, asked: Launch, settings: ServiceSettings) -> list[PlannedRun]:
    """The runs of a launch, in the order of their partitions.

    Raises:
        Unprocessable: a partition does not exist or has not begun, or it would be too many.
    """
    try:
        keys = _keys(spec, asked, settings.partitions_per_request)
    except DataError as error:
        raise Unprocessable(error.problem, rule=error.rule, fix=error.fix, where="partitions") from error
    found = [tuple(stretch) for stretch in stretches(spec, keys)] if keys else [()]
    if len(found) > settings.runs_per_request:
        raise Unprocessable(
            f"{len(keys)} partitions of {spec.name!r} make {len(found)} runs",
            rule=f"one launch takes at most {settings.runs_per_request} runs (PYNOMALY_SERVICE_RUNS_PER_REQUEST)",
            fix="ask for fewer at a time, or raise `automation.partitions_per_run` of the pipeline",
            where="partitions",
        )
    return [PlannedRun(spec.name, asked.part, stretch, asked.priority) for stretch in found]


def _keys(spec: PipelineSpec, asked: Launch, most: int) -> list[str]:
    if asked.part == "train" or spec.partition == "whole":
        return _none(spec, asked)
    if asked.partitions is None:
        raise _missing(spec, asked)
    keys = list(islice(_named(spec, asked.partitions), most + 1))
    if len(keys) > most:
        raise Unprocessable(
            f"more than {most} partitions of {spec.name!r} are named",
            rule="PYNOMALY_SERVICE_PARTITIONS_PER_REQUEST bounds them",
            fix="ask for fewer at a time",
            where="partitions",
        )
    early = not_begun(spec, keys, datetime.now(UTC))
    if early:
        raise Unprocessable(
            f"partition {early[0]!r} of {spec.name!r} has not begun",
            rule="a partition can be run when its time has come",
            fix="leave it out",
            where="partitions",
        )
    return sorted(set(keys))


def _none(spec: PipelineSpec, asked: Launch) -> list[str]:
    whole = spec.partition == "whole" and asked.part != "train"
    if asked.partitions is None or (whole and asked.partitions in (WHOLE, [WHOLE])):
        return []
    raise Unprocessable(
        f"{asked.part!r} of {spec.name!r} takes no partitions",
        rule="training chooses its own window" if asked.part == "train" else "the pipeline has `partition: whole`",
        fix="leave `partitions` out",
        where="partitions",
    )


def _named(spec: PipelineSpec, partitions: str | Sequence[str] | Span) -> Iterator[str]:
    calendar = Calendar(spec)
    if isinstance(partitions, Span):
        first, last = calendar.inside(partitions.first), calendar.inside(partitions.last)
        if last < first:
            raise DataError(
                f"the span {first.key} … {last.key} runs backwards", rule="`first` is not after `last`", fix="swap them"
            )
        yield from (part.key for part in calendar.range(first.key, last.key))
    else:
        yield from (calendar.inside(key).key for key in ([partitions] if isinstance(partitions, str) else partitions))


def _missing(spec: PipelineSpec, asked: Launch) -> Unprocessable:
    latest = Calendar(spec).latest_complete(datetime.now(UTC)) or Calendar(spec).first()
    return Unprocessable(
        f"{asked.part!r} of {spec.name!r} needs to know which partitions",
        rule=f"the pipeline has `partition: {spec.partition}`",
        fix=f'name one, a list or a span, for example "partitions": "{latest.key}"',
        where="partitions",
    )
