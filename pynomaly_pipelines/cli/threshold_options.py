"""Thresholds as options of a command: `5/week`, `f1`, `precision=0.8`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pynomaly_pipelines.spec.threshold import Threshold


class Budget(click.ParamType[tuple[int, str]]):
    """`5/week`: so many alerts a day, week or month."""

    name = "N/PERIOD"

    def convert(
        self, value: str | tuple[int, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, str]:
        """The number and the period."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([1-9]\d*)/(day|week|month)", value)
        if found is None:
            self.fail(f"{value!r} is not a budget such as `5/week` (day, week or month)", param, ctx)
        return int(found.group(1)), found.group(2)


class Goal(click.ParamType[tuple[str, str]]):
    """`f1`, `precision=0.8` or `recall=0.9`."""

    name = "GOAL"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The key of `threshold.labels` and its value."""
        if isinstance(value, tuple):
            return value
        if value == "f1":
            return "best", "f1"
        found = re.fullmatch(r"(precision|recall)=(0?\.\d+)", value)
        if found is None:
            self.fail(f"{value!r} is none of `f1`, `precision=0.8`, `recall=0.9`", param, ctx)
        return found.group(1), found.group(2)


BUDGET, GOAL = Budget(), Goal()


def budget_rule(alerts: int, per: str) -> Threshold:
    """The rule `threshold: {budget: {alerts: …, per: …}}`."""
    from pynomaly_pipelines.spec.threshold import Threshold

    return Threshold.model_validate({"budget": {"alerts": alerts, "per": per}})


def goal_rule(key: str, value: str) -> Threshold:
    """The rule `threshold: {labels: {…}}`."""
    from pynomaly_pipelines.spec.threshold import Threshold

    return Threshold.model_validate({"labels": {key: value}})
