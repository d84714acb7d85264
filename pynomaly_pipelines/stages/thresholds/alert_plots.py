"""Alerts over time -> pictures: against the budget, with known events, before and after a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pynomaly_pipelines.stages.plots import ALARM, GOOD, INK, QUIET, as_png, subplots


def over_time(periods: pd.DataFrame, events: pd.DataFrame, promoted: Sequence[str], per: str) -> bytes:
    """Alerts of each period, those of known events in red, against the budget; events caught and missed, promotions.

    Args:
        periods, events: the tables of a backtest's report.
        promoted: when a version became champion.
    """
    figure, (axes, marks) = subplots(9.0, 3.6, 2, heights=(5, 1))
    if periods.empty:
        return as_png(figure)
    starts = pd.to_datetime(periods[per])
    width = {"day": 0.8, "week": 5.6, "month": 24}[per]
    middle = starts + pd.Timedelta(days={"day": 0.5, "week": 3.5, "month": 15}[per])
    others = periods["alerts"] - periods["of known events"]
    axes.bar(middle, others, width, color=GOOD, label="alerts")
    axes.bar(middle, periods["of known events"], width, bottom=others, color=ALARM, label="alerts of known events")
    title = f"{int(periods['alerts'].sum())} alerts in {len(periods)} {per}s"
    if periods["budget"].notna().any():
        budget = float(periods["budget"].iloc[0])
        axes.axhline(budget, color=INK, linewidth=1, linestyle="--", label=f"budget of {budget:g} a {per}")
        title += f", {int(periods['over'].sum())} {per}s over the budget"
    axes.set_title(title, loc="left", fontsize=9)
    axes.legend(frameon=False, fontsize=7, ncols=3, loc="upper right")
    # Room for the legend above the highest bar.
    axes.set_ylim(0, 1.3 * max(1.0, float(periods["alerts"].max()), float(periods["budget"].fillna(0).max())))
    _mark(marks, events, promoted)
    return as_png(figure)


def before_and_after(
    present: pd.Series, proposed: pd.Series | None, per: str, budget: float | None, titles: tuple[str, str]
) -> bytes:
    """Alerts of each period that passed at the present threshold, and beside them at a proposed one."""
    figure, (axes,) = subplots(9.0, 2.8, 1)
    places = np.arange(len(present))
    width = 0.8 if proposed is None else 0.4
    axes.bar(places if proposed is None else places - 0.2, present.to_numpy(), width, color=QUIET, label=titles[0])
    if proposed is not None:
        axes.bar(places + 0.2, proposed.to_numpy(), width, color=GOOD, label=titles[1])
    if budget is not None:
        axes.axhline(budget, color=INK, linewidth=1, linestyle="--", label=f"budget of {budget:g} a {per}")
    shown = np.unique(np.linspace(0, max(0, len(present) - 1), 8).astype(int))[: max(1, len(present))]
    if len(present):
        axes.set_xticks(shown, [f"{present.index[i]:%Y-%m-%d}" for i in shown])
    highest = max([1.0, budget or 0.0, *present.to_list(), *([] if proposed is None else proposed.to_list())])
    axes.set_ylim(0, 1.35 * highest)
    axes.set_title(f"alerts a {per}", loc="left", fontsize=9)
    axes.legend(frameon=False, fontsize=7, ncols=3, loc="upper right")
    return as_png(figure)


def _mark(axes: Any, events: pd.DataFrame, promoted: Sequence[str]) -> None:
    """Below the bars, on the same axis of time: events caught and missed, and new champions."""
    rows = ["champions"]
    axes.plot(pd.to_datetime(list(promoted)), np.zeros(len(promoted)), "|", color=QUIET, markersize=8)
    if len(events):
        rows.append("events")
        caught = events["caught"].astype(bool)
        times = pd.to_datetime(events["start"])
        axes.plot(times[caught], np.ones(int(caught.sum())), "o", color=ALARM, markersize=4, label="caught")
        axes.plot(
            times[~caught],
            np.ones(int((~caught).sum())),
            "o",
            color=ALARM,
            markersize=4,
            fillstyle="none",
            label="missed",
        )
        axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper left", bbox_to_anchor=(0, 1.5))
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.spines[["left", "bottom"]].set_visible(False)
