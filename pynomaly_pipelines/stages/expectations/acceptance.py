"""Quarantined rows that a person lets through: known by their content, so that the decision outlives a re-delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.resources.tables import PARTITION, Commit, Lake
from pynomaly_pipelines.spec import RESERVED_PREFIX, PipelineSpec

ACCEPTED = "accepted"
"""Table of the decisions: partition, row id, reason, who and when."""
ROW_ID = "row"


@dataclass(frozen=True)
class Decision:
    """Rows let through, and why."""

    rows: Mapping[str, str]
    """Row id -> partition."""
    reason: str
    by: str


def row_ids(rows: pa.Table) -> np.ndarray:
    """Sixteen hexadecimal digits for each row: a digest of its partition and of what it says, wherever it stood.

    A column without a value counts for nothing, so that a column added later changes no id.
    """
    total = np.zeros(rows.num_rows, dtype=np.uint64)
    for name in rows.column_names:
        if name == PARTITION or not name.startswith(RESERVED_PREFIX):
            total += _digests(name, rows[name])
    return np.array([f"{value:016x}" for value in total.tolist()], dtype=object)


def _digests(name: str, column: pa.ChunkedArray) -> np.ndarray:
    """A number of 64 bits for each value under the column's name; zero where there is none."""
    texts = column.to_pandas().astype(object)
    salt = np.uint64(int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) | 1)
    there = texts.notna().to_numpy()
    found = np.zeros(len(texts), dtype=np.uint64)
    if there.any():
        found[there] = pd.util.hash_array(np.array([str(value) for value in texts[there]], dtype=object)) * salt
    return found


def accept(spec: PipelineSpec, lake: Lake, decision: Decision) -> Commit:
    """Write the decision down; the next validation of the partitions follows it.

    Raises:
        DataError: no reason is given.
    """
    if not decision.reason.strip():
        raise DataError(
            f"{len(decision.rows)} rows of {spec.name} would be accepted without a reason",
            rule="who reads the table later must see why a broken rule was passed over",
            fix='say it: --reason "…"',
        )
    now = datetime.now(UTC)
    count = len(decision.rows)
    table = pa.table(
        {
            PARTITION: pa.array(list(decision.rows.values()), pa.string()),
            ROW_ID: pa.array(list(decision.rows), pa.string()),
            "reason": pa.array([decision.reason] * count, pa.string()),
            "by": pa.array([decision.by] * count, pa.string()),
            "at": pa.array([now] * count, pa.timestamp("us", tz="UTC")),
        }
    )
    return lake.append(spec.name, ACCEPTED, table)


def accepted_ids(spec: PipelineSpec, lake: Lake, partitions: Sequence[str]) -> Collection[str]:
    """Ids of the rows of these partitions that were let through."""
    if not lake.exists(spec.name, ACCEPTED):
        return frozenset()
    rows = lake.read(spec.name, ACCEPTED, partitions=partitions, columns=[ROW_ID])
    return frozenset(rows[ROW_ID].to_pylist())


def accepted_rows(spec: PipelineSpec, lake: Lake, ids: Collection[str]) -> dict[str, str]:
    """Of these rows, those that were let through before: row id -> partition."""
    if not lake.exists(spec.name, ACCEPTED):
        return {}
    rows = lake.read(spec.name, ACCEPTED, columns=[ROW_ID, PARTITION])
    wanted = frozenset(ids)
    pairs = zip(rows[ROW_ID].to_pylist(), rows[PARTITION].to_pylist(), strict=True)
    return {row: key for row, key in pairs if row in wanted}
