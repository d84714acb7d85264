"""Several frozen detectors -> one: the sum of their tail levels, -log10 p (Fisher 1932)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, matrix
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.frozen.base import Frozen, State, nested, restore, typical_parts
from pynomaly_pipelines.detection.frozen.gaussian import Mahalanobis
from pynomaly_pipelines.detection.frozen.neighbours import Neighbours
from pynomaly_pipelines.detection.members import fit_frozen
from pynomaly_pipelines.detection.offered import OFFERS


@dataclass(frozen=True, eq=False)
class Ensemble(Frozen):
    """members on robustly scaled features, each with the calibration of its own training scores."""

    centre: Floats
    scale: Floats
    members: tuple[Frozen, ...]
    calibrations: tuple[Calibration, ...]
    typical: Floats

    family: ClassVar[str] = "ensemble"

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """From a training matrix, float64[n, d]."""
        centre, scale = _robust(x)
        z = (x - centre) / scale
        k = int(np.clip(round(0.05 * z.shape[0]), 1, 100))
        sample = np.random.default_rng(seed).permutation(z.shape[0])[:2000]
        members = (
            Neighbours(np.ascontiguousarray(z[sample].T), min(k, sample.size), 1, "mean"),
            _trimmed(z),
            fit_frozen(OFFERS["IForest"], z, seed, {}),
        )
        calibrations = tuple(Calibration.learn(member.raw(z)) for member in members)
        typical = np.stack([typical_parts(member, z, seed) for member in members])
        return cls(centre, scale, members, calibrations, typical)

    def _levels(self, z: Floats) -> list[Floats]:
        return [c.levels_of(m.raw(z)) for m, c in zip(self.members, self.calibrations, strict=True)]

    def _scaled(self, x: Floats) -> Floats:
        return (matrix(x, self.centre.size) - self.centre) / self.scale

    def raw(self, x: Floats) -> Floats:
        first, *others = self._levels(self._scaled(x))
        for level in others:
            first = first + level
        return first

    def contributions(self, x: Floats) -> Floats:
        """Each member's level, divided among the columns as the member does: additive."""
        from pynomaly_pipelines.detection.frozen import kernels

        z = self._scaled(x)
        total = np.zeros_like(z)
        for member, level, typical in zip(self.members, self._levels(z), self.typical, strict=True):
            total += kernels.divided(level, member.contributions(z), typical)
        return total

    def state(self) -> State:
        values: dict[str, Any] = {"family": self.family, "members": [], "calibrations": []}
        arrays: dict[str, AnyArray] = {"centre": self.centre, "scale": self.scale, "typical": self.typical}
        for index, (member, calibration) in enumerate(zip(self.members, self.calibrations, strict=True)):
            for name, part in (("members", member.state()), ("calibrations", calibration.state())):
                values[name].append(part[0])
                arrays |= {f"{name}/{index}/{key}": value for key, value in part[1].items()}
        return values, arrays

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        members = tuple(restore(v, nested(f"members/{i}/", arrays)) for i, v in enumerate(values["members"]))
        calibrations = tuple(
            Calibration.from_state(v, nested(f"calibrations/{i}/", arrays))
            for i, v in enumerate(values["calibrations"])
        )
        return cls(arrays["centre"], arrays["scale"], members, calibrations, arrays["typical"])


def _robust(x: Floats) -> tuple[Floats, Floats]:
    low, centre, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
    return centre, np.where(high > low, high - low, 1.0)


def _trimmed(z: Floats) -> Mahalanobis:
    """Location and covariance of the half of the rows nearest to the centre, twice refined."""
    keep = np.ones(z.shape[0], dtype=bool)
    for _ in range(3):
        location = z[keep].mean(axis=0)
        covariance = np.cov(z[keep], rowvar=False).reshape(z.shape[1], z.shape[1])
        ridge = 1e-6 * max(float(np.trace(covariance)) / z.shape[1], 1e-12)
        precision = np.linalg.inv(covariance + ridge * np.eye(z.shape[1]))
        fitted = Mahalanobis(location, np.ascontiguousarray((precision + precision.T) / 2))
        distances = fitted.raw(z)
        keep = distances <= np.quantile(distances, 0.8)
    return fitted
