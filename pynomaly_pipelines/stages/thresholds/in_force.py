"""A version and its history -> the threshold in force, the rule it follows, and a trace of every change.

The rule is what a person accepted last (`pynomaly threshold --accept`), or what `defs.yaml` says: a change of the YAML
ends the acceptance. The threshold follows from the rule, the version and the validated rows up to the end of its
training window alone, so that it comes out the same whenever it is asked for.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.cache import announce, tags
from pynomaly_pipelines.operations.errors import NotEnoughData
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.threshold import AlertBudget, Threshold
from pynomaly_pipelines.stages.features import (
    ORIGIN,
    SERIES,
    TIMESTAMP,
    VALUE,
    detector_frame,
    events_at,
    labels_of,
    needed_columns,
    read_events,
)
from pynomaly_pipelines.stages.thresholds import rules as thresholds
from pynomaly_pipelines.stages.thresholds.alerts import ENTITY, PLACE, SCORE, TIME, Places, entities
from pynomaly_pipelines.stages.thresholds.rules import LOWEST, Derived, History, in_words, setting
from pynomaly_pipelines.stages.training import Window, read_sampled, read_window

if TYPE_CHECKING:
    import pyarrow as pa

    from pynomaly_pipelines.detection import Scorer

ACCEPTED = "threshold_accepted"
"""Tag of a pipeline's registered model: the rule a person accepted, and the one in the YAML that it stands above."""
CHANGES = "threshold_history"
"""Tag of a version: its changes, the latest first, as many as fit; all of them are artifacts of its run."""
YAML = "defs.yaml"
_LENGTHS = {"day": pd.Timedelta(days=1), "week": pd.Timedelta(days=7), "month": pd.Timedelta(days=31)}
_LONGEST_TAG = 4800


@dataclass(frozen=True)
class Change:
    """One change of a version's threshold."""

    version: int
    before: float
    after: float
    rule: str
    basis: str
    who: str
    when: str
    why: str


def rule_of(spec: PipelineSpec, registry: Registry) -> tuple[Threshold, str]:
    """The rule in force, and who made it: a person's name, or `defs.yaml`."""
    text = registry.pipeline_tags(spec.name).get(ACCEPTED)
    if text is not None:
        told = json.loads(text)
        if told["over"] == setting(spec.threshold):
            return Threshold.model_validate(told["rule"]), str(told["who"])
    return spec.threshold, YAML


def derive(spec: PipelineSpec, rule: Threshold, scorer: Scorer, lake: Lake, window: Window) -> Derived:
    """The threshold that a rule gives a scorer, from the validated rows up to the end of a window.

    Raises:
        NotEnoughData: too few labels for a threshold from labels, or none reaches the goal.
    """
    words = in_words(rule)
    if rule.score is not None:
        return Derived(rule.score, words, "as set")
    if rule.budget is not None:
        history = history_of(spec, lake, scorer, rule.budget, window)
        return _of_budget(spec, rule.budget, words, history, scorer)
    if rule.labels is not None:
        scores, labels = _labelled(spec, lake, scorer, window)
        score, basis = thresholds.from_labels(rule.labels, scores, labels, spec.training.seed)
        return Derived(score, words, basis)
    return Derived(scorer.score_at_tail(rule.rate), words, "the calibration's tail")


def derive_or_fall_back(spec: PipelineSpec, rule: Threshold, scorer: Scorer, lake: Lake, window: Window) -> Derived:
    """As `derive`; where labels do not suffice, from the default share of ordinary rows, and it says so."""
    try:
        return derive(spec, rule, scorer, lake, window)
    except NotEnoughData as error:
        score = scorer.score_at_tail(rule.rate)
        basis = f"{error.problem}: alert rate {rule.rate:g} instead ({error.rule})"
        return Derived(score, in_words(rule), basis, fallback=True)


def tags_of(rule: Threshold, derived: Derived) -> dict[str, str]:
    """What a version carries of its threshold."""
    return {
        "threshold": repr(float(derived.score)),
        "threshold_rule": derived.rule,
        "threshold_basis": derived.basis,
        "threshold_fallback": "true" if derived.fallback else "false",
        "threshold_setting": setting(rule),
    }


