"""Verdicts -> pictures: what the new partition is like beside the training partitions, and drift over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.drift.cells import Cells
from pynomaly_pipelines.detection.drift.reference import Reference, Verdict, shares_of
from pynomaly_pipelines.resources.tables import PARTITION
from pynomaly_pipelines.stages.plots import ALARM, GOOD, INK, QUIET, as_png, canvas, grid, plain

KINDS = ("features", "scores")
SHOWN = 3
LINES = 8


def pictures(reference: Reference, verdicts: Sequence[Verdict], latest: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """The distributions that changed most, of features and of scores: the new partition over all training ones."""
    found = {}
    for kind in KINDS:
        chosen = [v for v in verdicts if v.subject.kind == kind and v.subject.measure == "distribution"][:SHOWN]
        if chosen:
            found[f"{kind}.png"] = _beside(reference, chosen, latest)
    return found


def over_time(history: pd.DataFrame, least: float) -> dict[str, bytes]:
    """The stability index of what drifted most, partition by partition, with the smallest that counts."""
    told = history[history["unit"] == "index"]
    if told[PARTITION].nunique() < 2:
        return {}
    names = told["kind"] + ": " + told["subject"]
    wide = told.assign(name=names).pivot_table(index=PARTITION, columns="name", values="effect", aggfunc="max")
    alarms = told.assign(name=names)[told["drifted"]].groupby("name").size()
    order = sorted(wide.columns, key=lambda name: (-alarms.get(name, 0), -float(np.nanmax(wide[name]))))[:LINES]
    figure, axes = canvas(8.0, 2.6)
    for name in order:
        drifts = int(alarms.get(name, 0))
        axes.plot(np.arange(len(wide)), wide[name], linewidth=1.2, label=plain(f"{name}: {drifts} of {len(wide)}"))
    axes.axhline(least, color=ALARM, linestyle="--", linewidth=1)
    marks = np.unique(np.linspace(0, len(wide) - 1, 8).astype(int))
    axes.set_xticks(marks, [str(wide.index[mark]) for mark in marks])
    axes.set_ylabel("stability index", fontsize=8)
    axes.set_title("drift by partition; the legend counts alarms", loc="left", fontsize=9)
    axes.legend(frameon=False, fontsize=6, ncols=2)
    return {"over_time.png": as_png(figure)}


def _beside(reference: Reference, chosen: Sequence[Verdict], latest: Mapping[str, np.ndarray]) -> bytes:
    places = {subject.key: place for place, subject in enumerate(reference.subjects)}
    figure, all_axes = grid(len(chosen), shared=False)
    for verdict, axes in zip(chosen, all_axes, strict=True):
        subject = verdict.subject
        assert subject.cells is not None
        figures = reference.figures[places[subject.key]]
        _bars(axes, shares_of(figures[figures.sum(axis=1) > 0]), shares_of(latest[subject.key]), verdict.drifted)
        _named(axes, subject.cells)
        mark = "drifts" if verdict.drifted else "no drift"
        told = f"{mark}, index {verdict.effect:.2f}, p {verdict.p_adjusted:.2g}"
        title = f"{subject.name}: {told} (usual {verdict.usual}, now {verdict.seen})"
        axes.set_title(plain(title), loc="left", fontsize=8)
    return as_png(figure)


def _bars(axes: Any, usual: np.ndarray, now: np.ndarray, drifted: bool) -> None:
    """Shares now as bars, over the range and the mean of the training partitions."""
    places = np.arange(len(now))
    axes.bar(places, now, width=0.9, color=ALARM if drifted else GOOD, alpha=0.55)
    low, high = np.quantile(usual, [0.05, 0.95], axis=0)
    axes.errorbar(places, usual.mean(axis=0), [usual.mean(axis=0) - np.minimum(low, usual.mean(axis=0)),
                  np.maximum(high, usual.mean(axis=0)) - usual.mean(axis=0)], fmt="o", color=INK, ecolor=QUIET,
                  markersize=2, linewidth=1)  # fmt: skip


def _named(axes: Any, cells: Cells) -> None:
    if cells.family == "categories":
        names = [*cells.names, "others"]
        axes.set_xticks(np.arange(len(names)), [plain(name[:12]) for name in names])
    else:
        texts = [f"{edge:.3g}" for edge in cells.edges]
        # A value with a cell of its own has an edge on either side.
        first = [place for place, text in enumerate(texts) if place == 0 or texts[place - 1] != text]
        axes.set_xticks(np.array(first) + 0.5, [texts[place] for place in first])
    axes.tick_params(labelsize=5)
