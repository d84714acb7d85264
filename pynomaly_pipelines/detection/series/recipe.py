"""The name of a series detector -> which parts of a point's surprise count, and what judges the shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pynomaly_pipelines.detection.arrays import Floats
from pynomaly_pipelines.detection.frozen.base import Frozen

PARTS = ("level", "seasonal pattern", "level shift", "shape", "spread", "flat", "missing points")
LEVEL, SEASONAL, SHIFT, SHAPE, SPREAD, FLAT, MISSING = range(len(PARTS))


@dataclass(frozen=True, eq=False)
class Recipe:
    """How surprises are made up.

    parts: names of the parts that count; settling: a level counts only as far as it is also a shift from the last
    cycle, so that a new level is news for about a day and not for ever; outlier: a frozen detector of outlines
    instead of the nearest neighbours.
    """

    name: str
    method: str
    parts: tuple[str, ...] = PARTS
    settling: bool = False
    outlier: Frozen | None = None

    @property
    def weights(self) -> Floats:
        """float64[PARTS]: 1 for the parts that count, 0 for the others."""
        return np.array([float(part in self.parts) for part in PARTS])

    def state(self) -> dict[str, Any]:
        """JSON values; the outlier detector is saved beside them."""
        return {"name": self.name, "method": self.method, "parts": list(self.parts), "settling": self.settling}

    @classmethod
    def from_state(cls, values: dict[str, Any], outlier: Frozen | None) -> Recipe:
        return cls(**{**values, "parts": tuple(values["parts"])}, outlier=outlier)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "auto",
            "The sum of squared robust deviations of the level (as far as it is also a shift), the shift from the last "
            "cycle's median, the shape of the last points (mean distance to the nearest training outlines), their "
            "spread, flat runs and missing points.",
            settling=True,
        ),
        Recipe(
            "SeasonalResidual",
            "The squared robust deviation from the usual value at that time; flat runs and missing points.",
            parts=("level", "seasonal pattern", "flat", "missing points"),
        ),
        Recipe(
            "LevelShift",
            "The squared robust deviation of the deseasonalised value from the last cycle's median; flat runs and "
            "missing points.",
            parts=("level shift", "flat", "missing points"),
        ),
        Recipe(
            "SubKNN",
            "Mean distance of the last points' outline to the nearest of a frozen sample of training outlines "
            "(Ramaswamy et al. 2000).",
            parts=("shape",),
        ),
    )
}


def outlier_recipe(name: str) -> Recipe:
    """The recipe of a PyOD detector by its PyOD name, still without the fitted detector."""
    return Recipe(name, f"PyOD's {name} on outlines of the last points, one detector for all series.", parts=("shape",))
