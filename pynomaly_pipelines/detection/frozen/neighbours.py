"""KNN, Sampling and LOF -> the training rows themselves, laid out for a fast search, one row at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, Ints, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen, State
from pynomaly_pipelines.operations.errors import DetectorRefused

POWERS = {"manhattan": 1, "cityblock": 1, "l1": 1, "euclidean": 2, "l2": 2, "chebyshev": 0, "infinity": 0}
TILE = 256
"""As in `kernels.neighbours`, which is not imported here: it imports numba."""

Layout = tuple[AnyArray, Floats, float, float]
"""tiles, centre, unit and reach, as `kernels.nearest` takes them."""


@dataclass(frozen=True, eq=False)
class Neighbours(Frozen):
    """references: float64[d, m], columns first; k neighbours, joined by `method`."""

    references: Floats
    k: int
    power: int
    method: str

    family: ClassVar[str] = "neighbours"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", np.ascontiguousarray(self.references.T))
        object.__setattr__(self, "_layout", _laid_out(self.references))

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.knn.KNN`` as its training rows."""
        rows = np.asarray(model.neigh_._fit_X, dtype=np.float64)
        power = power_of(model.metric, model.p)
        return cls(np.ascontiguousarray(rows.T), int(model.n_neighbors), power, model.method)

    @classmethod
    def freeze_sample(cls, model: Any) -> Self:
        """A fitted ``pyod.models.sampling.Sampling`` as its subset: the distance to its nearest row."""
        rows = np.asarray(model.subset, dtype=np.float64)
        power = power_of("euclidean" if model.metric == "minkowski" else model.metric, 2)
        return cls(np.ascontiguousarray(rows.T), 1, power, "largest")

    def search(self, x: Floats) -> tuple[Floats, Ints]:
        """Distances float64[n, k], ascending, and the indices int64[n, k] of the neighbours."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.references.shape[0])
        tiles, centre, unit, reach = self.__dict__["_layout"]
        return kernels.nearest(x, self.__dict__["_rows"], tiles, centre, unit, reach, self.power, self.k)

    def raw(self, x: Floats) -> Floats:
        return self.join(self.search(x)[0])

    def join(self, distances: Floats) -> Floats:
        """float64[n, k] -> float64[n], as PyOD's `method` says."""
        from pynomaly_pipelines.detection.frozen import kernels

        if self.method == "largest":
            return distances[:, -1].copy()
        if self.method == "mean":
            return kernels.row_sums(distances) / self.k
        return np.median(distances, axis=1)

    def contributions(self, x: Floats) -> Floats:
        """Each column's part of the mean distance to the neighbours; additive for Manhattan distances."""
        return self.gaps(x, self.search(x)[1])

    def explained(self, x: Floats) -> tuple[Floats, Floats]:
        distances, indices = self.search(x)
        return self.join(distances), self.gaps(x, indices)

    def gaps(self, x: Floats, indices: Ints) -> Floats:
        """float64[n, d]: mean over the neighbours of ``|x - reference|`` (its square for Euclidean distances)."""
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.neighbour_gaps(matrix(x, self.references.shape[0]), self.__dict__["_rows"], indices, self.power)


@dataclass(frozen=True, eq=False)
class LocalDensity(Frozen):
    """LOF (Breunig et al. 2000). reaches: float64[m], each reference's k-distance; densities: float64[m], its local
    reachability density.
    """

    neighbours: Neighbours
    reaches: Floats
    densities: Floats

    family: ClassVar[str] = "local-density"

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.lof.LOF`` as its rows, reaches and densities."""
        lof = model.detector_
        rows = np.asarray(lof._fit_X, dtype=np.float64)
        k, power = int(lof.n_neighbors_), power_of(model.metric, model.p)
        neighbours = Neighbours(np.ascontiguousarray(rows.T), k, power, "largest")
        reaches = np.ascontiguousarray(lof._distances_fit_X_[:, k - 1])
        return cls(neighbours, reaches, np.ascontiguousarray(lof._lrd))

    def raw(self, x: Floats) -> Floats:
        return self._factors(*self.neighbours.search(x))

    def contributions(self, x: Floats) -> Floats:
        """Each column's part of the distance to the neighbours."""
        return self.neighbours.contributions(x)

    def explained(self, x: Floats) -> tuple[Floats, Floats]:
        distances, indices = self.neighbours.search(x)
        return self._factors(distances, indices), self.neighbours.gaps(x, indices)

    def _factors(self, distances: Floats, indices: Ints) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.local_outlier_factors(distances, indices, self.reaches, self.densities)

    def state(self) -> State:
        values, arrays = self.neighbours.state()
        return {**values, "family": self.family}, {**arrays, "reaches": self.reaches, "densities": self.densities}

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        return cls(Neighbours.from_state(values, arrays), arrays["reaches"], arrays["densities"])


def _laid_out(references: Floats) -> Layout:
    """Tiles float32[t, d, TILE] for the rough measure, with what brings a row to their scale; ∞ fills the last one."""
    low, high = references.min(axis=1), references.max(axis=1)
    centre = low + (high - low) / 2
    moved = references - centre[:, None]
    unit = float(np.abs(moved).max()) or 1.0
    moved /= unit
    columns, count = references.shape
    padded = np.full((columns, -(-count // TILE) * TILE), np.inf, dtype=np.float32)
    padded[:, :count] = moved
    tiles = np.ascontiguousarray(padded.reshape(columns, -1, TILE).swapaxes(0, 1))
    return tiles, centre, unit, float(np.abs(moved).sum(axis=0).max())


def power_of(metric: str, p: float) -> int:
    """1 Manhattan, 2 Euclidean, 0 Chebyshev; DetectorRefused for any other distance."""
    power = {1: 1, 2: 2, float("inf"): 0}.get(p) if metric == "minkowski" else POWERS.get(metric)
    if power is None:
        raise DetectorRefused(
            f"metric='{metric}' with p={p}",
            rule="Frozen neighbours know Manhattan, Euclidean and Chebyshev distances.",
            fix="use metric='minkowski' with p=1 or p=2",
        )
    return power
