"""Verdicts -> the threshold that fits them better than the one in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pynomaly_pipelines.stages.incidents.states import Action, Standing


@dataclass(frozen=True)
class Suggestion:
    """A threshold that fits the verdicts better, and what it would have meant for the incidents there were."""

    score: float
    told: int
    """Incidents that people were told of, and would have been."""
    still_told: int
    confirmed: int
    still_confirmed: int
    dismissed: int
    still_dismissed: int

    def __str__(self) -> str:
        return (
            f"a threshold of {self.score:.4f} would have told of {self.still_told} of {self.told} incidents: "
            f"{self.still_confirmed} of {self.confirmed} confirmed, "
            f"{self.still_dismissed} of {self.dismissed} dismissed"
        )


def suggest(standings: Sequence[Standing]) -> Suggestion | None:
    """The threshold with the best F1 over judged incidents, by their peaks; None if none is better than telling all.

    Of several the lowest: it changes least.
    """
    told = [s for s in standings if not s.incident.quiet]
    judged = [(s.incident.score, s.verdict is Action.CONFIRMED) for s in told if s.verdict is not None]
    best, found = _f1(judged, -np.inf), None
    for score in sorted({score for score, _ in judged}):
        value = _f1(judged, score)
        if value > best:
            best, found = value, score
    if found is None:
        return None
    return Suggestion(
        score=found,
        told=len(told),
        still_told=sum(s.incident.score > found for s in told),
        confirmed=sum(right for _, right in judged),
        still_confirmed=sum(right and score > found for score, right in judged),
        dismissed=sum(not right for _, right in judged),
        still_dismissed=sum(not right and score > found for score, right in judged),
    )


def _f1(judged: Sequence[tuple[float, bool]], threshold: float) -> float:
    kept = [right for score, right in judged if score > threshold]
    wanted = sum(right for _, right in judged)
    return 2 * sum(kept) / (len(kept) + wanted) if kept and wanted else 0.0
