"""A label-free detector and some labelled anomalies -> a blend that leans on a classifier as far as labels bear it out.

The classifier (`classifier.py`) reads the columns and the label-free levels. Its chances are ranked among those of
the unlabelled rows, like every raw score here, and with F the level of the label-free detector and G its own

    raw = max((1 - w) · F + w · G,  F - 2 + 2 · max(F - T, 0))

where T is F at the rarest training row. The second part keeps what nobody has labelled yet an anomaly: no row that the
label-free detector has as one in 100 k ranks below one in k, and what is rarer than all
training rows soon catches up.
The weight w is learnt from the m labelled anomalies themselves, see `weight_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Bools, Floats, matrix
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.classifier import Classifier, learn
from pynomaly_pipelines.detection.frozen.base import Frozen, State, nested, restore, typical_parts

LEVEL_SHAPE = 1.0
SET_BACK = 2.0
"""By how much at most, in levels, the blend puts a row below where the label-free detector has it."""
CATCH_UP = 2.0
"""Levels that a row gains for each by which it is rarer than all training rows."""
SLOWNESS = 2.0
"""Labelled anomalies at which a classifier as good as the label-free detector weighs a half."""
LEAST_LEVEL = 0.1
DOUBTED, BENEFIT, SURE = 3.0, 5.0, 3.0
"""Standard errors that many labels must lead by to count at all, those that two labels are given, and those from the
first trust to the full one."""


def weight_of(free: Floats, learnt: Floats) -> float:
    """The classifier's weight w in [0, 1) from the levels that m labelled anomalies have, float64[m] each: from the
    label-free detector, which was not fitted on them, and from trees that did not draw them.

        w = trust · r m / (r m + 2),  r = (mean level learnt / mean level free)²

    with the learnt mean drawn towards the free one as by two further rows. With z the standard errors by which the
    learnt ranks exceed those of a random order on average, trust is (z - 3 + 5 · sqrt(2 / m)) / 3 between 0 and 1:
    few labels get the benefit of the doubt, many must have taught something that finds the others. Ranks rather than
    levels, lest one true anomaly among rows labelled by mistake speak for all.
    """
    m = free.size
    lead = (float(np.mean(1.0 - 10.0**-learnt)) - 0.5) * np.sqrt(12.0 * m)
    trust = float(np.clip((lead - DOUBTED + BENEFIT * np.sqrt(2.0 / m)) / SURE, 0.0, 1.0))
    level = max(float(free.mean()), LEAST_LEVEL)
    ratio = ((m * float(learnt.mean()) + SLOWNESS * level) / ((m + SLOWNESS) * level)) ** 2
    return trust * ratio * m / (ratio * m + SLOWNESS)


@dataclass(frozen=True, eq=False)
class Blend(Frozen):
    """base: the label-free detector; informant: the same fitted on the labelled anomalies too, whose levels the
    classifier reads; calibrations: of the base's raw scores and of the classifier's chances; weight: w;
    typical: float64[d], the base's contributions to a middling row.
    """

    base: Frozen
    informant: Frozen
    classifier: Classifier
    calibrations: tuple[Calibration, Calibration]
    weight: float
    typical: Floats

    family: ClassVar[str] = "blend"

    def __post_init__(self) -> None:
        object.__setattr__(self, "saturates", self.base.saturates)

    @classmethod
    def fit(cls, fitted: Callable[[Floats], Frozen], x: Floats, known: Bools, anomalies: Floats, seed: int) -> Self:
        """fitted: fits the label-free detector; x: float64[n, d], rows without labels or (known: bool[n]) labelled
        ordinary; anomalies: float64[m, d], m ≥ 1.

        The classifier reads the levels of a detector that has seen all rows. Levels from one that has seen only the
        others would tell the labelled rows by that: any row is a little nearer to itself than a new one is to it.
        """
        base, informant = fitted(x), fitted(np.concatenate([x, anomalies]))
        rows = _widened(informant, np.concatenate([x, anomalies]))
        labelled = np.arange(rows.shape[0]) >= x.shape[0]
        lesson = learn(rows, labelled, np.append(known, np.zeros(anomalies.shape[0], dtype=bool)), seed)
        calibrations = _ranked(base.raw(x)), _ranked(lesson.chances[~labelled])
        free = calibrations[0].levels_of(base.raw(anomalies))
        # a single labelled anomaly is in every bag: then nothing speaks for or against the classifier
        met = free if np.isnan(lesson.first[labelled]).any() else _levels_among(lesson.first, labelled)
        weight, typical = weight_of(free, met), typical_parts(base, x, seed)
        return cls(base, informant, lesson.classifier, calibrations, weight, typical)

    def raw(self, x: Floats) -> Floats:
        free, learnt = self._levels(x)
        return free + learnt

    def _levels(self, x: Floats) -> tuple[Floats, Floats]:
        """float64[n] each: what the two add to the raw score, which is their sum."""
        free = self.calibrations[0].levels_of(self.base.raw(x))
        learnt = self.weight * self.calibrations[1].levels_of(self.classifier.chance(_widened(self.informant, x)))
        shared = (1.0 - self.weight) * free
        least = free - SET_BACK + CATCH_UP * np.maximum(free - self.calibrations[0].levels[-1], 0.0)
        alone = least > shared + learnt
        return np.where(alone, least, shared), np.where(alone, 0.0, learnt)

    def contributions(self, x: Floats) -> Floats:
        """Both levels divided among the columns; what the classifier read from the label-free levels goes the
        base's way.
        """
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.typical.size)
        free, learnt = self._levels(x)
        own = self.base.contributions(x)
        rises = self.classifier.rises(_widened(self.informant, x))
        levels_rise = kernels.row_sums(np.ascontiguousarray(rises[:, x.shape[1] :]))
        parts = rises[:, : x.shape[1]] + kernels.divided(levels_rise, own, self.typical)
        return kernels.divided(free, own, self.typical) + kernels.divided(learnt, parts, np.zeros(x.shape[1]))

    def state(self) -> State:
        kept: dict[str, Any] = {"family": self.family, "weight": self.weight}
        named: dict[str, AnyArray] = {"typical": self.typical}
        for role, detector in (("base", self.base), ("informant", self.informant)):
            kept[role], arrays = detector.state()
            named |= {f"{role}/{name}": value for name, value in arrays.items()}
        named |= {f"classifier/{name}": value for name, value in vars(self.classifier).items()}
        states = [calibration.state() for calibration in self.calibrations]
        kept["calibrations"] = [state[0] for state in states]
        for index, (_, part) in enumerate(states):
            named |= {f"calibrations/{index}/{name}": value for name, value in part.items()}
        return kept, named

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        first, second = (
            Calibration.from_state(v, nested(f"calibrations/{i}/", arrays))
            for i, v in enumerate(values["calibrations"])
        )
        base, informant = (restore(values[part], nested(f"{part}/", arrays)) for part in ("base", "informant"))
        classifier = Classifier(**nested("classifier/", arrays))
        return cls(base, informant, classifier, (first, second), float(values["weight"]), arrays["typical"])


def _widened(informant: Frozen, x: Floats) -> Floats:
    """The columns and, behind them, the informant's levels: float64[n, d + q]."""
    return np.column_stack([x, informant.clues(x)])


def _ranked(raw: Floats) -> Calibration:
    """Levels among these rows; the few that were in every bag have no chance out of bag and count as ordinary."""
    return Calibration.learn(np.nan_to_num(raw), LEVEL_SHAPE)


def _levels_among(chances: Floats, labelled: Bools) -> Floats:
    """float64[m]: the levels of the labelled rows among the others."""
    return _ranked(chances[~labelled]).levels_of(chances[labelled])
