"""Drift that lasts -> what people are told of it, once an episode."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.drift.history import Judged, last_judged
from pynomaly_pipelines.stages.notifications.marks import Mark, Notice

DRIFT = "drift"
_MOST_SUBJECTS = 5


def lasting(spec: PipelineSpec, lake: Lake) -> Notice | None:
    """The drift that lasts up to the last judged partition, which its note names; None where none does."""
    judged = last_judged(spec, lake)
    return None if judged is None or judged.lasting is None else _notice(spec, judged)


def is_news(notice: Notice, marks: Iterable[Mark], receiver: str) -> bool:
    """Whether a receiver has not been told of this episode.

    It is the same one as long as it began before the partition that it was last told with.
    """
    version, _, first = notice.about.partition("/")
    told = [m for m in marks if (m.receiver, m.kind) == (receiver, DRIFT) and m.about.partition("/")[0] == version]
    return not any(mark.note >= first for mark in told)


def _notice(spec: PipelineSpec, judged: Judged) -> Notice:
    episode = judged.lasting
    assert episode is not None
    subjects = ", ".join(episode.subjects[:3]) + (" …" if len(episode.subjects) > 3 else "")
    drifted = [row for row in judged.rows if row["drifted"]]
    more = len(drifted) - _MOST_SUBJECTS
    span = f"{episode.partitions} partitions in a row, {episode.first} … {episode.last},"
    return Notice(
        kind=DRIFT,
        about=f"{judged.version}/{episode.first}",
        headline=f"{spec.name}: drift that lasts: {subjects}",
        lines=(
            f"{span} against the training of version {judged.version}",
            *(_line(row) for row in drifted[:_MOST_SUBJECTS]),
            *([f"and {more} more"] if more > 0 else []),
            "a challenger is trained for it" if spec.drift.retrain else "nothing is trained for it (`drift.retrain`)",
            f"pynomaly drift {spec.name}",
        ),
        asset="drift",
        note=episode.last,
    )


def _line(row: dict[str, Any]) -> str:
    return f"{row['subject']}, {row['what']}: usually {row['usual']}, now {row['seen']}"