def in_force(spec: PipelineSpec, lake: Lake, registry: Registry, version: Version, scorer: Scorer) -> Version:
    """The version with the threshold that the rule in force gives it; derived and noted if the rule was changed."""
    rule, who = rule_of(spec, registry)
    if is_current(version, rule):
        return version
    window = Window.from_json(version.tags["window"], lake, spec.name)
    derived = derive_or_fall_back(spec, rule, scorer, lake, window)
    return _note(registry, version, rule, derived, who, "the rule was changed")


def is_current(version: Version, rule: Threshold) -> bool:
    """Whether a version's threshold follows from a rule; one that was set by hand in the registry stays."""
    return version.tags.get("threshold_setting") in (None, setting(rule))


def accept(
    spec: PipelineSpec, registry: Registry, version: Version, rule: Threshold, derived: Derived, *, who: str, why: str
) -> Version:
    """Make a rule the one in force, for this version with the threshold derived for it; no training, no new version."""
    told = {"rule": json.loads(setting(rule)), "over": setting(spec.threshold), "who": who, "when": _now(), "why": why}
    registry.tag_pipeline(spec.name, {ACCEPTED: json.dumps(told)})
    return _note(registry, version, rule, derived, who, why)


def changes(version: Version) -> list[Change]:
    """The changes of a version's threshold that its tag tells of, the latest first."""
    return [Change(**told) for told in json.loads(version.tags.get(CHANGES, "[]"))]


def up_to_now(spec: PipelineSpec, lake: Lake, window: Window) -> Window:
    """The window with all validated partitions that came after it, which the version was not fitted on."""
    later = tuple(key for key in sorted(lake.counts(spec.name, "validated")) if key > window.partitions[-1])
    now = lake.version(spec.name, "validated")
    return replace(
        window, partitions=(*window.partitions, *later), holdout=(*window.holdout, *later), table_version=now
    )


# ------------------------------------------------------------------------------------------------------ history


def history_of(
    spec: PipelineSpec,
    lake: Lake,
    scorer: Scorer,
    budget: AlertBudget,
    window: Window,
    *,
    floor: float = LOWEST,
    known: bool = False,
) -> History:
    """What a scorer says of the periods that a budget is tried on: the latest up to the end of a window.

    Records: at most `training.max_rows` rows, drawn per partition. Series are read whole, with the past they need.

    Args:
        floor: only rows that score at least this much are kept.
        known: whether to look which of them are known anomalies.
    """
    stretch = _stretch(spec, lake, scorer, budget, window)
    if spec.kind == "series":
        # One read: a series is read whole, and opening a table costs more than a day of it.
        schema = lake.schema(spec.name, "validated")
        whole = lake.read(
            spec.name,
            "validated",
            partitions=stretch.partitions,
            columns=needed_columns(spec, schema),
            version=window.table_version,
        )
        tables = [whole]
        rows = _scored_points(spec, whole, scorer)
    else:
        tables = [table for _, table in read_sampled(spec, lake, stretch)]
        rows = pd.concat([_scored_rows(spec, table, scorer) for table in tables], ignore_index=True)
    if known and spec.labels is not None:
        rows = rows.assign(event=_known(spec, tables))
    rows = rows[rows[SCORE].notna() & rows[TIME].notna()]
    if spec.kind == "series":
        rows = rows.assign(place=Places().of(rows[ENTITY], rows[TIME]))
    last = Calendar(spec).partition(stretch.partitions[-1]).end
    counts = lake.counts(spec.name, "validated", version=window.table_version)
    there = sum(counts[key] for key in stretch.partitions)
    return History(
        rows=rows[rows[SCORE] >= floor].reset_index(drop=True),
        scored=len(rows),
        first=rows[TIME].min(),
        end=pd.Timestamp(last) if last is not None else rows[TIME].max().ceil("D"),
        weight=max(1.0, there / max(1, sum(table.num_rows for table in tables))),
        quiet=budget.quiet if spec.kind == "series" else None,
        floor=floor,
        known=int(rows.loc[rows["event"] >= 0, "event"].nunique()) if "event" in rows else None,
    )


