"""OCSVM and KDE with Gaussian kernels -> weighted points (Schölkopf et al. 2001; Parzen 1962)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen
from pynomaly_pipelines.operations.errors import DetectorRefused


@dataclass(frozen=True, eq=False)
class Radial(Frozen):
    """points: float64[d, m], columns first; weights: float64[m].

    With ``s = Σ weight · exp(-gamma ‖x - point‖²)``: raw = constant - s, or constant - log s where `logarithm`.
    """

    points: Floats
    weights: Floats
    gamma: float
    constant: float
    logarithm: bool

    family: ClassVar[str] = "radial"
    saturates: ClassVar[bool] = True

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.ocsvm.OCSVM`` with kernel='rbf' as its support vectors."""
        _only("kernel", model.kernel, "rbf")
        machine = model.detector_
        points = np.ascontiguousarray(machine.support_vectors_.T, dtype=np.float64)
        weights = np.ascontiguousarray(machine.dual_coef_[0], dtype=np.float64)
        return cls(points, weights, float(machine._gamma), float(-machine.intercept_[0]), False)

    @classmethod
    def freeze_density(cls, model: Any) -> Self:
        """A fitted ``pyod.models.kde.KDE`` with Euclidean distances as its training rows."""
        density = model.kde_
        if model.metric != "minkowski":
            _only("metric", model.metric, "euclidean")
        rows = np.asarray(density.tree_.data, dtype=np.float64)
        width = float(density.bandwidth_)
        constant = np.log(rows.shape[0]) + rows.shape[1] * np.log(width * np.sqrt(2 * np.pi))
        points = np.ascontiguousarray(rows.T)
        return cls(points, np.ones(rows.shape[0]), 0.5 / width**2, float(constant), True)

    @property
    def ceiling(self) -> float:
        return np.inf if self.logarithm else self.constant

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.points.shape[0])
        return kernels.radial(x, self.points, self.weights, self.gamma, self.constant, self.logarithm)

    def contributions(self, x: Floats) -> Floats:
        """Squared gaps to the points, weighted by how near each point is among all."""
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.radial_gaps(matrix(x, self.points.shape[0]), self.points, self.weights, self.gamma)


def _only(setting: str, value: str, allowed: str) -> None:
    if value != allowed:
        raise DetectorRefused(
            f"{setting}='{value}'",
            rule=f"Only {setting}='{allowed}' can be frozen.",
            fix=f"use {setting}='{allowed}'",
        )
