"""What a person asks to be released from quarantine -> the partitions that are read again, and those judged again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.expectations.acceptance import Decision, accepted_rows
from pynomaly_pipelines.stages.expectations.releasing import decide, held, unread_partitions
from pynomaly_pipelines.stages.sources import landing


@dataclass(frozen=True)
class ReleaseWish:
    """Which quarantined rows are meant, why, and who says so."""

    partitions: Sequence[str] | None = None
    """Keys; None: all."""
    expectation: str | None = None
    """Only partitions with rows that have a reason with this in it."""
    rows: Sequence[str] = ()
    """Ids of rows that are let through although they break an expectation."""
    reason: str = ""
    by: str = ""


@dataclass(frozen=True)
class Rejudging:
    """What is to be done, by partition; empty where nothing that is meant is in quarantine."""

    read_again: tuple[str, ...] = ()
    """Their rows could not be read as what they should be, and their data is still there."""
    judged_again: tuple[str, ...] = ()
    """The rest."""
    decision: Decision = field(default_factory=lambda: Decision({}, "", ""))
    """Rows to be let through; to be written down before anything is judged."""

    @property
    def partitions(self) -> tuple[str, ...]:
        """All of them, in order."""
        return tuple(sorted({*self.read_again, *self.judged_again}))


def rejudging(spec: PipelineSpec, lake: Lake, project: Path, wish: ReleaseWish, *, resumed: bool = False) -> Rejudging:
    """What a release takes. Nothing is changed yet.

    Args:
        project: folder that landing paths start from.
        resumed: the same wish may have been worked on before, so rows may be accepted already.

    Raises:
        DataError: a row has no such id, or must not be let through; see `decide`.
    """
    keys = list(held(spec, lake, wish.partitions, wish.expectation, 0).partitions)
    decision = Decision({}, wish.reason, wish.by)
    if wish.rows:
        before = accepted_rows(spec, lake, wish.rows) if resumed else {}
        new = [row for row in wish.rows if row not in before]
        decision = decide(spec, lake, new, reason=wish.reason, by=wish.by, partitions=keys) if new else decision
        keys = sorted({*decision.rows.values(), *before.values()})
    again = set(_to_read_again(spec, lake, project, keys))
    return Rejudging(
        tuple(key for key in keys if key in again), tuple(key for key in keys if key not in again), decision
    )


def _to_read_again(spec: PipelineSpec, lake: Lake, project: Path, keys: Sequence[str]) -> list[str]:
    """Partitions with rows that could not be read as what they should be, and whose data is still there."""
    unread = unread_partitions(spec, lake, keys) if keys else []
    there = set(landing.available(spec, lake, project)) if unread else set()
    return [key for key in unread if key in there]
