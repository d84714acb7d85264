"""What receivers were told beside incidents -> the table `told`: a line for each, written after it was taken.

Incidents have their marks in their own log, failed runs in their tags.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    import pyarrow as pa

NOUN = "told"


@dataclass(frozen=True)
class Notice:
    """Something about a pipeline that people are told of once."""

    kind: str
    """`drift` or `promotions`."""
    about: str
    """What it is about; the same for the same thing."""
    headline: str
    lines: tuple[str, ...]
    asset: str
    """The noun its link leads to."""
    note: str = ""
    """What the mark is to remember of it."""


@dataclass(frozen=True)
class Mark:
    """That a receiver was told."""

    at: datetime
    receiver: str
    kind: str
    about: str
    note: str


def write(spec: PipelineSpec, lake: Lake, notice: Notice, receiver: str) -> None:
    """Write that a receiver took a notice; only after it did."""
    import pyarrow as pa

    mark = Mark(datetime.now(UTC), receiver, notice.kind, notice.about, notice.note)
    lake.append(spec.name, NOUN, pa.Table.from_pylist([asdict(mark)], schema=_schema()))


def read(spec: PipelineSpec, lake: Lake) -> list[Mark]:
    """All marks of a pipeline, the earliest first; a few for each training and each episode of drift."""
    if not lake.exists(spec.name, NOUN):
        return []
    return sorted((Mark(**row) for row in lake.read(spec.name, NOUN).to_pylist()), key=lambda mark: mark.at)


def _schema() -> pa.Schema:
    import pyarrow as pa

    texts = [pa.field(name, pa.string()) for name in ("receiver", "kind", "about", "note")]
    return pa.schema([pa.field("at", pa.timestamp("us", "UTC")), *texts])
