"""Judgements of points -> an `Explanation` whose columns are the parts of a point's surprise, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import Floats, Objects
from pynomaly_pipelines.detection.explanation import Explanation
from pynomaly_pipelines.detection.series.model import Figures, Judgement, SeriesModel
from pynomaly_pipelines.detection.series.recipe import FLAT, LEVEL, MISSING, PARTS, SEASONAL, SHAPE, SHIFT, SPREAD
from pynomaly_pipelines.detection.series.stranger import Stranger

REMEMBERED = ", mostly remembered from the points before"
"""Said where a part counts because of earlier points: this point's own value may be usual."""
NAMES = np.array(PARTS, dtype=object)


@dataclass(frozen=True, eq=False)
class Reasons:
    """Explanations under way: arrays [n, top] that `explanation` makes of them."""

    columns: Objects
    values: Objects
    usual: Objects
    share: Floats

    def explanation(self) -> Explanation:
        return Explanation(self.columns, self.values, self.usual, self.share)


def explain(model: SeriesModel | Stranger, judgement: Judgement, top: int) -> Reasons:
    """The `top` parts of each point's score, the largest first; value and usual range only where a part has a share."""
    parts = judgement.parts()
    total = parts.sum(axis=1, keepdims=True)
    shares = np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)
    best = np.argsort(-shares, axis=1, kind="stable")[:, : min(top, len(PARTS))]
    share = np.take_along_axis(shares, best, axis=1)
    values, usual = np.empty(best.shape, dtype=object), np.empty(best.shape, dtype=object)
    usual[:] = ""
    for i, k in zip(*np.nonzero(share > 0), strict=True):
        part = int(best[i, k])
        values[i, k], usual[i, k] = _words(model, judgement.figures, part, i)
        if judgement.own[i, part] < 0.5 * parts[i, part]:
            usual[i, k] += REMEMBERED
    return Reasons(NAMES[best], values, usual, share)


def _words(model: SeriesModel | Stranger, figures: Figures, part: int, i: int) -> tuple[object, str]:
    """The value of one part at point `i`, and what would be usual there."""
    value, expected = float(figures.value[i]), float(figures.expected[i])
    if isinstance(model, Stranger):
        width = 2.576 * float(figures.recent[i])
        return value, f"{between(expected - width, expected + width)} in its recent past"
    low, high = expected - model.centre + model.residual_low, expected - model.centre + model.residual_high
    if part == LEVEL:
        return value, between(low, high)
    if part == SEASONAL:
        return value, f"{between(low, high)} at that time"
    if part == SHIFT:
        middle, width = expected - model.centre + float(figures.recent[i]), 2.576 * model.shift_scale
        return value, f"{between(middle - width, middle + width)} after the last {model.cycle} points"
    if part == SHAPE:
        usual = model.shape_centre + 2.576 * model.shape_scale
        return float(figures.shape[i]), f"at most {usual:.3g} from known outlines of {model.window} points"
    if part == SPREAD:
        return float(figures.spread[i]), _usual_spread(model)
    if part == FLAT:
        return int(figures.run[i]), f"at most {2 * max(model.longest_run, 4)} equal values in a row"
    assert part == MISSING
    longest = pd.Timedelta(2 * max(model.longest_wait, 4 * model.step), unit="ns")
    return str(pd.Timedelta(int(figures.wait[i]), unit="ns")), f"a value within {longest}"


def between(low: float, high: float) -> str:
    """``low … high`` with as many digits as it takes to tell the two apart by a hundredth."""
    width = high - low
    if not 1e-9 < width < 1e9:
        return f"{low:.6g} … {high:.6g}"
    decimals = max(2 - math.floor(math.log10(width)), 0)
    return f"{low:.{decimals}f} … {high:.{decimals}f}"


def _usual_spread(model: SeriesModel) -> str:
    reach = 2.576 * model.spread_scale
    low, high = (model.jump_scale * float(np.exp(model.spread_centre + side)) for side in (-reach, reach))
    return f"{between(low, high)} between points"