def _stretch(spec: PipelineSpec, lake: Lake, scorer: Scorer, budget: AlertBudget, window: Window) -> Window:
    known = sorted(lake.counts(spec.name, "validated", version=window.table_version))
    keys = [key for key in known if key <= window.partitions[-1]]
    calendar = Calendar(spec)
    end = calendar.partition(keys[-1]).end
    if end is not None:
        back = (budget.history + 1) * _LENGTHS[budget.per] + getattr(scorer, "history", pd.Timedelta(0))
        oldest = calendar.containing(max(end - back, calendar.partition(keys[0]).start or end))
        keys = [key for key in keys if key >= oldest.key]
    return replace(window, partitions=tuple(keys), holdout=())


def _scored_points(spec: PipelineSpec, table: pa.Table, scorer: Scorer) -> pd.DataFrame:
    points = detector_frame(spec, table)[[TIMESTAMP, SERIES, VALUE]]
    return pd.DataFrame({ENTITY: entities(points[SERIES]), TIME: points[TIMESTAMP], SCORE: scorer.score(points)})


def _scored_rows(spec: PipelineSpec, table: pa.Table, scorer: Scorer) -> pd.DataFrame:
    scores = scorer.score(detector_frame(spec, table))
    return pd.DataFrame({ENTITY: "", TIME: table[spec.time].to_pandas(), PLACE: 0, SCORE: scores})


def _known(spec: PipelineSpec, tables: list[pa.Table]) -> np.ndarray:
    """int64[n]: the number of the known event each row or point lies in, or of the labelled row itself; -1 for none."""
    found: list[np.ndarray] = []
    events = read_events(spec) if spec.labels is not None and spec.labels.events is not None else None
    for table in tables:
        frame = detector_frame(spec, table)
        numbers = np.full(len(frame), -1)
        if events is None:
            labels = labels_of(spec, table, frame)
            marked = np.zeros(len(frame), dtype=bool) if labels is None else np.nan_to_num(labels) == 1
            numbers[marked] = sum(len(before) for before in found) + np.flatnonzero(marked)
        else:
            origin = frame[ORIGIN].to_numpy() if spec.kind == "series" else np.arange(len(frame))
            for number, inside in events_at(spec, table, events):
                numbers[inside[origin]] = number
        found.append(numbers)
    return np.concatenate(found)


def _labelled(spec: PipelineSpec, lake: Lake, scorer: Scorer, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of the rows a version was not fitted on."""
    split = read_window(spec, lake, window)
    frame = split.holdout
    if spec.kind == "series":
        frame = pd.concat([split.history, split.holdout], ignore_index=True)[[TIMESTAMP, SERIES, VALUE]]
    scores = split.judged(scorer.score(frame)[len(frame) - len(split.holdout) :])
    labels = split.holdout_labels
    return scores, labels if labels is not None else np.full(len(scores), np.nan)


# ------------------------------------------------------------------------------------------------------ helpers


def _of_budget(spec: PipelineSpec, budget: AlertBudget, words: str, history: History, scorer: Scorer) -> Derived:
    score, basis, fallback = thresholds.from_budget(spec, budget, history, scorer)
    return Derived(score, words, basis, fallback)


def _note(registry: Registry, version: Version, rule: Threshold, derived: Derived, who: str, why: str) -> Version:
    """Write a change beside the version: its tags are in force at once, the record stays."""
    change = Change(
        version.number, version.threshold, derived.score, derived.rule, derived.basis, who, _now(), why or "–"
    )
    kept = [asdict(entry) for entry in (change, *changes(version))]
    while len(json.dumps(kept)) > _LONGEST_TAG:
        kept.pop()
    record = json.dumps(asdict(change), indent=2).encode()
    registry.log_files(version, "threshold", {f"{change.when.replace(':', '')}.json": record})
    registry.tag(version, {**tags_of(rule, derived), CHANGES: json.dumps(kept)})
    announce(tags.champion(version.pipeline))
    return registry.version(version.pipeline, version.number)


def _now() -> str:
    """When a person decided: the one thing here that is not on the data's clock."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
