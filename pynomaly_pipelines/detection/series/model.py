"""One series' training points -> what is usual in it; any later points -> how surprising each is, and why.

A point's surprise is a sum of squared robust deviations, one for each of `PARTS`:

- *level*: the value against its usual value at that time of the clock (`season.py`), called *seasonal pattern* where
  the value is usual as such, but not at that time;
- *level shift*: the same against the median of the last cycle;
- *shape*: the distance of the last few points' outline to the nearest of a frozen sample of training outlines
  (Ramaswamy et al. 2000; for windows of series: Yeh et al. 2016), at its own height or moved to the usual one,
  whichever is nearer; what of it is due to the height alone is counted to the level shift;
- *spread*: how much the last points jump about;
- *flat*: how long the value has not moved at all;
- *missing points*: how long no value came.

Which of them count is the recipe's choice (`recipe.py`).

Surprises are remembered: the memory of a point is the decayed sum of its own and the last cycle's surprises. A point
that surprises by itself ranks above all that are only remembered, so that an alert budget is spent on the onsets of
different events and not on the aftermath of one; below, the memory ranks the points near an event above the rest.

    raw = level of the surprise   where that is above `ALARM`
    raw = level of the memory     elsewhere, bent towards `ALARM` from `BEND` on, so that it stays below

The level of a figure is -log10 of the share of ordinary training points that exceed it (`calibration.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pynomaly_pipelines.detection.arrays import Bools, Floats, Ints
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.frozen.base import Frozen
from pynomaly_pipelines.detection.series import kernels
from pynomaly_pipelines.detection.series.recipe import (
    FLAT,
    LEVEL,
    MISSING,
    PARTS,
    SEASONAL,
    SHAPE,
    SHIFT,
    SPREAD,
    Recipe,
)
from pynomaly_pipelines.detection.series.season import DAY, UTC, Season, fit_season

LARGEST = 1e100
"""Values are cut at ±1e100, so that an infinite value is the most surprising one and sums stay finite."""
CYCLE = (24, 288)
"""Least and most points of a day that windows and memory are made of."""
SLACK = 2
"""A window of k points spans at most SLACK * k steps: older points are forgotten after a gap."""
OUTLINE_PARTS = 8
REFERENCES = 400
NEAREST = 5
ALARM = 2.0
"""-log10 of the share of ordinary points whose surprise is an alarm of its own."""
HALF_LIFE = 1 / 3
"""Cycles after which a surprise is half forgotten."""
BEND = 1.5
"""Level of the memory from which it is bent towards `ALARM`."""
LEAST_POINTS = 48
"""Fewest present values a series needs to be modelled by itself."""
JUMPS_CUT = 20.0
"""Usual jumps that one jump may add to the spread at most."""
MOST_KNOTS = 128
"""Knots of a series' calibrations: with thousands of series, their tables are most of the model."""
EMPTY = Calibration(np.zeros(1), np.zeros(1), 1.0, 1.0, 0, 0)


@dataclass(frozen=True, eq=False)
class SeriesModel:
    """What is usual in one series. Times in ns, sizes in points.

    centre, scale: median and robust spread of the residual; value_…, spread_…, shape_…, form_… likewise of the values,
    the log spread, the shape and the form distance; jump_scale, shift_scale: of jumps and shifts about 0; low, high:
    quantiles 0.001 and 0.999 of the values; residual_low, residual_high: 0.005 and 0.995 of the residuals;
    longest_run: of equal values; longest_wait: between present values; surprises, memories: of the training points;
    references float64[parts, r] with their times int64[r].
    """

    step: int
    cycle: int
    window: int
    season: Season
    centre: float
    scale: float
    value_centre: float
    value_scale: float
    low: float
    high: float
    residual_low: float
    residual_high: float
    jump_scale: float
    shift_scale: float
    spread_centre: float
    spread_scale: float
    shape_centre: float
    shape_scale: float
    form_centre: float
    form_scale: float
    longest_run: int
    longest_wait: int
    surprises: Calibration
    memories: Calibration
    references: Floats
    reference_times: Ints

    @property
    def history_points(self) -> int:
        """Points before a point that its score looks at, at most."""
        return 2 * self.cycle + self.window

    @property
    def history(self) -> int:
        """Nanoseconds before a point that its score looks at, at most."""
        return SLACK * self.history_points * self.step

    @property
    def past(self) -> int:
        """Nanoseconds before a point that its own surprise looks at; what is older is only remembered."""
        return SLACK * (self.cycle + self.window) * self.step

    @property
    def least(self) -> int:
        """Points within `past` without which a point has no score: after a long gap a series starts anew."""
        return self.window


