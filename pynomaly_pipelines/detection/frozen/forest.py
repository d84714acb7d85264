"""IForest -> complete heap-ordered trees in float32, walked eight rows at a time (Liu, Ting & Zhou 2008).

scikit-learn casts rows to float32 and compares them with float64 thresholds. A threshold rounded *down* to float32
gives the same answer for every float32 value, so float32 trees are exact and half the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats, matrix
from pynomaly_pipelines.detection.frozen.base import Frozen

DEEPEST_PADDED = 10
"""Levels up to which trees are padded to complete ones; 2**10 leaves a tree still fit a core's cache."""

Heap = tuple[AnyArray, AnyArray, Floats, Floats]
"""features, thresholds, leaves and expected depths of padded trees."""


@dataclass(frozen=True, eq=False)
class Forest(Frozen):
    """Trees end to end. roots: int32[trees]; children: int32[nodes, 2], -1 for a leaf; features: int32[nodes];
    thresholds: float32[nodes]; depths: float64[nodes], the isolation depth at a leaf and the mean one below a node.

    raw = 2 ** (-sum of depths / denominator) + offset, scikit-learn's own formula.
    """

    roots: AnyArray
    children: AnyArray
    features: AnyArray
    thresholds: AnyArray
    depths: Floats
    width: int
    denominator: float
    offset: float
    levels: int

    family: ClassVar[str] = "forest"
    saturates: ClassVar[bool] = True

    @classmethod
    def freeze(cls, model: Any) -> Self:
        """A fitted ``pyod.models.iforest.IForest`` as arrays."""
        forest = model.detector_
        trees = [_tree(forest, index) for index in range(len(forest.estimators_))]
        roots = np.concatenate([[0], np.cumsum([t[0].shape[0] for t in trees])])
        children = [np.where(t[0] >= 0, t[0] + root, -1) for t, root in zip(trees, roots[:-1], strict=True)]
        per_tree = _average_path_length(np.array([float(forest._max_samples)]))[0]
        return cls(
            roots=roots[:-1].astype(np.int32),
            children=np.concatenate(children).astype(np.int32),
            features=np.concatenate([t[1] for t in trees]).astype(np.int32),
            thresholds=np.concatenate([t[2] for t in trees]).astype(np.float32),
            depths=np.concatenate([t[3] for t in trees]),
            width=int(forest.n_features_in_),
            denominator=float(len(trees) * per_tree),
            offset=float(forest.offset_),
            levels=max(t[4] for t in trees),
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_heap", self._padded() if self.levels <= DEEPEST_PADDED else None)

    def _padded(self) -> Heap:
        """The same trees padded to 2**levels leaves, level by level: node i's children are 2i + 1 and 2i + 2."""
        inner, trees = 2**self.levels - 1, self.roots.size
        features = np.zeros((trees, inner), dtype=np.int32)
        thresholds = np.full((trees, inner), np.inf, dtype=np.float32)
        expected = np.empty((trees, 2 * inner + 1))
        here = self.roots.astype(np.int64)[:, None]
        for level in range(self.levels):
            places = slice(2**level - 1, 2 ** (level + 1) - 1)
            splits = self.children[here, 0] >= 0
            features[:, places] = np.where(splits, self.features[here], 0)
            thresholds[:, places] = np.where(splits, self.thresholds[here], np.inf)
            expected[:, places] = self.depths[here]
            below = np.where(splits[:, :, None], self.children[here], here[:, :, None])
            here = below.reshape(trees, -1).astype(np.int64)
        expected[:, inner:] = self.depths[here]
        return features, thresholds, np.ascontiguousarray(expected[:, inner:]), expected

    def raw(self, x: Floats) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        return kernels.isolation(self._walk(self._single(x)), self.denominator, self.offset)

    def _single(self, x: Floats) -> AnyArray:
        return matrix(x, self.width).astype(np.float32)

    def _walk(self, x: AnyArray) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        heap: Heap | None = self.__dict__["_heap"]
        if heap is None:
            return kernels.walk_sparse(x, self.roots, self.children, self.features, self.thresholds, self.depths)
        features, thresholds, leaves, _ = heap
        return kernels.walk(x, features, thresholds, leaves, self.levels)

    def contributions(self, x: Floats) -> Floats:
        """By how much each column shortens the path; additive in depth before negative parts are cut to 0."""
        rises: Floats = np.maximum(self._drops(self._single(x)), 0.0)
        return rises

    def _drops(self, x: AnyArray) -> Floats:
        from pynomaly_pipelines.detection.frozen import kernels

        heap: Heap | None = self.__dict__["_heap"]
        if heap is None:
            return kernels.walk_drops(x, self.roots, self.children, self.features, self.thresholds, self.depths)
        features, thresholds, _, expected = heap
        return kernels.walk_heap_drops(x, features, thresholds, expected, self.levels)


def _tree(forest: Any, index: int) -> tuple[AnyArray, AnyArray, AnyArray, Floats, int]:
    """Children, features, thresholds, depths per node and the deepest level of one scikit-learn tree."""
    tree = forest.estimators_[index].tree_
    chosen = np.asarray(forest.estimators_features_[index])
    children = np.stack([tree.children_left, tree.children_right], axis=1)
    inner = children[:, 0] >= 0
    features = np.where(inner, chosen[np.where(inner, tree.feature, 0)], 0)
    level = _levels(children)
    depths = level + _average_path_length(tree.n_node_samples.astype(np.float64))
    for node in np.flatnonzero(inner)[::-1]:
        left, right = children[node]
        weights = tree.n_node_samples[[left, right]]
        depths[node] = (depths[[left, right]] * weights).sum() / weights.sum()
    return children, features, rounded_down(tree.threshold), depths, int(level.max())


def _levels(children: AnyArray) -> Floats:
    """The number of splits above each node; scikit-learn numbers children after their parent."""
    level = np.zeros(children.shape[0])
    for node in np.flatnonzero(children[:, 0] >= 0):
        level[children[node]] = level[node] + 1
    return level


def rounded_down(thresholds: Floats) -> AnyArray:
    """float32[n]: the largest float32 not above each threshold, so that ``x <= threshold`` stays what it was."""
    single = thresholds.astype(np.float32)
    return np.where(single.astype(np.float64) > thresholds, np.nextafter(single, np.float32(-np.inf)), single)


def _average_path_length(rows: Floats) -> Floats:
    """Mean depth of an unsuccessful search in a tree of `rows` rows: 2 (ln(n-1) + γ) - 2 (n-1)/n."""
    safe = np.maximum(rows, 3.0)
    long = 2.0 * (np.log(safe - 1.0) + np.euler_gamma) - 2.0 * (safe - 1.0) / safe
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, long))
