"""How often drift is cried without any, how surely it is found, and what it costs.

    python -m benchmarks.drift [--replays 1000] [--part false|power|lasting|cost]

Each replay draws training partitions and later ones from one process and judges the later ones as the product does:
six numeric columns, two categories with missing values, the number of rows, all tests of a partition together. What
differs from day to day is drawn for each partition; given that, rows are independent, so that counts in cells are
drawn from the multinomial distribution that rows would have given, at any number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from pynomaly_pipelines.detection.drift.cells import Cells
from pynomaly_pipelines.detection.drift.reference import Limits, Reference, Subject, build
from pynomaly_pipelines.spec import Drift

SETTINGS = Drift()
LIMITS = Limits(SETTINGS.alpha, SETTINGS.min_effect, SETTINGS.min_share, SETTINGS.min_ratio)
TEST_ALONE = replace(LIMITS, min_effect=0.0, min_share=0.0, min_ratio=1.0)
"""Without smallest effects: what the tests alone would say."""
NUMBERS, CATEGORIES = 6, 2
LATER = 30


@dataclass(frozen=True)
class Process:
    """Where partitions come from: what differs between them although nothing has changed.

    daily: standard deviation of a day's level, in those of a column; alike: autocorrelation of neighbouring days;
    weekly: how far weekends lie away; heavy: a column's tail is that of Student's t with 2 degrees of freedom.
    """

    name: str
    rows: int
    partitions: int = 90
    daily: float = 0.1
    alike: float = 0.0
    weekly: float = 0.0
    heavy: bool = False
    spread: float = 0.1


@dataclass(frozen=True)
class Change:
    """What happens to the later partitions."""

    level: float = 0.0
    spread: float = 1.0
    swap: bool = False
    missing: float = 0.0
    columns: tuple[int, ...] = field(default=(0,))


def cumulative(process: Process) -> Callable[[np.ndarray], np.ndarray]:
    """The distribution function of a column."""
    from scipy.special import ndtr, stdtr

    return (lambda x: stdtr(2.0, x)) if process.heavy else ndtr


def subjects(process: Process) -> list[Subject]:
    """The columns, with the cells that many rows give: quantiles."""
    from scipy.special import ndtri, stdtrit

    cells = int(np.clip(process.rows // 5, 4, 20))
    marks = np.arange(1, cells) / cells
    edges = tuple((stdtrit(2.0, marks) if process.heavy else ndtri(marks)).tolist())
    found = [Subject("features", f"n{i}", "values", "distribution", Cells("numbers", edges)) for i in range(NUMBERS)]
    names = tuple("abcdefgh")
    for i in range(CATEGORIES):
        found.append(Subject("features", f"c{i}", "values", "distribution", Cells("categories", names=names)))
        found.append(Subject("quality", f"c{i}", "missing", "share"))
    return [*found, Subject("quality", "rows", "rows", "count")]


def noise(size: int, process: Process, rng: np.random.Generator) -> np.ndarray:
    """Standard normal, autocorrelated from one partition to the next, float64[size]."""
    out = rng.normal(size=size)
    for i in range(1, size):
        out[i] = process.alike * out[i - 1] + np.sqrt(1 - process.alike**2) * out[i]
    return out


def draw(process: Process, change: Change, later: int, rng: np.random.Generator) -> tuple[Reference, list[dict]]:
    """A reference, and the counts of later partitions, to which the change has happened."""
    days = process.partitions + later
    weekend = process.weekly * (np.arange(days) % 7 >= 5)
    new = np.arange(days) >= process.partitions
    counts = np.maximum(5, np.round(process.rows * np.exp(process.spread * noise(days, process, rng) - 0.3 * weekend)))
    counts = counts.astype(np.int64)
    tallies: list[dict] = [{} for _ in range(days)]
    below = cumulative(process)
    for subject in subjects(process):
        if subject.measure == "count":
            for day in range(days):
                tallies[day][subject.key] = counts[day : day + 1]
            continue
        column = int(subject.name[1:])
        hit = new & (column in change.columns)
        level = process.daily * noise(days, process, rng) + weekend
        if subject.measure == "share":
            share = 0.02 * np.exp(level) + change.missing * hit
            found = rng.binomial(counts, np.minimum(share, 0.9))
            for day in range(days):
                tallies[day][subject.key] = np.array([found[day], counts[day]])
            continue
        if subject.name[0] == "n":
            scale = np.exp(process.daily / 2 * noise(days, process, rng)) * np.where(hit, change.spread, 1.0)
            level = level + change.level * hit
            edges = (np.asarray(subject.cells.edges)[None, :] - level[:, None]) / scale[:, None]
            upto = np.column_stack([np.zeros(days), below(edges), np.ones(days)])
            shares = np.diff(upto, axis=1)
        else:
            weights = np.exp(process.daily * rng.normal(size=(days, 9))) * 0.7 ** np.arange(9)
            if change.swap:
                weights[hit] = weights[hit][:, [1, 0, *range(2, 9)]]
            shares = weights / weights.sum(axis=1, keepdims=True)
        shares = np.clip(shares, 0, None)
        drawn = rng.multinomial(counts, shares / shares.sum(axis=1, keepdims=True))
        for day in range(days):
            tallies[day][subject.key] = drawn[day]
    keys = [f"{day:05}" for day in range(days)]
    known = dict(zip(keys[: process.partitions], tallies, strict=False))
    phases = {key: day % 7 for day, key in enumerate(keys)}
    return build(subjects(process), known, phases, (), 0.9, 1), tallies[process.partitions :]


@dataclass
class Found:
    """Of many later partitions: those with any alarm, alarms by the tests alone, replays that would have retrained."""

    partitions: int = 0
    alarms: int = 0
    alone: int = 0
    found: int = 0
    retrained: int = 0
    replays: int = 0


def replay(process: Process, change: Change, replays: int, later: int = LATER, seed: int = 0) -> Found:
    """Judge `later` partitions after each of `replays` draws."""
    out = Found(replays=replays)
    changed = {f"n{c}" for c in change.columns} | {f"c{c}" for c in change.columns}
    for number in range(replays):
        rng = np.random.default_rng([seed, number])
        reference, tallies = draw(process, change, later, rng)
        streak: dict[str, int] = {}
        lasting = False
        for day, tally in enumerate(tallies):
            phase = (process.partitions + day) % 7
            verdicts = reference.judge(tally, phase, LIMITS)
            drifted = [v for v in verdicts if v.drifted]
            out.partitions += 1
            out.alarms += bool(drifted)
            out.alone += any(v.p_adjusted <= LIMITS.alpha for v in verdicts)
            out.found += any(v.subject.name in changed for v in drifted)
            names = {v.subject.key for v in drifted if v.subject.kind in SETTINGS.retrain_on}
            streak = {name: streak.get(name, 0) + 1 for name in names}
            lasting = lasting or any(length >= SETTINGS.lasting for length in streak.values())
        out.retrained += lasting
    return out
