"""A label-free detector and some labelled anomalies -> a blend that leans on a classifier as labels come in.

The classifier is a forest of extremely randomised trees (Geurts, Ernst & Wehenkel 2006) on the columns and on the
label-free levels; rows without a label count as ordinary. Its out-of-bag predictions are ranked among the unlabelled
rows, like every raw score here, and

    raw = (1 - w) · level of the label-free detector + w · level of the classifier

with w by the number m of labelled anomalies: m / (m + 4) up to a half, a half up to ten, m / (m + 10) from there.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Bools, Floats, matrix
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.frozen.base import Frozen, State, nested, restore, typical_parts
from pynomaly_pipelines.detection.frozen.forest import rounded_down

TREES = 300
LEVEL_SHAPE = 1.0
KNOWN_WEIGHT = 5.0
"""What a row that a person called ordinary weighs in the classifier, an unlabelled one being 1."""


def weight_of(anomalies: int) -> float:
    """The classifier's weight w for that many labelled anomalies: rises from 0 towards 1."""
    if anomalies <= 10:
        return min(0.5, anomalies / (anomalies + 4))
    return anomalies / (anomalies + 10)


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
    def freeze(cls, forest: Any) -> Self:
        """A fitted scikit-learn forest of two classes, the second being the anomalies."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        roots = np.concatenate([[0], np.cumsum([tree.node_count for tree in trees])])
        children = [np.stack([tree.children_left, tree.children_right], axis=1) for tree in trees]
        shifted = [np.where(c >= 0, c + root, -1) for c, root in zip(children, roots[:-1], strict=True)]
        # scikit-learn's `value` holds shares of classes, or weights of them in older versions
        values = np.concatenate([tree.value[:, 0, :] for tree in trees])
        return cls(
            roots[:-1].astype(np.int32),
            np.concatenate(shifted).astype(np.int32),
            np.concatenate([np.maximum(tree.feature, 0) for tree in trees]).astype(np.int32),
            rounded_down(np.concatenate([tree.threshold for tree in trees])),
            values[:, 1] / values.sum(axis=1),
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
class Blend(Frozen):
    """base: the label-free detector; calibrations: of its raw scores and of the classifier's chances; weight: w;
    typical: float64[d], the base's contributions to a middling row.
    """

    base: Frozen
    classifier: Classifier
    calibrations: tuple[Calibration, Calibration]
    weight: float
    typical: Floats

    family: ClassVar[str] = "blend"

    @classmethod
    def fit(cls, base: Frozen, x: Floats, known: Bools, anomalies: Floats, seed: int) -> Self:
        """base: fitted on x, float64[n, d], rows without labels or (known: bool[n]) labelled ordinary; anomalies:
        float64[m, d], m ≥ 1.
        """
        from sklearn.ensemble import ExtraTreesClassifier

        rows = _widened(base, np.concatenate([x, anomalies]))
        labels = np.arange(rows.shape[0]) >= x.shape[0]
        weights = np.where(np.append(known, np.zeros(anomalies.shape[0], dtype=bool)), KNOWN_WEIGHT, 1.0)
        forest = ExtraTreesClassifier(
            n_estimators=TREES, bootstrap=True, oob_score=True, class_weight="balanced", random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a row that is in every bag has no out-of-bag prediction: see below
            forest.fit(rows, labels, sample_weight=weights)
        chances = np.nan_to_num(forest.oob_decision_function_[: x.shape[0], 1])
        calibrations = Calibration.learn(base.raw(x), LEVEL_SHAPE), Calibration.learn(chances, LEVEL_SHAPE)
        typical = typical_parts(base, x, seed)
        return cls(base, Classifier.freeze(forest), calibrations, weight_of(anomalies.shape[0]), typical)

    def raw(self, x: Floats) -> Floats:
        free, learnt = self._levels(x)
        return free + learnt

    def _levels(self, x: Floats) -> tuple[Floats, Floats]:
        """float64[n] each: the two weighted levels whose sum is the raw score."""
        free = self.calibrations[0].levels_of(self.base.raw(x))
        learnt = self.calibrations[1].levels_of(self.classifier.chance(_widened(self.base, x)))
        return (1.0 - self.weight) * free, self.weight * learnt

    def contributions(self, x: Floats) -> Floats:
        """Both levels divided among the columns; what the classifier read from the label-free levels goes the
        base's way.
        """
        from pynomaly_pipelines.detection.frozen import kernels

        x = matrix(x, self.typical.size)
        free, learnt = self._levels(x)
        own = self.base.contributions(x)
        rises = self.classifier.rises(_widened(self.base, x))
        levels_rise = kernels.row_sums(np.ascontiguousarray(rises[:, x.shape[1] :]))
        parts = rises[:, : x.shape[1]] + kernels.divided(levels_rise, own, self.typical)
        return kernels.divided(free, own, self.typical) + kernels.divided(learnt, parts, np.zeros(x.shape[1]))

    def state(self) -> State:
        values, arrays = self.base.state()
        kept: dict[str, Any] = {"family": self.family, "weight": self.weight, "base": values}
        named: dict[str, AnyArray] = {"typical": self.typical}
        named |= {f"base/{name}": value for name, value in arrays.items()}
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
        base = restore(values["base"], nested("base/", arrays))
        classifier = Classifier(**nested("classifier/", arrays))
        return cls(base, classifier, (first, second), float(values["weight"]), arrays["typical"])


def _widened(base: Frozen, x: Floats) -> Floats:
    """The columns and, behind them, the base's own levels: float64[n, d + q]."""
    return np.column_stack([x, base.clues(x)])
