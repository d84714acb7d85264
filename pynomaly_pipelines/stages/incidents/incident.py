"""An incident: the anomalies of one entity that belong together in time, with their reasons."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pynomaly_pipelines.resources.tables import PARTITION

if TYPE_CHECKING:
    import pyarrow as pa

NOUN = "incidents"


@dataclass(frozen=True)
class Reason:
    """A column that made rows of an incident anomalous."""

    column: str
    rows: int
    """Of how many rows it is a reason."""
    value: str
    """Its value in the most anomalous of them."""
    usual: str
    share: float
    """Of their scores, on average."""

    def __str__(self) -> str:
        return f"{self.column} = {self.value} (usually {self.usual})"


@dataclass(frozen=True)
class Sample:
    """One row of an incident."""

    time: datetime
    row: str
    """What identifies it, as `column=value, …`."""
    source: str
    score: float
    reasons: str


@dataclass(frozen=True)
class Incident:
    """What was found; what people made of it is in `states`."""

    id: str
    pipeline: str
    entity: str
    """`column=value, …` of the records' entity, the ids of a series; empty where all rows are of one."""
    start: datetime
    end: datetime
    """Times of the first and the last anomaly, UTC."""
    peak: datetime
    """Time of the most anomalous."""
    score: float
    """Its score."""
    anomalies: int
    direction: str
    """`high`, `low` or `both`, as its rows lie above or below what is usual; empty where that can't be said."""
    reasons: tuple[Reason, ...]
    samples: tuple[Sample, ...]
    partitions: tuple[str, ...]
    version: int
    """The model's."""
    quiet: str = ""
    """Why nobody is told of it; empty for one that people are told of."""

    @property
    def headline(self) -> str:
        """What it is, in one line."""
        what = f"{self.anomalies} anomalies" if self.anomalies > 1 else "1 anomaly"
        of = f" of {self.entity}" if self.entity else ""
        why = f": {self.reasons[0]}" if self.reasons else ""
        return f"{self.pipeline}: {what}{of}{why}"

    def known_as(self, id: str) -> Incident:
        """The same under an id that people know already."""
        return replace(self, id=id)


def id_of(pipeline: str, entity: str, start: datetime, end: datetime) -> str:
    """Ten hexadecimal digits, unique in a deployment for all practical purposes."""
    text = "\n".join((pipeline, entity, start.isoformat(), end.isoformat()))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def schema() -> pa.Schema:
    """Columns of the table `incidents`, partitioned by the partition each began in."""
    import pyarrow as pa

    text, moment = pa.string(), pa.timestamp("us", "UTC")
    reason = pa.struct(
        [("column", text), ("rows", pa.int64()), ("value", text), ("usual", text), ("share", pa.float64())]
    )
    sample = pa.struct([("time", moment), ("row", text), ("source", text), ("score", pa.float64()), ("reasons", text)])
    return pa.schema(
        [
            (PARTITION, text),
            ("id", text),
            ("entity", text),
            ("start", moment),
            ("end", moment),
            ("peak", moment),
            ("score", pa.float64()),
            ("anomalies", pa.int64()),
            ("direction", text),
            ("reasons", pa.list_(reason)),
            ("samples", pa.list_(sample)),
            ("partitions", pa.list_(text)),
            ("version", pa.int64()),
            ("quiet", text),
        ]
    )


def to_table(incidents: Sequence[Incident]) -> pa.Table:
    """Rows of the table."""
    import pyarrow as pa

    rows = [{**asdict(found), PARTITION: found.partitions[0]} for found in incidents]
    for row in rows:
        del row["pipeline"]
    return pa.Table.from_pylist(rows, schema=schema())


def from_rows(pipeline: str, table: pa.Table) -> list[Incident]:
    """The incidents of rows of the table, by start."""
    found = [_from_row(pipeline, row) for row in table.to_pylist()]
    return sorted(found, key=lambda incident: (incident.start, incident.entity))


def _from_row(pipeline: str, row: Mapping[str, Any]) -> Incident:
    told = {name: value for name, value in row.items() if name not in (PARTITION, "reasons", "samples", "partitions")}
    return Incident(
        pipeline=pipeline,
        reasons=tuple(Reason(**reason) for reason in row["reasons"]),
        samples=tuple(Sample(**sample) for sample in row["samples"]),
        partitions=tuple(row["partitions"]),
        **told,
    )
