"""A series the model was not fitted on -> surprises by its own recent past alone.

New series appear after training (a new host, a new shop). There is no profile for them, but a value far from the
last cycle's median, in units of that cycle's own robust deviation, means much the same in any series; how much it
means was learnt by scoring every training series as if it were unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, Ints
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.frozen.base import nested
from pynomaly_pipelines.detection.series import kernels
from pynomaly_pipelines.detection.series.model import (
    EMPTY,
    LARGEST,
    SLACK,
    Figures,
    Judgement,
    combine,
    learn_calibration,
    remember,
)
from pynomaly_pipelines.detection.series.recipe import PARTS, SHIFT

LEAST = 32
"""Points of its own past that an unknown series needs before a point is scored."""


@dataclass(frozen=True)
class Stranger:
    """step: ns; cycle: points; surprises, memories: as in a series' own model, over all training series."""

    step: int
    cycle: int
    surprises: Calibration = EMPTY
    memories: Calibration = EMPTY

    @property
    def history_points(self) -> int:
        """Points before a point that its score looks at, at most."""
        return 2 * self.cycle

    @property
    def history(self) -> int:
        """Nanoseconds before a point that its score looks at, at most."""
        return SLACK * self.history_points * self.step

    def judge(self, time: Ints, value: Floats, known: Floats | None = None, causal: bool = True) -> Judgement:
        """As `model.judge`, for a series without a model."""
        first = 0 if known is None else len(known)
        value = np.clip(value, -LARGEST, LARGEST)
        span = SLACK * self.cycle * self.step
        recent, deviation = kernels.recent_usual(time, value, first, self.cycle, span, LEAST)
        own = np.zeros((len(time), len(PARTS)))
        own[:, SHIFT] = kernels.surprise_of((value - recent) / np.maximum(deviation, 1e-9 * np.abs(recent) + 1e-12))
        if known is not None:
            own[:first] = known
        memory = remember(time, own, first, self.cycle, self.step, causal)
        combined = combine(own.sum(axis=1), memory.sum(axis=1), self.surprises, self.memories)
        raw = np.where(np.isnan(recent), np.nan, combined)
        empty, none = np.full(len(time), np.nan), np.zeros(len(time), dtype=np.int64)
        return Judgement(Figures(value, recent, deviation, empty, empty, empty, none, none), own, memory, raw)

    def state(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """JSON values and arrays that `from_state` rebuilds it from."""
        values: dict[str, Any] = {"step": self.step, "cycle": self.cycle}
        arrays: dict[str, AnyArray] = {}
        for name in ("surprises", "memories"):
            values[name], tables = getattr(self, name).state()
            arrays |= {f"{name}/{key}": table for key, table in tables.items()}
        return values, arrays

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Stranger:
        tables = {
            name: Calibration.from_state(values[name], nested(f"{name}/", arrays)) for name in ("surprises", "memories")
        }
        return cls(values["step"], values["cycle"], **tables)


def fit_stranger(step: int, cycle: int, series: Iterable[tuple[Ints, Floats]]) -> tuple[Stranger, Floats]:
    """A stranger for series like these, and the raw scores it gives their points, float64[m]."""
    draft = Stranger(step, max(cycle, LEAST))
    judged = [(judgement, ~np.isnan(judgement.raw)) for judgement in (draft.judge(*points) for points in series)]
    own = np.concatenate([j.own[known].sum(axis=1) for j, known in judged])
    memory = np.concatenate([j.memory[known].sum(axis=1) for j, known in judged])
    if own.size == 0:
        return draft, np.zeros(1)
    surprises, memories = learn_calibration(own), learn_calibration(memory)
    return replace(draft, surprises=surprises, memories=memories), combine(own, memory, surprises, memories)
