"""The one shape of a frozen detector: a dataclass of arrays and plain numbers that scores a matrix row by row."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, cast

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.operations.errors import ScorerFileError

MOST_TYPICAL = 1_000

State = tuple[dict[str, Any], dict[str, AnyArray]]

FAMILIES = {
    "forest": "forest:Forest",
    "histogram": "histogram:Histogram",
    "marginals": "marginals:Marginals",
    "neighbours": "neighbours:Neighbours",
    "oblique": "oblique:ObliqueForest",
    "local-density": "neighbours:LocalDensity",
    "mahalanobis": "gaussian:Mahalanobis",
    "mixture": "gaussian:Mixture",
    "axes": "components:Axes",
    "clusters": "clusters:Clusters",
    "projections": "projections:Projections",
    "spheres": "spheres:Spheres",
    "radial": "radial:Radial",
    "blend": "pynomaly_pipelines.detection.semi_supervised:Blend",
    "ensemble": "pynomaly_pipelines.detection.ensemble:Ensemble",
}


@dataclass(frozen=True, eq=False)
class Frozen(ABC):
    """A fitted detector as data.

    Fields that are arrays go into the ``.npz``, the others into the JSON, so a family states its fields and is
    saved and loaded by this class. `raw` and `contributions` treat each row by itself, in a fixed order of
    operations: a row's figures do not depend, to the last bit, on what stands beside it.
    """

    family: ClassVar[str]
    saturates: ClassVar[bool] = False
    """True where the raw score stops growing outside the training range, however far a row lies."""

    @property
    def ceiling(self) -> float:
        """The raw score of a row that lies infinitely far from all training rows; ∞ where it has no limit in sight."""
        return np.inf

    @abstractmethod
    def raw(self, x: Floats) -> Floats:
        """float64[n, d] -> float64[n], higher = more anomalous."""

    @abstractmethod
    def contributions(self, x: Floats) -> Floats:
        """float64[n, d] -> float64[n, d] ≥ 0: what each feature adds to a row's raw score."""

    def explained(self, x: Floats) -> tuple[Floats, Floats]:
        """`raw` and `contributions` of the same rows; overridden where both come out of one pass."""
        return self.raw(x), self.contributions(x)

    def clues(self, x: Floats) -> Floats:
        """float64[n, q]: what the detector tells a classifier about each row; its raw score, where it has no more."""
        return self.raw(x)[:, None]

    def state(self) -> State:
        """The JSON values and the arrays that `restore` needs."""
        values: dict[str, Any] = {"family": self.family}
        arrays: dict[str, AnyArray] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                arrays[field.name] = value
            else:
                values[field.name] = value
        return values, arrays

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, AnyArray]) -> Self:
        """The reverse of `state`; ScorerFileError where a field is missing."""
        everything = {**values, **arrays}
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in everything]
        if missing:
            raise ScorerFileError(
                f"the saved {cls.family} lacks {', '.join(missing)}",
                rule="A saved scorer holds every field of its detector.",
                fix="train and save the model again",
            )
        return cls(**{name: everything[name] for name in names})


def restore(values: dict[str, Any], arrays: dict[str, AnyArray]) -> Frozen:
    """The frozen detector that `state` described; imports its family only."""
    family = str(values.get("family"))
    if family not in FAMILIES:
        raise ScorerFileError(
            f"the saved detector is of family '{family}'",
            rule=f"Known families are {', '.join(FAMILIES)}.",
            fix="load it with the version of the package that saved it",
        )
    module, name = FAMILIES[family].split(":")
    kind = cast(
        type[Frozen], getattr(importlib.import_module(module if "." in module else f"{__package__}.{module}"), name)
    )
    return kind.from_state(values, arrays)


def nested(prefix: str, arrays: dict[str, AnyArray]) -> dict[str, AnyArray]:
    """The arrays whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def typical_parts(frozen: Frozen, x: Floats, seed: int) -> Floats:
    """float64[d]: the median contribution of each feature over (a sample of) the training rows."""
    rows = np.random.default_rng(seed).permutation(x.shape[0])[:MOST_TYPICAL]
    return np.median(frozen.contributions(np.ascontiguousarray(x[rows])), axis=0)
