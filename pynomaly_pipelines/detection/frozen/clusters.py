"""CBLOF -> cluster centres, which of them are large, and their weights (He, Xu & Deng 2003)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import Bools, Floats, Ints, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen


@dataclass(frozen=True, eq=False)
class Clusters(Frozen):
    """centres: float64[k, d]; large: bool[k]; weights: float64[k].

    raw = distance to the own centre, in a small cluster to the nearest large one, times the cluster's weight.
    """

    centres: Floats
    large: Bools
    weights: Floats

    family: ClassVar[str] = "clusters"

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.cblof.CBLOF`` with k-means clusters."""
        centres = np.ascontiguousarray(model.cluster_centers_, dtype=np.float64)
        large = np.isin(np.arange(centres.shape[0]), model.large_cluster_labels_)
        sizes = np.asarray(model.cluster_sizes_, dtype=np.float64)
        return cls(centres, large, sizes if model.use_weights else np.ones(centres.shape[0]))

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.cluster_distances(matrix(x, self.centres.shape[1]), self.centres, self.large, self.weights)[0]

    def contributions(self, x: Floats) -> Floats:
        """Squared gaps to the centre that the distance was taken to: additive in the squared distance."""
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.centres.shape[1])
        chosen: Ints = kernels.cluster_distances(x, self.centres, self.large, self.weights)[1]
        return (x - self.centres[chosen]) ** 2