@dataclass(frozen=True, eq=False)
class Figures:
    """What is measured at each of n points; float64[n], NaN where the past is too short.

    expected: the usual value at that time; recent: the residuals' median over the last cycle; spread: mean absolute
    jump; shape: distance to the references; form: the same of outlines about their own mean; run: equal values in a
    row, int64[n]; wait: ns since a value came.
    """

    value: Floats
    expected: Floats
    recent: Floats
    spread: Floats
    shape: Floats
    form: Floats
    run: Ints
    wait: Ints


@dataclass(frozen=True, eq=False)
class Judgement:
    """figures, own and memory surprises float64[n, PARTS], raw float64[n] (NaN: too little history)."""

    figures: Figures
    own: Floats
    memory: Floats
    raw: Floats

    def parts(self) -> Floats:
        """What each part adds to a point's raw score, float64[n, PARTS] ≥ 0."""
        alarm = self.raw > ALARM
        return np.where(alarm[:, None], self.own, self.memory)


def judge(
    model: SeriesModel, recipe: Recipe, time: Ints, value: Floats, known: Floats | None = None, causal: bool = True
) -> Judgement:
    """How surprising each point [n, ascending in time] is; its figures use it and the points before it only.

    known: own surprises float64[m, PARTS] of the first m points, where they have been judged before; the figures and
    raw scores of these points are then left empty. causal: False remembers later surprises as well as earlier ones.
    """
    first = 0 if known is None else len(known)
    return judge_figures(model, recipe, time, measure(model, recipe, time, value, first), known, causal)


def judge_figures(
    model: SeriesModel,
    recipe: Recipe,
    time: Ints,
    figures: Figures,
    known: Floats | None = None,
    causal: bool = True,
) -> Judgement:
    """As `judge`, of points that have been measured."""
    first = 0 if known is None else len(known)
    enough = kernels.has_past(time, model.least, model.past)
    own = np.where(enough[:, None], own_surprise(model, recipe, figures), 0.0)
    if known is not None:
        own[:first] = known
    memory = remember(time, own, first, model.cycle, model.step, causal)
    raw = combine(own.sum(axis=1), memory.sum(axis=1), model.surprises, model.memories)
    raw[~enough] = np.nan
    return Judgement(figures, own, memory, raw)


def combine(own: Floats, memory: Floats, surprises: Calibration, memories: Calibration) -> Floats:
    """Surprise and memory float64[n] -> raw scores float64[n], as the module's docstring says."""
    levels, remembered = surprises.levels_of(own), memories.levels_of(memory)
    room = ALARM - BEND
    bent = BEND - room * np.expm1(-np.maximum(remembered - BEND, 0.0) / room)
    return np.where(levels > ALARM, levels, np.minimum(remembered, bent))


def remember(time: Ints, own: Floats, first: int, cycle: int, step: int, causal: bool = True) -> Floats:
    """The memory of each point from `first` on, float64[n, PARTS]; not causal: the larger of past and future memory."""
    decay = 0.5 ** (1.0 / (HALF_LIFE * cycle))
    past = kernels.remembered(time, own, first, cycle, SLACK * cycle * step, decay)
    if causal:
        return past
    mirrored = np.ascontiguousarray(own[::-1])
    future = kernels.remembered(-time[::-1], mirrored, 0, cycle, SLACK * cycle * step, decay)[::-1]
    return np.where((future.sum(axis=1) > past.sum(axis=1))[:, None], future, past)


