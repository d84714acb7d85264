"""Labelled anomalies among rows of which most have no label -> a frozen forest of extremely randomised trees.

The unlabelled rows hide further anomalies, so no tree may take all of them for ordinary. Each tree sets a bootstrap
of the labelled anomalies against a small draw of the other rows, and predicts the rows it has not drawn (bagging for
positive and unlabelled rows: Mordelet & Vert 2014; trees: Geurts, Ernst & Wehenkel 2006). A first round shows which
unlabelled rows look like the labelled anomalies; the second draws them the more seldom, the more they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Bools, Floats
from pynomaly_pipelines.detection.frozen.forest import rounded_down

FIRST_TREES, TREES = 75, 300
FIRST_LEAF, LEAF = 3, 1
"""Least rows in a leaf: the first round blurs, so that anomalies it has not drawn do not all fall outside."""
LEAST_DRAWN = 32
DRAWN_PER_ANOMALY = 2
COLUMNS_PER_SPLIT = 0.3
SELDOM = 0.02
"""Chance of an unlabelled row that looks like the labelled anomalies to be drawn, that of an ordinary one being 1."""
KNOWN_WEIGHT = 5.0
"""The same for a row that a person called ordinary, whatever it looks like."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """Trees end to end. roots: int32[trees]; children: int32[nodes, 2], -1 for a leaf; features: int32[nodes];
    thresholds: float32[nodes]; chances: float64[nodes], the share of anomalies among a node's rows.
    """

    roots: AnyArray
    children: AnyArray
    features: AnyArray
    thresholds: AnyArray
    chances: Floats

    @classmethod
    def freeze(cls, trees: list[Any]) -> Self:
        """Fitted scikit-learn trees of two classes, the second being the anomalies."""
        grown = [tree.tree_ for tree in trees]
        roots = np.concatenate([[0], np.cumsum([tree.node_count for tree in grown])])
        children = [np.stack([tree.children_left, tree.children_right], axis=1) for tree in grown]
        shifted = [np.where(c >= 0, c + root, -1) for c, root in zip(children, roots[:-1], strict=True)]
        return cls(
            roots[:-1].astype(np.int32),
            np.concatenate(shifted).astype(np.int32),
            np.concatenate([np.maximum(tree.feature, 0) for tree in grown]).astype(np.int32),
            rounded_down(np.concatenate([tree.threshold for tree in grown])),
            _shares(np.concatenate([tree.value[:, 0, :] for tree in grown])),
        )

    def chance(self, x: Floats) -> Floats:
        """float64[n]: mean share of anomalies in a row's leaves."""
        from pynomaly_pipelines.detection.frozen import kernels

        single = x.astype(np.float32)
        sums = kernels.walk_sparse(single, self.roots, self.children, self.features, self.thresholds, self.chances)
        return sums / self.roots.size

    def rises(self, x: Floats) -> Floats:
        """float64[n, d] ≥ 0: by how much each column's splits raise the chance (Saabas 2014)."""
        from pynomaly_pipelines.detection.frozen import kernels

        falls = kernels.walk_drops(
            x.astype(np.float32), self.roots, self.children, self.features, self.thresholds, -self.chances
        )
        rises: Floats = np.maximum(falls, 0.0)
        return rises


@dataclass(frozen=True, eq=False)
class Lesson:
    """What the labels taught. first, chances: float64[n], out-of-bag chances of the training rows in each round, NaN
    for a row that was in every bag.

    Only `first` is fair to the labelled anomalies: the second round draws their likes more seldom because of their
    own labels.
    """

    classifier: Classifier
    first: Floats
    chances: Floats


def learn(rows: Floats, anomalies: Bools, known: Bools, seed: int) -> Lesson:
    """rows: float64[n, d]; anomalies, known: bool[n], labelled anomalies and labelled ordinary, one other row at
    least.
    """
    bags = _Bags(rows.astype(np.float32), anomalies, np.random.default_rng(seed))
    trust = np.where(known, KNOWN_WEIGHT, 1.0)
    _, first = bags.round(FIRST_TREES, FIRST_LEAF, trust)
    trees, chances = bags.round(TREES, LEAF, np.where(known, trust, _trust(first, anomalies)))
    return Lesson(Classifier.freeze(trees), first, chances)


def _trust(chances: Floats, anomalies: Bools) -> Floats:
    """float64[n] in [SELDOM, 1]: falls as a row's chance nears that of the middling labelled anomaly."""
    alike = chances[anomalies]
    # a single labelled anomaly is in every bag: its own trees give it 1
    middling = max(float(np.median(alike)), 1e-3) if np.isfinite(alike).all() else 1.0
    return np.clip(1.0 - np.nan_to_num(chances) / middling, SELDOM, 1.0)


@dataclass(frozen=True, eq=False)
class _Bags:
    """rows: float32[n, d]; anomalies: bool[n]."""

    rows: AnyArray
    anomalies: Bools
    generator: np.random.Generator

    def round(self, trees: int, leaf: int, trust: Floats) -> tuple[list[Any], Floats]:
        """Fitted trees and the out-of-bag chances, float64[n]; trust: float64[n], how readily a row is drawn."""
        grown, sums, counts = [], np.zeros(trust.size), np.zeros(trust.size)
        for bag in self._drawn(trees, trust):
            grown.append(self._tree(bag, leaf))
            outside = np.ones(trust.size, dtype=bool)
            outside[bag] = False
            sums[outside] += _shares(grown[-1].tree_.predict(self.rows))[outside]
            counts += outside
        with np.errstate(invalid="ignore"):
            return grown, sums / counts

    def _drawn(self, trees: int, trust: Floats) -> Iterator[AnyArray]:
        """Indices into the rows, the anomalies first, as many as there are labelled."""
        labelled, others = np.flatnonzero(self.anomalies), np.flatnonzero(~self.anomalies)
        size = min(max(DRAWN_PER_ANOMALY * labelled.size, LEAST_DRAWN), others.size)
        shares = trust[others] / trust[others].sum()
        for _ in range(trees):
            against = self.generator.choice(others, size, p=shares)
            yield np.concatenate([self.generator.choice(labelled, labelled.size), against])

    def _tree(self, bag: AnyArray, leaf: int) -> Any:
        """One tree; both classes weigh the same."""
        from sklearn.tree import ExtraTreeClassifier

        labels = self.anomalies[bag]
        weights = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
        state = int(self.generator.integers(1 << 31))
        tree = ExtraTreeClassifier(max_features=COLUMNS_PER_SPLIT, min_samples_leaf=leaf, random_state=state)
        return tree.fit(self.rows[bag], labels, sample_weight=weights)


def _shares(values: AnyArray) -> Floats:
    """float64[n]: the anomalies' share of nodes; scikit-learn's `value` has shares of classes, weights of old."""
    values = values.reshape(-1, 2)
    shares: Floats = values[:, 1] / values.sum(axis=1)
    return shares
