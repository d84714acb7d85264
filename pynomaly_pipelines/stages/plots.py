"""Scores -> small PNG pictures a person would look at; under 30 kB each, for Dagster keeps them in its event log."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, QUIET, ALARM, GOOD = "#1f2937", "#9ca3af", "#dc2626", "#2563eb"


def score_histogram(scores: np.ndarray, threshold: float, labels: np.ndarray | None = None) -> bytes:
    """Distribution of scores with the threshold; known anomalies in red where there are labels."""
    figure, axes = canvas(6.2, 2.6)
    known = np.zeros(len(scores), dtype=bool) if labels is None else np.nan_to_num(labels) == 1
    finite = np.isfinite(scores)
    edges = np.linspace(0, 1, 51)
    axes.hist(scores[finite & ~known], edges, color=GOOD, alpha=0.75, label="rows")
    if known.any():
        axes.hist(scores[finite & known], edges, color=ALARM, alpha=0.8, label="known anomalies")
    over = float(np.mean(scores[finite] > threshold)) if finite.any() else 0.0
    axes.axvline(threshold, color=INK, linestyle="--", linewidth=1)
    axes.set_title(f"{finite.sum():,} scores, {over:.2%} over the threshold {threshold:.4g}", loc="left", fontsize=9)
    if finite.any():
        axes.set_yscale("log")
    axes.set_xlabel("score")
    if known.any():
        axes.legend(frameon=False)
    return as_png(figure)


def precision_recall(labels: np.ndarray, scores: np.ndarray, threshold: float) -> bytes:
    """Precision over recall with the point the threshold stands for."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    known = ~np.isnan(labels) & np.isfinite(scores)
    y, s = labels[known], scores[known]
    precision, recall, _ = precision_recall_curve(y, s)
    figure, axes = canvas(3.6, 3.0)
    axes.step(recall, precision, where="post", color=GOOD)
    axes.axhline(float(y.mean()), color=QUIET, linewidth=1, linestyle=":", label="guessing")
    flagged = s > threshold
    if flagged.any():
        axes.plot(y[flagged].sum() / y.sum(), y[flagged].mean(), "o", color=ALARM, label="at the threshold")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_title(f"average precision {average_precision_score(y, s):.3f}", loc="left", fontsize=9)
    axes.legend(frameon=False, fontsize=7)
    return as_png(figure)


def series_scores(
    points: pd.DataFrame, scores: np.ndarray, threshold: float, labels: np.ndarray | None = None, limit: int = 6
) -> bytes:
    """Each series as a line with its anomalies in red and known events shaded; the `limit` most anomalous series.

    Args:
        points: long frame with `timestamp`, `series`, `value`.
        scores: one per point.
    """
    groups = {str(name): np.asarray(rows) for name, rows in points.groupby("series").indices.items()}
    order = sorted(groups, key=lambda name: -float(np.nanmax(np.nan_to_num(scores[groups[name]]))))[:limit]
    figure, all_axes = grid(len(order))
    for name, axes in zip(sorted(order), all_axes[: len(order)], strict=True):
        rows = groups[name][np.argsort(points["timestamp"].to_numpy()[groups[name]], kind="stable")]
        times, values = points["timestamp"].to_numpy()[rows], points["value"].to_numpy()[rows]
        over = np.nan_to_num(scores[rows]) > threshold
        if labels is not None:
            _shade(axes, times, np.nan_to_num(labels[rows]) == 1)
        axes.plot(times, values, color=GOOD, linewidth=0.7)
        axes.plot(times[over], values[over], ".", color=ALARM, markersize=4)
        axes.set_title(plain(f"{name}: {over.sum()} anomalies"), loc="left", fontsize=8)
    return as_png(figure, dpi=70)


