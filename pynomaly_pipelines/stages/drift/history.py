"""Verdicts of many partitions -> the table `drift`, and whether what drifts lasts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pynomaly_pipelines.detection.drift.reference import Subject, Verdict
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import Drift, PipelineSpec

if TYPE_CHECKING:
    import pyarrow as pa

NOUN = "drift"
MOST_KEPT = 500
"""Subjects of a partition that are kept, the most certain: with thousands of series, not each of the quiet ones."""
LOOKED_BACK = 60
"""Judged partitions that an episode is looked for in."""


@dataclass(frozen=True)
class Episode:
    """Drift that lasts: the partitions it began and was last seen in, and what drifts."""

    first: str
    last: str
    partitions: int
    subjects: tuple[str, ...]

    def __str__(self) -> str:
        named = ", ".join(self.subjects[:3]) + (f" and {len(self.subjects) - 3} more" if len(self.subjects) > 3 else "")
        return f"{named} drifted in {self.partitions} partitions in a row, {self.first} … {self.last}"


@dataclass(frozen=True)
class Judged:
    """The latest judgement among some partitions."""

    partition: str
    version: int
    rows: tuple[dict[str, Any], ...]
    """Its subjects as the table has them: what drifts first, then the most certain."""
    lasting: Episode | None
    """The drift that lasts up to it."""

    @property
    def drifted(self) -> int:
        """Subjects that drift."""
        return sum(bool(row["drifted"]) for row in self.rows)


def schema() -> pa.Schema:
    """Columns of the table `drift`: one row for each subject of each judged partition."""
    import pyarrow as pa

    texts = (PARTITION, "kind", "subject", "what", "unit", "usual", "seen")
    return pa.schema(
        [
            *(pa.field(name, pa.string()) for name in texts),
            *(pa.field(name, pa.float64()) for name in ("effect", "p_value", "p_adjusted")),
            pa.field("drifted", pa.bool_()),
            pa.field("pooled", pa.int64()),
            pa.field("model_version", pa.int64()),
        ]
    )


def to_table(version: int, found: Mapping[str, tuple[Sequence[Verdict], int]]) -> pa.Table:
    """The rows of these partitions: their verdicts, and how many partitions were judged together."""
    import pyarrow as pa

    rows = [
        _row(key, verdict, pooled, version)
        for key, (verdicts, pooled) in found.items()
        for number, verdict in enumerate(verdicts)
        if verdict.drifted or number < MOST_KEPT
    ]
    return pa.Table.from_pylist(rows, schema=schema())


def unit_of(subject: Subject) -> str:
    """What the effect is a measure of."""
    if subject.measure == "distribution":
        return "index"
    return "ratio" if subject.measure == "count" or subject.as_ratio else "share"


def read(
    spec: PipelineSpec, lake: Lake, version: int | None = None, partitions: Sequence[str] | None = None
) -> pd.DataFrame:
    """The latest judged partitions (or those named), as a version's reference judged them; no rows where none were."""
    if not lake.exists(spec.name, NOUN):
        table = schema().empty_table()
    else:
        keys = sorted(lake.counts(spec.name, NOUN))[-LOOKED_BACK:] if partitions is None else partitions
        table = lake.read(spec.name, NOUN, partitions=keys)
    found: pd.DataFrame = table.to_pandas()
    return found if version is None else found.loc[found["model_version"] == version].reset_index(drop=True)


def last_judged(spec: PipelineSpec, lake: Lake, partitions: Sequence[str] | None = None) -> Judged | None:
    """The last judged partition (of those named), as the version judged it that judged last; None where none was."""
    found = read(spec, lake, partitions=partitions)
    if found.empty:
        return None
    version = int(found["model_version"].iloc[-1])
    own = found[found["model_version"] == version]
    last = str(own[PARTITION].max())
    rows = own[own[PARTITION] == last].sort_values(["drifted", "p_adjusted", "p_value"], ascending=[False, True, True])
    told = tuple({str(name): value for name, value in row.items()} for row in rows.to_dict("records"))
    return Judged(last, version, told, episode(spec, own))


def why_not(spec: PipelineSpec) -> str:
    """Why no partition has been judged."""
    if spec.partition == "whole":
        return "drift is a difference between partitions, and `partition: whole` has one"
    if not spec.drift.enabled:
        return "`drift.enabled` is false"
    return (
        "judged is what is scored and later than the champion's training partitions, of which there must be "
        f"{spec.drift.min_partitions} (`drift.min_partitions`)"
    )


def needed(rules: Drift, pooled: int) -> int:
    """Alarms in a row that last: what is judged together with its neighbours shows one odd partition several times."""
    return rules.lasting + pooled - 1


def streaks(history: pd.DataFrame, kinds: Iterable[str]) -> dict[str, int]:
    """Subject -> partitions in a row, up to the last judged one, in which it drifted; those at 0 are left out."""
    wanted = history[history["kind"].isin(list(kinds))]
    keys = sorted(history[PARTITION].unique(), reverse=True)
    alarmed = {
        key: set(part.loc[part["drifted"], "subject"] + " (" + part.loc[part["drifted"], "what"] + ")")
        for key, part in wanted.groupby(PARTITION)
    }
    found: dict[str, int] = {}
    going = alarmed.get(keys[0], set()) if keys else set()
    for length, key in enumerate(keys, start=1):
        going = going & alarmed.get(key, set())
        if not going:
            break
        found |= dict.fromkeys(going, length)
    return found


def episode(spec: PipelineSpec, history: pd.DataFrame) -> Episode | None:
    """The drift that lasts up to the last judged partition; None where none does.

    Args:
        history: rows of `drift` of one model version.
    """
    if history.empty:
        return None
    long = needed(spec.drift, int(history["pooled"].max()))
    lasting = {name: length for name, length in streaks(history, spec.drift.retrain_on).items() if length >= long}
    if not lasting:
        return None
    keys = sorted(history[PARTITION].unique())
    longest = max(lasting.values())
    return Episode(keys[-longest], keys[-1], longest, tuple(sorted(lasting, key=lambda name: -lasting[name])))


def _row(key: str, verdict: Verdict, pooled: int, version: int) -> dict[str, object]:
    return {
        PARTITION: key,
        "kind": verdict.subject.kind,
        "subject": verdict.subject.name,
        "what": verdict.subject.what,
        "unit": unit_of(verdict.subject),
        "usual": verdict.usual,
        "seen": verdict.seen,
        "effect": verdict.effect,
        "p_value": verdict.p,
        "p_adjusted": verdict.p_adjusted,
        "drifted": verdict.drifted,
        "pooled": pooled,
        "model_version": version,
    }
