"""A proposed threshold -> what it would have meant, before anybody accepts it; and stored scores flagged anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.threshold import AlertBudget, Threshold
from pynomaly_pipelines.stages.thresholds.in_force import (
    derive,
    derive_or_fall_back,
    history_of,
    is_current,
    rule_of,
    up_to_now,
)
from pynomaly_pipelines.stages.thresholds.rules import LOWEST, Derived, Tried, try_out
from pynomaly_pipelines.stages.training import Window


@dataclass(frozen=True)
class Effect:
    """A threshold and what it would have meant over the periods that passed."""

    derived: Derived
    tried: Tried
    caught: int | None
    """Labelled anomalies or known events over it; None without labels."""


@dataclass(frozen=True)
class Proposal:
    """The threshold in force and the one proposed, on the same rows, by the champion as it is now."""

    version: Version
    who: str
    """Who made the rule in force."""
    pending: bool
    """Whether the rule in force was changed since the last scoring, so that it takes effect with the next."""
    present: Effect
    proposed: Effect | None
    rule: Threshold | None
    """The proposed rule."""
    known: int | None
    """Labelled anomalies or known events on these rows."""

    def picture(self) -> bytes:
        """Alerts of each period, at the one and at the other."""
        from pynomaly_pipelines.stages.thresholds.alert_plots import before_and_after

        titles = [f"{name} {effect.derived.score:.4f}" for name, effect in self._effects()]
        after = self.proposed.tried.alerts if self.proposed else None
        tried = (self.proposed or self.present).tried
        return before_and_after(self.present.tried.alerts, after, tried.per, tried.budget, (titles[0], titles[-1]))

    def _effects(self) -> list[tuple[str, Effect]]:
        found = [("present", self.present)]
        return found if self.proposed is None else [*found, ("proposed", self.proposed)]


def propose(spec: PipelineSpec, lake: Lake, registry: Registry, rule: Threshold | None = None) -> Proposal:
    """What the rule in force means for the champion, and what another rule would; nothing is written.

    The proposed threshold is derived from all validated rows up to now, of which labels count only where the champion
    was not fitted on them.

    Raises:
        NoChampion: nothing was promoted yet.
        NotEnoughData: the labels do not suffice for the proposed rule.
    """
    version = registry.champion(spec.name)
    scorer = registry.load(version)
    trained = Window.from_json(version.tags["window"], lake, spec.name)
    window = up_to_now(spec, lake, trained)
    now, who = rule_of(spec, registry)
    pending = not is_current(version, now)
    if pending:
        present = derive_or_fall_back(spec, now, scorer, lake, trained)
    else:
        basis = version.tags.get("threshold_basis", "")
        present = Derived(version.threshold, version.tags.get("threshold_rule", "set in the registry"), basis)
    proposed = None if rule is None else derive(spec, rule, scorer, lake, window)
    budget = (rule.budget if rule else None) or now.budget
    lowest = min([LOWEST, present.score, *([proposed.score] if proposed else [])])
    shown = budget or AlertBudget(alerts=1)
    history = history_of(spec, lake, scorer, shown, window, floor=lowest, known=True)

    def effect(derived: Derived) -> Effect:
        caught = None if history.known is None else history.caught(derived.score)
        return Effect(derived, try_out(spec, budget, history, derived.score), caught)

    after = effect(proposed) if proposed else None
    return Proposal(version, who, pending, effect(present), after, rule, history.known)


@dataclass(frozen=True)
class Reflagged:
    """A partition of `scores` that was flagged anew."""

    partition: str
    rows: int
    before: int
    """Anomalies before."""
    after: int


def reflag(
    spec: PipelineSpec,
    lake: Lake,
    threshold: float,
    partitions: Sequence[str] | None = None,
    report: Callable[[Reflagged], None] = lambda _: None,
) -> list[Reflagged]:
    """Rewrite `threshold` and `is_anomaly` of stored scores, one commit a partition; nothing is scored again.

    Scores are comparable across versions, so all stored ones are held against the same threshold. A partition that has
    it already is left alone. Rows that become anomalies have reasons only as far as they were stored.
    """
    keys = sorted(lake.counts(spec.name, "scores")) if partitions is None else list(partitions)
    done = []
    for key in keys:
        rows = lake.read(spec.name, "scores", partitions=[key])
        if pc.all(pc.equal(rows["threshold"], threshold)).as_py():
            continue
        scores = rows["score"].to_numpy()
        flags = np.nan_to_num(scores) > threshold
        changed = _with(rows, "threshold", pa.array(np.full(len(flags), threshold)))
        lake.replace(spec.name, "scores", [key], _with(changed, "is_anomaly", pa.array(flags)))
        before = int(pc.sum(rows["is_anomaly"]).as_py() or 0)
        done.append(Reflagged(key, len(flags), before, int(flags.sum())))
        report(done[-1])
    return done


def _with(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