def measure(model: SeriesModel, recipe: Recipe, time: Ints, value: Floats, first: int = 0) -> Figures:
    """The figures of each point from `first` on."""
    value = np.clip(value, -LARGEST, LARGEST)
    usual = model.season.at(time)
    residual = value - usual
    cycle, window = SLACK * model.cycle * model.step, SLACK * model.window * model.step
    recent, _ = kernels.recent_usual(time, residual, first, model.cycle, cycle, model.least)
    jump = kernels.jumps(time, residual, model.window, SLACK * model.step)
    shape, form = _shape(model, recipe, time, value, recent, first)
    return Figures(
        value=value,
        expected=usual + model.centre,
        recent=recent,
        spread=kernels.spreads(time, jump, JUMPS_CUT * model.jump_scale, first, model.window, window),
        shape=shape,
        form=form,
        run=kernels.runs(time, value, first, model.cycle, cycle),
        wait=kernels.waits(time, value, first, model.cycle, cycle),
    )


def own_surprise(model: SeriesModel, recipe: Recipe, figures: Figures) -> Floats:
    """float64[n, PARTS]: each point by itself, without memory."""
    value, residual = figures.value, figures.value - figures.expected
    out = np.zeros((len(value), len(PARTS)))
    shift = kernels.surprise_of((residual + model.centre - figures.recent) / model.shift_scale)
    level = kernels.surprise_of(residual / model.scale)
    if recipe.settling:
        level = np.where(np.isnan(figures.recent), level, np.minimum(level, shift))
    usual = (value >= model.low) & (value <= model.high) & (model.season.period > 0)
    out[:, LEVEL], out[:, SEASONAL] = np.where(usual, 0.0, level), np.where(usual, level, 0.0)
    out[:, SHIFT] = shift
    shape = kernels.surprise_of(np.maximum(figures.shape - model.shape_centre, 0.0) / model.shape_scale)
    out[:, SHAPE] = shape
    if recipe.settling:
        form = kernels.surprise_of(np.maximum(figures.form - model.form_centre, 0.0) / model.form_scale)
        out[:, SHAPE] = np.minimum(shape, form)
        out[:, SHIFT] += shape - out[:, SHAPE]
    spread = log_spread(figures.spread, model.jump_scale)
    out[:, SPREAD] = kernels.surprise_of((spread - model.spread_centre) / model.spread_scale)
    out[:, FLAT] = _longer(figures.run, model.longest_run)
    out[:, MISSING] = _longer(figures.wait // model.step, model.longest_wait // model.step)
    return out * recipe.weights


def log_spread(spread: Floats, jump_scale: float) -> Floats:
    """Logarithm of the spread in usual jumps, with a floor: half as much and twice as much are equally far."""
    return np.log(spread / jump_scale + 1e-3)


def outlines(model: SeriesModel, time: Ints, value: Floats, moved: Floats | float = 0.0, first: int = 0) -> Floats:
    """float64[n, OUTLINE_PARTS] of the last `window` values, squashed so that no point dominates a window.

    moved: what to take off the values of the window that ends at each point; NaN rows for incomplete windows.
    """
    span = SLACK * model.window * model.step
    filled = kernels.carried(time, np.clip(value, -LARGEST, LARGEST), model.window, span)
    origin = np.broadcast_to(model.value_centre + moved, value.shape).astype(np.float64)
    return kernels.outlines(time, filled, origin, model.value_scale, first, model.window, span, OUTLINE_PARTS)


def whole(outline: Floats) -> Bools:
    """Which outlines [n, parts] are of complete windows, bool[n]."""
    return np.asarray(~np.isnan(outline[:, 0]))


def _shape(
    model: SeriesModel, recipe: Recipe, time: Ints, value: Floats, recent: Floats, first: int
) -> tuple[Floats, Floats]:
    """Distance of each outline to the known ones, and of its form alone.

    For recipes that settle, the smaller of the distance at its height and without the last cycle's new level.
    """
    outline = outlines(model, time, value, 0.0, first)
    if recipe.outlier is not None:
        return _outlying(recipe.outlier, outline), np.full(len(time), np.nan)
    plain = _distance(model, time, outline, model.references)
    if not recipe.settling:
        return plain, np.full(len(time), np.nan)
    moved = _distance(model, time, outlines(model, time, value, recent - model.centre, first), model.references)
    forms = outline - outline.mean(axis=1, keepdims=True)
    form = _distance(model, time, forms, model.references - model.references.mean(axis=0))
    return np.fmin(plain, moved), form


def _distance(model: SeriesModel, time: Ints, outline: Floats, references: Floats) -> Floats:
    return kernels.novelty(time, outline, references, model.reference_times, model.window * model.step, NEAREST)


def _outlying(outlier: Frozen, outline: Floats) -> Floats:
    out = np.full(len(outline), np.nan)
    complete = whole(outline)
    if complete.any():
        out[complete] = outlier.raw(np.ascontiguousarray(outline[complete]))
    return out


def _longer(count: Ints, usual: int) -> Floats:
    """0 up to twice the usual count (or 8), then (3 log2 of the ratio)²."""
    ratio = np.maximum(count / (2.0 * max(usual, 4)), 1.0)
    return np.asarray((3.0 * np.log2(ratio)) ** 2)


# ------------------------------------------------------------------------------------------------- training


def draft_series(time: Ints, value: Floats, use: Bools, zone: str = UTC) -> SeriesModel:
    """What is usual about the values themselves; references and scales of derived figures are still to be learnt.

    time, value: [n, ascending]; `use` says which may be learnt from, at least `LEAST_POINTS` of them present. Others
    are known incidents: nobody's usual value, but they keep their place in time.
    """
    value, known = _learnt(value, use)
    step = usual_step(time)
    cycle = max(min(int(np.clip(round(DAY / step), *CYCLE)), int(known.sum()) // 4), OUTLINE_PARTS)
    window = max(cycle // 12, OUTLINE_PARTS)
    season = fit_season(time[known], value[known], step, zone)
    residual = value - season.at(time)
    centre, scale = robust(residual)
    value_centre, value_scale = robust(value)
    low, high = np.quantile(value[known], [0.001, 0.999])
    residual_low, residual_high = np.quantile(residual[known], [0.005, 0.995])
    runs = kernels.runs(time, value, 0, cycle, SLACK * cycle * step)
    waits = kernels.waits(time, value, 1, cycle, SLACK * cycle * step)
    return SeriesModel(
        step=step,
        cycle=cycle,
        window=window,
        season=season,
        centre=centre,
        scale=scale,
        value_centre=value_centre,
        value_scale=value_scale,
        low=float(low),
        high=float(high),
        residual_low=float(residual_low),
        residual_high=float(residual_high),
        jump_scale=robust(kernels.jumps(time, residual, window, SLACK * step), 0.0)[1],
        shift_scale=1.0,
        spread_centre=0.0,
        spread_scale=1.0,
        shape_centre=0.0,
        shape_scale=1.0,
        form_centre=0.0,
        form_scale=1.0,
        longest_run=int(np.quantile(runs, 0.995)),
        longest_wait=int(np.quantile(waits, 0.995)),
        surprises=EMPTY,
        memories=EMPTY,
        references=np.empty((OUTLINE_PARTS, 0)),
        reference_times=np.empty(0, dtype=np.int64),
    )


def finish_series(draft: SeriesModel, recipe: Recipe, time: Ints, value: Floats, use: Bools) -> SeriesModel:
    """The whole model of the points that the draft was made of."""
    value, known = _learnt(value, use)
    model = draft if recipe.outlier is not None else _with_references(draft, time, value)
    figures = measure(model, recipe, time, value)
    model = _with_scales(model, figures)
    judgement = judge_figures(model, recipe, time, figures)
    judged = known & ~np.isnan(judgement.raw)
    judged = judged if judged.any() else known
    memory = judgement.memory.sum(axis=1)[judged]
    surprises = learn_calibration(judgement.own.sum(axis=1)[judged])
    return replace(model, surprises=surprises, memories=learn_calibration(memory))


def gross(draft: SeriesModel, time: Ints, value: Floats, use: Bools) -> Bools:
    """Points so far out that they can't be ordinary, bool[n]; none where they are more than a few.

    They are left out of training: the windows that hold them would make large surprises look usual.
    """
    away = np.abs(np.clip(value, -LARGEST, LARGEST) - draft.season.at(time) - draft.centre)
    known = use & ~np.isnan(value)
    return np.asarray(known & (away > Calibration.learn(away[known]).knots[-1]))


def usual_step(time: Ints) -> int:
    """Median time between points, ns; one second for a single point."""
    return max(int(np.median(np.diff(time))), 1) if len(time) > 1 else 1_000_000_000


def robust(figure: Floats, centre: float | None = None) -> tuple[float, float]:
    """Median (or `centre`) and robust standard deviation of the present figures; the deviation is never 0.

    The larger of the scaled median and 0.9 quantile of the absolute deviations: the first alone is 0 for series that
    rest most of the time.
    """
    present = figure[~np.isnan(figure)]
    if present.size == 0:
        return 0.0, 1.0
    middle = float(np.median(present)) if centre is None else centre
    away = np.abs(present - middle)
    spread = max(float(np.median(away)) * 1.4826, float(np.quantile(away, 0.9)) / 1.645)
    if spread == 0.0:
        spread = float(np.quantile(away, 0.99)) / 2.576 or float(away.mean())
    return middle, max(spread, 1e-9 * abs(middle), 1e-12)


def learn_calibration(raw: Floats) -> Calibration:
    """A calibration of raw scores with at most `MOST_KNOTS` knots, evenly spaced in the level.

    Equal scores take the middle of their ranks: a series that rests has one score most of the time, and that one is
    ordinary, not the rarest of all.
    """
    fine = Calibration.learn(raw)
    ordinary = np.sort(raw[raw <= fine.knots[-1]])
    ranks = np.searchsorted(ordinary, fine.knots, "left") + np.searchsorted(ordinary, fine.knots, "right")
    levels = -np.log10(1.0 - ranks / (2.0 * ordinary.size))
    wanted = np.linspace(levels[0], levels[-1], MOST_KNOTS)
    chosen = np.unique(np.clip(np.searchsorted(levels, wanted), 0, levels.size - 1))
    return replace(fine, knots=fine.knots[chosen], levels=levels[chosen])


def _learnt(value: Floats, use: Bools) -> tuple[Floats, Bools]:
    """The values that may be learnt from, NaN elsewhere, and where they are."""
    value = np.where(use, np.clip(value, -LARGEST, LARGEST), np.nan)
    return value, ~np.isnan(value)


def _with_references(model: SeriesModel, time: Ints, value: Floats) -> SeriesModel:
    """A sample of training outlines, evenly spread in time; the same points always give the same sample."""
    outline = outlines(model, time, value)
    places = np.flatnonzero(whole(outline))
    chosen = places[np.linspace(0, len(places) - 1, min(REFERENCES, len(places))).astype(np.int64)]
    return replace(model, references=np.ascontiguousarray(outline[chosen].T), reference_times=time[chosen])


def _with_scales(model: SeriesModel, figures: Figures) -> SeriesModel:
    """The scales of figures, none of which is needed to measure them."""
    shift = figures.value - figures.expected + model.centre - figures.recent
    spread_centre, spread_scale = robust(log_spread(figures.spread, model.jump_scale))
    shape_centre, shape_scale = robust(figures.shape)
    form_centre, form_scale = robust(figures.form)
    return replace(
        model,
        shift_scale=robust(shift, 0.0)[1],
        spread_centre=spread_centre,
        spread_scale=max(spread_scale, 0.05),
        shape_centre=shape_centre,
        shape_scale=max(shape_scale, 1e-3),
        form_centre=form_centre,
        form_scale=max(form_scale, 1e-3),
    )