def anomalies_over_time(counts: pd.Series) -> bytes:
    """Anomalies per partition; the index holds the partition keys in order."""
    figure, axes = canvas(8.0, 2.2)
    axes.bar(np.arange(len(counts)), counts.to_numpy(), width=1.0, color=GOOD)
    marks = np.unique(np.linspace(0, len(counts) - 1, 8).astype(int))
    axes.set_xticks(marks, [str(counts.index[m]) for m in marks])
    high = counts.nlargest(3)
    for key, value in high.items():
        axes.annotate(str(key), (counts.index.get_loc(key), value), fontsize=7, ha="center", color=ALARM)
    axes.set_title(f"{int(counts.sum()):,} anomalies in {len(counts):,} partitions", loc="left", fontsize=9)
    return as_png(figure)


def counted(counts: Mapping[str, int], title: str, limit: int = 12) -> bytes:
    """The largest counts as bars, the largest on top: reasons, columns."""
    largest = sorted(counts.items(), key=lambda entry: entry[1])[-limit:]
    figure, axes = canvas(6.2, 0.6 + 0.22 * max(3, len(largest)))
    axes.barh([plain(_short(name)) for name, _ in largest], [count for _, count in largest], color=GOOD)
    axes.set_title(title, loc="left", fontsize=9)
    return as_png(figure)


def rows_over_time(rows: Mapping[str, int], set_aside: Mapping[str, int], title: str, limit: int = 400) -> bytes:
    """Rows of each partition, and above them in red those that were set aside; the latest `limit` partitions."""
    keys = sorted(rows.keys() | set_aside.keys())[-limit:]
    good = np.array([rows.get(key, 0) for key in keys])
    bad = np.array([set_aside.get(key, 0) for key in keys])
    figure, axes = canvas(8.0, 2.0)
    axes.bar(np.arange(len(keys)), good, width=1.0, color=GOOD)
    axes.bar(np.arange(len(keys)), bad, width=1.0, bottom=good, color=ALARM)
    marks = np.unique(np.linspace(0, max(0, len(keys) - 1), 8).astype(int))
    axes.set_xticks(marks[: len(keys)], [keys[mark] for mark in marks[: len(keys)]])
    axes.set_title(title, loc="left", fontsize=9)
    return as_png(figure)


def inline(png: bytes, title: str) -> str:
    """Markdown with the picture inside, as Dagster's UI shows it."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"


def plain(text: str) -> str:
    """A text from data for matplotlib, which takes what stands between dollar signs for a formula, and may fail."""
    return text.replace("$", r"\$")


def _short(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _shade(axes: Any, times: np.ndarray, inside: np.ndarray) -> None:
    borders = np.flatnonzero(np.diff(np.r_[False, inside, False].astype(int)))
    for start, stop in zip(borders[::2], borders[1::2], strict=True):
        axes.axvspan(times[start], times[stop - 1], color=ALARM, alpha=0.15, linewidth=0)


def canvas(width: float, height: float) -> tuple[Figure, Any]:
    """An empty picture of this many inches."""
    figure, (axes,) = subplots(width, height, 1)
    return figure, axes


def grid(rows: int, *, shared: bool = True) -> tuple[Figure, list[Any]]:
    """Plots below each other; `shared`: over the same axis."""
    return subplots(8.0, 1.15 * max(1, rows) + 0.3, max(1, rows), shared=shared)


def subplots(
    width: float, height: float, rows: int, heights: tuple[float, ...] | None = None, *, shared: bool = True
) -> tuple[Figure, list[Any]]:
    """A figure (inches) of plots above each other, which share the axis below if `shared`; `heights` in proportion."""
    from matplotlib.figure import Figure

    # No pyplot: its figures are global state, and runs share a process.
    figure = Figure(figsize=(width, height), layout="constrained")
    found = figure.subplots(rows, 1, sharex=shared, squeeze=False, height_ratios=heights)[:, 0]
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7, colors=INK)
    return figure, list(found)


def as_png(figure: Figure, dpi: int = 80) -> bytes:
    """The figure as a small PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return _fewer_colours(buffer.getvalue())


def _fewer_colours(png: bytes) -> bytes:
    """The picture with a palette of 64 colours: about a third of the bytes, no visible difference for line art.

    The palette covers all colours there are: one of averages makes few red dots among much blue brown.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(64, method=Image.Quantize.MAXCOVERAGE).save(
        buffer, format="PNG", optimize=True
    )
    return buffer.getvalue()
