"""MCD and GMM -> locations and precision matrices; Mahalanobis distances and log densities, one row at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen


@dataclass(frozen=True, eq=False)
class Mahalanobis(Frozen):
    """location: float64[d]; precision: float64[d, d], symmetric and positive semi-definite."""

    location: Floats
    precision: Floats

    family: ClassVar[str] = "mahalanobis"

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.mcd.MCD`` as its robust location and precision."""
        estimate = model.detector_
        return cls(
            np.ascontiguousarray(estimate.location_, dtype=np.float64),
            np.ascontiguousarray(estimate.get_precision(), dtype=np.float64),
        )

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.quadratic(matrix(x, self.location.size), self.location, self.precision)

    def contributions(self, x: Floats) -> Floats:
        """The fall of the distance if a column were what the others predict (not additive: columns share causes)."""
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.quadratic_drops(matrix(x, self.location.size), self.location, self.precision)


@dataclass(frozen=True, eq=False)
class Mixture(Frozen):
    """locations: float64[k, d]; precisions: float64[k, d, d]; constants: float64[k], log weight - log normaliser."""

    locations: Floats
    precisions: Floats
    constants: Floats

    family: ClassVar[str] = "mixture"

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.gmm.GMM`` of any covariance type, as full precision matrices."""
        mixture = model.detector_
        k, d = mixture.means_.shape
        roots = _full_roots(np.asarray(mixture.precisions_cholesky_), mixture.covariance_type, k, d)
        log_determinants = np.linalg.slogdet(roots)[1]
        constants = np.log(mixture.weights_) + log_determinants - 0.5 * d * np.log(2 * np.pi)
        precisions = roots @ roots.transpose(0, 2, 1)
        return cls(np.ascontiguousarray(mixture.means_), np.ascontiguousarray(precisions), constants)

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.minus_log_sum(self._log_densities(x))

    def _log_densities(self, x: Floats) -> Floats:
        """float64[n, k]: log of weight times density."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.locations.shape[1])
        parts = [
            constant - 0.5 * kernels.quadratic(x, location, precision)
            for location, precision, constant in zip(self.locations, self.precisions, self.constants, strict=True)
        ]
        return np.column_stack(parts)

    def contributions(self, x: Floats) -> Floats:
        """Under the component that explains a row best: the fall of its distance, column by column."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.locations.shape[1])
        best = np.argmax(self._log_densities(x), axis=1)
        out = np.empty_like(x)
        for k in np.unique(best):
            rows = best == k
            out[rows] = kernels.quadratic_drops(x[rows], self.locations[k], self.precisions[k])
        return out


def _full_roots(roots: Floats, covariance_type: str, k: int, d: int) -> Floats:
    """float64[k, d, d] from scikit-learn's Cholesky factors of the precisions, whatever their type."""
    if covariance_type == "full":
        return roots
    if covariance_type == "tied":
        return np.broadcast_to(roots, (k, d, d))
    diagonal = roots if covariance_type == "diag" else np.repeat(roots[:, None], d, axis=1)
    return diagonal[:, :, None] * np.eye(d)
