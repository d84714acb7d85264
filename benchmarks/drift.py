"""How often drift is cried without any, how surely it is found, and what it costs.

    python -m benchmarks.drift [--replays 1000] [--part false|power|naive|rows|cost]

Each replay draws training partitions and later ones from one process and judges the later ones as the product does:
six numeric columns, two categories with missing values, the number of rows, all tests of a partition together. What
differs from day to day is drawn for each partition; given that, rows are independent, so that counts in cells are
drawn from the multinomial distribution that rows would have given, at any number of rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.drift.cells import Cells
from pynomaly_pipelines.detection.drift.reference import Limits, Reference, Subject, build
from pynomaly_pipelines.spec import Drift

SETTINGS = Drift()
LIMITS = Limits(SETTINGS.alpha, SETTINGS.min_effect, SETTINGS.min_share, SETTINGS.min_ratio)
NUMBERS, CATEGORIES = 6, 2
LATER = 10


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


# ---------------------------------------------------------------------------------------------------- the parts

STATIONARY = (
    Process("days of 100 rows", 100),
    Process("days of 1,000 rows", 1_000),
    Process("days of 100,000 rows", 100_000),
    Process("rows differ, days do not", 10_000, daily=0.0, spread=0.0),
    Process("heavy tails", 10_000, heavy=True),
    Process("weekends differ by half a deviation", 10_000, weekly=0.5),
    Process("weekly, and days alike (0.5)", 10_000, weekly=0.5, alike=0.5),
    Process("weekly, alike, heavy, 100,000 rows", 100_000, weekly=0.5, alike=0.5, heavy=True),
    Process("only 20 training partitions", 1_000, partitions=20),
    Process("only 10 training partitions", 1_000, partitions=10),
)
CHANGES = (
    ("level by 0.1 deviations", Change(level=0.1)),
    ("level by 0.25 deviations", Change(level=0.25)),
    ("level by 0.5 deviations", Change(level=0.5)),
    ("level by 1 deviation", Change(level=1.0)),
    ("spread by half", Change(spread=1.5)),
    ("two categories swapped", Change(swap=True)),
    ("missing share up by 5 %", Change(missing=0.05)),
)


def false_alarms(replays: int) -> None:
    """Stationary data: the share of partitions with any alarm, and of replays in which it lasted."""
    print(f"\nfalse alarms, {replays:,} replays of {LATER} later partitions each, alpha {LIMITS.alpha:.0%}")
    print("| process | tests alone | alarms | replays retrained |\n| --- | --- | --- | --- |")
    for process in STATIONARY:
        found = replay(process, Change(), replays)
        alone, alarms = found.alone / found.partitions, found.alarms / found.partitions
        print(f"| {process.name} | {alone:.2%} | {alarms:.2%} | {found.retrained} of {replays:,} |", flush=True)


def power(replays: int) -> None:
    """One column changes: the share of partitions in which it is found, and of replays in which it lasted."""
    print(f"\npower, {replays:,} replays of 10 changed partitions each, days differ by 0.1 deviations")
    sizes = (100, 1_000, 100_000)
    print("| change | " + " | ".join(f"{size:,} rows" for size in sizes) + " |\n|" + " --- |" * (len(sizes) + 1))
    for name, change in CHANGES:
        cells = []
        for size in sizes:
            found = replay(Process("", size, weekly=0.3), change, replays, later=10, seed=1)
            cells.append(f"{found.found / found.partitions:.0%} ({found.retrained / replays:.0%} last)")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def naive(replays: int) -> None:
    """What the usual tests on rows say of the same stationary days: Kolmogorov–Smirnov, Bonferroni-corrected."""
    from scipy.stats import ks_2samp

    print("\nKolmogorov–Smirnov on the rows, six columns, days differ by 0.1 deviations: partitions with an alarm")
    for rows in (100, 1_000, 100_000):
        rng = np.random.default_rng(4)
        some = max(10, replays // 20)
        alarms = 0
        for _ in range(some):
            usual = [rng.normal(size=5 * rows) + 0.1 * np.repeat(rng.normal(size=5), rows) for _ in range(NUMBERS)]
            today = [rng.normal(size=rows) + 0.1 * rng.normal() for _ in range(NUMBERS)]
            p = [ks_2samp(new, old).pvalue for new, old in zip(today, usual, strict=True)]
            alarms += min(p) < LIMITS.alpha / NUMBERS
        print(f"- {rows:,} rows a day: {alarms / some:.0%} of {some} days", flush=True)


def rows_alike(replays: int) -> None:
    """Rows that resemble their neighbours (0.9), so that a day of 1,000 is worth about 50: through the cells."""
    print(f"\nrows resemble their neighbours (0.9), 1,000 a day, heavy tails, {replays:,} replays of 10 later days")
    alarms = judged = 0
    for number in range(replays):
        rng = np.random.default_rng([7, number])
        days = [walk(1_000, 0.9, rng) for _ in range(60)]
        cells = Cells.learn([pd.Series(day) for day in days[:50]], "x")
        subject = Subject("features", "x", "values", "distribution", cells)
        tallies = {f"{i:03}": {subject.key: cells.count(pd.Series(day))[0]} for i, day in enumerate(days)}
        keys = list(tallies)
        known = {key: tallies[key] for key in keys[:50]}
        reference = build([subject], known, {key: i % 7 for i, key in enumerate(keys)}, (), 0.9, 1)
        for i, key in enumerate(keys[50:], start=50):
            judged += 1
            alarms += any(v.drifted for v in reference.judge(tallies[key], i % 7, LIMITS))
    print(f"- partitions with an alarm: {alarms / judged:.2%}", flush=True)


def walk(rows: int, alike: float, rng: np.random.Generator) -> np.ndarray:
    """Autocorrelated rows with a heavy tail, float64[rows]."""
    from scipy.signal import lfilter

    steps = rng.normal(size=rows + 200)
    smooth = lfilter([np.sqrt(1 - alike**2)], [1.0, -alike], steps)[200:]
    return np.asarray(np.sinh(smooth))


def cost() -> None:
    """Processor time of counting rows and of judging counts."""
    print("\ncost, processor time")
    for rows in (10_000, 100_000, 1_000_000):
        x = pd.Series(np.random.default_rng(0).normal(size=rows))
        cells = Cells.learn([x], "x")
        print(f"- counting {rows:,} values: {1e3 * seconds(lambda c=cells, v=x: c.count(v)):.1f} ms")
    for columns in (10, 100, 1_000):
        process = Process("", 1_000)
        cells = subjects(process)[0].cells
        many = [Subject("features", f"n{i}", "values", "distribution", cells) for i in range(columns)]
        rng = np.random.default_rng(0)
        tally = [{s.key: rng.multinomial(1_000, np.full(20, 0.05)) for s in many} for _ in range(91)]
        phases = {f"{i:02}": i % 7 for i in range(90)}
        reference = build(many, {f"{i:02}": tally[i] for i in range(90)}, phases, (), 0.9, 1)
        took = seconds(lambda r=reference, t=tally[90]: r.judge(t, 0, LIMITS))
        size = len(reference.to_json()) / 1e3
        print(f"- judging {columns:,} columns: {1e3 * took:.1f} ms; the reference is {size:,.0f} kB")


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """Least processor time of a few calls."""
    took = []
    for _ in range(times):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return min(took)


def main() -> None:
    """All parts, or the one named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=1_000)
    parser.add_argument("--part", choices=["false", "power", "naive", "rows", "cost"])
    given = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "cost": cost,
        "naive": lambda: naive(given.replays),
        "false": lambda: false_alarms(given.replays),
        "power": lambda: power(max(1, given.replays // 5)),
        "rows": lambda: rows_alike(max(1, given.replays // 2)),
    }
    for name, part in parts.items():
        if given.part in (None, name):
            part()


if __name__ == "__main__":
    main()
