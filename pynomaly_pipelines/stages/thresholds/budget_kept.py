"""Stored scores of the latest partition's period -> whether the threshold follows its rule, and keeps to the budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.registry import Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.threshold import AlertBudget, Threshold
from pynomaly_pipelines.stages.features import SERIES
from pynomaly_pipelines.stages.thresholds.alerts import ENTITY, SCORE, TIME, Places, alerts_of, entities, period_of


@dataclass(frozen=True)
class BudgetKept:
    """A threshold, where it comes from, and the alerts of the period so far."""

    threshold: float
    rule: str
    basis: str
    fallback: bool
    """Whether something else than the rule had to decide; the basis says why."""
    budget: AlertBudget | None
    period: str = ""
    """First day of the period that the latest partition is in."""
    alerts: int | None = None
    """Alerts that began in it, up to that partition; None without a budget."""

    @property
    def passed(self) -> bool:
        """Whether the rule could be followed and the period keeps to the budget so far."""
        over = self.budget is not None and self.alerts is not None and self.alerts > self.budget.alerts
        return not self.fallback and not over

    def __str__(self) -> str:
        told = f"{self.threshold:.4f}, {self.rule}"
        if self.budget is not None and self.alerts is not None:
            told += f"; {self.alerts} alerts in the {self.budget.per} of {self.period}, budget {self.budget.alerts}"
        return f"{told}; {self.basis}" if self.fallback else told


def budget_kept(spec: PipelineSpec, lake: Lake, version: Version, partitions: Sequence[Partition]) -> BudgetKept:
    """The threshold of the version that scored these partitions, and the alerts of the latest one's period so far."""
    rule = Threshold.model_validate_json(version.tags.get("threshold_setting", "{}"))
    told = BudgetKept(
        version.threshold,
        version.tags.get("threshold_rule", "set in the registry"),
        version.tags.get("threshold_basis", ""),
        json.loads(version.tags.get("threshold_fallback", "false")),
        rule.budget,
    )
    last = max(partitions)
    if rule.budget is None or last.start is None:
        return told
    start = period_of(pd.Series([pd.Timestamp(last.start)]), rule.budget.per, spec.timezone).iloc[0]
    alerts = _since(spec, lake, start, last, rule.budget)
    return BudgetKept(
        told.threshold, told.rule, told.basis, told.fallback, rule.budget, f"{start:%Y-%m-%d}", len(alerts)
    )


def _since(spec: PipelineSpec, lake: Lake, start: pd.Timestamp, last: Partition, budget: AlertBudget) -> pd.DataFrame:
    """Alerts from the first day of a period up to a partition, as they are stored."""
    first = Calendar(spec).containing(start.tz_localize(spec.timezone).to_pydatetime())
    keys = [key for key in lake.counts(spec.name, "scores") if first.key <= key <= last.key]
    series = [SERIES] if spec.kind == "series" else []
    columns = [spec.time or "", SCORE, "is_anomaly", *series]
    rows = lake.read(spec.name, "scores", partitions=keys, columns=columns).to_pandas()
    rows = rows[rows[SCORE].notna()].rename(columns={spec.time or "": TIME})
    if not series:
        return alerts_of(rows[rows["is_anomaly"]].assign(entity="", place=0), None)
    rows[ENTITY] = entities(rows[SERIES])
    rows["place"] = Places().of(rows[ENTITY], rows[TIME])
    return alerts_of(rows[rows["is_anomaly"]], budget.quiet)
