"""Figures of earlier partitions -> what the next one's should be, and how far it may be off.

The unit of observation is the partition, not the row. A hundred thousand rows of one day say with great certainty that
the day differs from others, as every day does; how much days differ is known from days only. So each figure of the
training partitions is one observation, and a new one is judged by the prediction interval of a linear model (Student's
t; for example Montgomery, Peck & Vining 2012, section 3.5). Weekdays (or hours of the day) get levels of their own
where there are enough of each; so do partitions that a model was fitted on, whose scores are a little too good.

Neighbouring partitions resemble each other. The variance around their mean then is too small, and there are fewer
degrees of freedom; both are put right with the lag-one autocorrelation of the residuals, by the number of independent
observations that are worth as much (Bayley & Hammersley 1946).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, Ints

MOST_ALIKE = 0.8
"""Autocorrelation from which on it is no longer told apart from drift."""
EACH_PHASE = 4
"""Partitions of a phase (weekday, hour) without which it has no level of its own."""


@dataclass(frozen=True, eq=False)
class Design:
    """What is known of K earlier partitions and of the new one.

    rows float64[K, p], at float64[p]: their terms in the linear model; K > p.
    """

    rows: Floats
    at: Floats

    @classmethod
    def of(cls, phases: Ints, phase: int, fitted: Ints | None = None) -> Design:
        """A level for all; one for each phase if there are enough of each; one for partitions a model was fitted on.

        phases int64[K], of the new one `phase`; fitted int64[K]: 1 where the model has seen the rows.
        """
        terms = [np.ones(len(phases))]
        at = [1.0]
        known, counts = np.unique(phases, return_counts=True)
        if len(known) > 1 and counts.min() >= EACH_PHASE and phase in known:
            terms += [(phases == name).astype(np.float64) for name in known[1:]]
            at += [float(phase == name) for name in known[1:]]
        if fitted is not None and 0 < fitted.sum() < len(fitted):
            terms.append(fitted.astype(np.float64))
            at.append(0.0)
        return cls(np.column_stack(terms), np.array(at))

    @cached_property
    def _inverse(self) -> Floats:
        return np.asarray(np.linalg.pinv(self.rows))

    @cached_property
    def hat(self) -> Floats:
        """float64[K, K]: fitted values are `hat @ y`."""
        return np.asarray(self.rows @ self._inverse)

    @cached_property
    def weights(self) -> Floats:
        """float64[K]: the prediction for the new partition is `weights @ y`."""
        return np.asarray(self.at @ self._inverse)

    @property
    def rank(self) -> int:
        """Number of levels."""
        return int(self.rows.shape[1])


@cache
def one_level(partitions: int) -> Design:
    """The same level for all."""
    return Design(np.ones((partitions, 1)), np.ones(1))


@dataclass(frozen=True, eq=False)
class Prediction:
    """centre, scale: of the new figure, if nothing changed; freedom: degrees of Student's t."""

    centre: float
    scale: float
    freedom: float

    def tail(self, seen: float, floor: float = 0.0) -> float:
        """Chance of a figure as high as `seen`; floor: a standard deviation below which chance never falls."""
        from scipy.special import stdtr

        scale = max(self.scale, floor)
        if scale <= 0.0:
            return 1.0 if seen <= self.centre else 0.0
        return float(stdtr(self.freedom, -(seen - self.centre) / scale))

    def two_sided(self, seen: float, floor: float = 0.0) -> float:
        """Chance of a figure as far off as `seen`, either way."""
        away = self.centre + abs(seen - self.centre)
        return min(1.0, 2.0 * self.tail(away, floor))


def predict(y: Floats, design: Design) -> Prediction:
    """What the next figure should be, from y float64[K] in the order of time."""
    left = y - design.hat @ y
    # What rounding leaves of figures that are all the same is no difference, and its pattern no resemblance.
    left[np.abs(left) < 1e-9 * np.abs(y).max(initial=0.0)] = 0.0
    alike = _autocorrelation(left)
    worth = (1.0 + alike) / (1.0 - alike)
    size, rank = len(y), design.rank
    variance = float(left @ left) / max(size - (rank - 1) - worth, (size - rank) / 3)
    leverage = max(float(design.weights @ design.weights), worth / size)
    freedom = max((size - rank) / worth, 2.0)
    return Prediction(float(design.weights @ y), float(np.sqrt(variance * (1.0 + leverage))), freedom)


def _autocorrelation(left: Floats) -> float:
    """Of neighbours, put right for the mean that was taken off (Marriott & Pope 1954), between 0 and `MOST_ALIKE`."""
    power = float(left @ left)
    if len(left) < 5 or power <= 0.0:
        return 0.0
    raw = float(left[1:] @ left[:-1]) / power
    size = len(left)
    return float(np.clip((size * raw + 1.0) / (size - 3.0), 0.0, MOST_ALIKE))
