"""What a request may ask for: bodies of launches, bounded and strict."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PRIORITY_LIMIT = 10
PartitionKey = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Part = Literal["ingest", "validate", "train", "score"]
"""The parts of a pipeline that run on their own, as `pipeline.PARTS` has them."""


class Span(BaseModel):
    """Partitions from one to another, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Annotated[PartitionKey, Field(description="The first one.", examples=["2025-03-01"])]
    last: Annotated[PartitionKey, Field(description="The last one.", examples=["2025-03-31"])]


class Launch(BaseModel):
    """What to run of a pipeline."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"part": "train"},
                {"part": "ingest", "partitions": "2025-03-01"},
                {"part": "score", "partitions": {"first": "2025-03-01", "last": "2025-03-31"}, "priority": -5},
            ]
        },
    )

    part: Annotated[
        Part,
        Field(
            description="`ingest`: bring data in and judge it. `validate`: judge it again by the expectations of now. "
            "`train`: make candidates, evaluate them and hold the best against the champion. `score`: score with the "
            "champion."
        ),
    ]
    partitions: Annotated[
        PartitionKey | Annotated[list[PartitionKey], Field(min_length=1, max_length=10_000)] | Span | None,
        Field(
            description="One key, a list, or a span. Neighbours share a run, up to `automation.partitions_per_run` of "
            "the pipeline. Not for `train`, and not for pipelines with `partition: whole`."
        ),
    ] = None
    priority: Annotated[
        int,
        Field(
            strict=True,
            ge=-PRIORITY_LIMIT,
            le=PRIORITY_LIMIT,
            description="Runs of higher priority leave the queue first. Above 0 needs `runs:prioritize`.",
        ),
    ] = 0


class BatchItem(Launch):
    """What to run of which pipeline."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"pipeline": "flights", "part": "train"}]}
    )

    pipeline: Annotated[str, Field(min_length=1, max_length=200, description="Name of the pipeline.")]


class Batch(BaseModel):
    """Several launches at once; each succeeds or fails for itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    launches: Annotated[list[BatchItem], Field(min_length=1, max_length=50)]
