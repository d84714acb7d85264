"""Validated partitions -> what the pipeline would have said, day by day, had it run at the time.

Each step takes the partition that ends, in a store of its own: models are trained, judged and promoted by the same
functions at the times the schedule names on the data's clock, and the partition is scored by the champion that was
there before it came. Nothing after a step is known to it, and nothing of the pipeline's own tables or registry is
touched. What the live chain does with hindsight is left out: partitions from before the first champion have no scores,
and a new champion does not score again what its predecessor scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.errors import DataError, NotEnoughData
from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.registry import CHALLENGER, CHAMPION, Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.threshold import AlertBudget
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.backtest.arrived import Arrival, arrivals
from pynomaly_pipelines.stages.contract.columns import SOURCE
from pynomaly_pipelines.stages.evaluation import evaluate
from pynomaly_pipelines.stages.features import (
    ORIGIN,
    SERIES,
    detector_frame,
    events_at,
    labels_of,
    read_events,
)
from pynomaly_pipelines.stages.promotion.registration import register
from pynomaly_pipelines.stages.scoring import assess
from pynomaly_pipelines.stages.thresholds.alerts import ENTITY, KNOWN, PLACE, SCORE, TIME, Places, alerts_of, entities
from pynomaly_pipelines.stages.training import Window, train

Observer = Callable[[datetime, pd.DataFrame], None]
"""Called with the moment on the data's clock and the rows that were scored then."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Step:
    """What one partition got when it came."""

    partition: str
    moment: datetime
    version: int | None
    """The champion that scored it; None before the first."""
    detector: str
    threshold: float
    rows: int
    scored: int
    anomalies: int
    late: int
    """Rows of earlier partitions that came and were scored with it."""
    labelled: int
    """Rows that are labelled anomalies, by column or event."""
    caught: int
    """Those of them over the threshold."""


@dataclass(frozen=True)
class Training:
    """What one training led to."""

    moment: datetime
    why: str
    partitions: int
    last: str
    """The latest partition it was trained or judged on."""
    versions: tuple[int, ...]
    challenger: int | None
    detector: str
    promoted: bool
    verdict: str
    threshold: float
    rule: str
    basis: str


@dataclass
class Event:
    """A known event, and when it was caught."""

    start: pd.Timestamp
    end: pd.Timestamp
    what: str
    points: int = 0
    """Its points that were scored; an event without any can't be caught."""
    flagged: int = 0
    score: float = 0.0
    """The highest."""
    first: pd.Timestamp | None = None
    """Time of the first anomaly in it."""
    known: datetime | None = None
    """When that was known: the end of the partition it came with."""


@dataclass
class Backtest:
    """What a replay gave."""

    spec: PipelineSpec
    first: str
    last: str
    steps: list[Step] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    anomalies: list[pd.DataFrame] = field(default_factory=list)
    """Columns entity, time, place, score, series (or empty), partition, model_version, known (in an event or label)."""

    @property
    def budget(self) -> AlertBudget | None:
        """The budget in force, if the threshold follows from one."""
        return self.spec.threshold.budget

    def alerts(self) -> pd.DataFrame:
        """Alerts as people would have got them, see `alerts_of`."""
        quiet = (self.budget or AlertBudget(alerts=1)).quiet if self.spec.kind == "series" else None
        return alerts_of(self.flagged(), quiet)

    def flagged(self) -> pd.DataFrame:
        """All anomalies, as described at `anomalies`."""
        columns = [ENTITY, TIME, PLACE, SCORE, SERIES, "partition", "model_version", KNOWN]
        nothing = pd.DataFrame(columns=columns).astype({TIME: "datetime64[us, UTC]", PLACE: "int64", KNOWN: bool})
        return pd.concat(self.anomalies, ignore_index=True) if self.anomalies else nothing


def backtest(
    spec: PipelineSpec,
    live: Lake,
    first: str,
    last: str,
    store: tuple[Lake, Registry],
    *,
    observe: Observer = lambda *_: None,
    progress: Progress = lambda *_: None,
) -> Backtest:
    """Replay partitions from `first` to `last`, both included, as it would have happened.

    Models are trained from the pipeline's beginning on, since a champion depends on those before it, so that a month
    has the same answers whether the replay starts with it or before. `spec.automation.retrain` says when.

    Args:
        live: the pipeline's tables; only read.
        store: empty tables and an empty registry that the replay fills.

    Raises:
        DataError: the pipeline has no partitions, or none between the two was validated.
    """
    known = sorted(live.counts(spec.name, "validated"))
    chosen = [key for key in known if first <= key <= last]
    if spec.partition == "whole" or not chosen:
        raise DataError(
            f"pipeline {spec.name!r} has no validated partition from {first} to {last}",
            rule="a backtest replays validated partitions, one after another",
            fix=f"run `pynomaly run {spec.name}` first, and choose from {known[0]} to {known[-1]}" if known else "",
        )
    # The gate also looks at processor time, which differs from one replay to the next: no price is too high here.
    free = spec.promotion.model_copy(update={"free_cost_ms": 1e9})
    spec = spec.model_copy(update={"promotion": free})
    replay = _Replay(spec, live, store, Backtest(spec, chosen[0], chosen[-1]), observe)
    total = sum(key <= last for key in known)
    for done, arrival in enumerate(arrivals(spec, live)):
        if arrival.partition.key > last:
            break
        progress(done, total)
        replay.step(arrival)
    progress(total, total)
    return replay.result


class _Replay:
    """The store of a replay, its clock, and what came of it so far."""

    def __init__(
        self, spec: PipelineSpec, live: Lake, store: tuple[Lake, Registry], result: Backtest, observe: Observer
    ) -> None:
        self._spec = spec
        self._lake, self._registry = store
        self.result = result
        self._observe = observe
        self._clock = _Clock(spec)
        self._places = Places()
        self._left_out = [known for known in exclusions.read(spec, live) if known.source in ("manual", "feedback")]
        labels = spec.labels
        self._events = read_events(spec) if labels is not None and labels.events is not None else None
        self._found = [] if self._events is None else [_event(row) for _, row in self._events.iterrows()]
        calendar = Calendar(spec)
        start, end = calendar.partition(result.first).start, calendar.partition(result.last).end
        assert start is not None
        assert end is not None
        result.events = [event for event in self._found if event.end > start and event.start < end]

    def step(self, arrival: Arrival) -> None:
        """One partition: trainings that fell due before it ended, then its rows and their scores."""
        partition = arrival.partition
        assert partition.end is not None
        for moment in self._clock.until(partition.end):
            self._train(moment, "schedule")
        champion = self._registry.aliased(self._spec.name, CHAMPION)
        for key, table in arrival.tables.items():
            self._lake.replace(self._spec.name, "validated", [key], table)
        if partition.key >= self.result.first:
            self._score(arrival, champion)
        if self._registry.aliased(self._spec.name, CHALLENGER) is None:
            self._train(partition.end, "the first")

    # -------------------------------------------------------------------------------------------------- training

    def _train(self, moment: datetime, why: str) -> None:
        if not self._lake.exists(self._spec.name, "validated"):
            return
        # What people left out of training counts as known from its end on, as events do.
        over = [known for known in self._left_out if known.end <= moment]
        exclusions.add(self._spec, self._lake, over)
        try:
            versions = train(self._spec, self._lake, self._registry)
            evaluate(self._spec, self._lake, self._registry)
        except NotEnoughData as waiting:
            if why == "schedule":
                self.result.trainings.append(_no_training(moment, why, str(waiting)))
            return
        report = register(self._spec, self._lake, self._registry)
        best = self._registry.version(self._spec.name, report.challenger.number)
        window = Window.from_json(best.tags["window"], self._lake, self._spec.name)
        self.result.trainings.append(
            Training(
                moment=moment,
                why=why,
                partitions=len(window.partitions),
                last=window.partitions[-1],
                versions=tuple(version.number for version in versions),
                challenger=best.number,
                detector=best.detector,
                promoted=report.verdict.promote,
                verdict=str(report.verdict),
                threshold=best.threshold,
                rule=best.tags["threshold_rule"],
                basis=best.tags["threshold_basis"],
            )
        )

    # --------------------------------------------------------------------------------------------------- scoring

    def _score(self, arrival: Arrival, champion: Version | None) -> None:
        partition = arrival.partition
        assert partition.end is not None
        if champion is None:
            rows = arrival.tables[partition.key].num_rows
            self.result.steps.append(Step(partition.key, partition.end, None, "", np.nan, rows, 0, 0, 0, 0, 0))
            return
        calendar = Calendar(self._spec)
        partitions = [calendar.partition(key) for key in arrival.tables]
        version, scored, _ = assess(self._spec, partitions, self._lake, self._registry)
        own = scored["_partition"] == partition.key
        new = own | _came_now(scored, arrival)
        known = self._known(scored, partitions, new.to_numpy(), partition.end)
        rows = scored[new].assign(known=known[new])
        self._observe(partition.end, rows.drop(columns="known"))
        flagged = rows[rows["is_anomaly"]]
        self.result.steps.append(
            Step(
                partition=partition.key,
                moment=partition.end,
                version=version.number,
                detector=version.detector,
                threshold=version.threshold,
                rows=int(own.sum()),
                scored=int(rows["score"].notna().sum()),
                anomalies=len(flagged),
                late=int((new & ~own).sum()),
                labelled=int((rows["known"] & rows["score"].notna()).sum()),
                caught=int(flagged["known"].sum()),
            )
        )
        self._keep(rows)

    def _keep(self, rows: pd.DataFrame) -> None:
        """Anomalies, each with its place among the times of its entity; nothing else of a partition is kept."""
        judged = rows[rows["score"].notna()]
        series = judged[SERIES] if self._spec.kind == "series" else pd.Series("", index=judged.index)
        entity = entities(series) if self._spec.kind == "series" else series
        time = judged[self._spec.time]
        found = pd.DataFrame(
            {
                ENTITY: entity,
                TIME: time,
                PLACE: self._places.of(entity, time) if self._spec.kind == "series" else 0,
                SCORE: judged["score"],
                SERIES: series,
                "partition": judged["_partition"],
                "model_version": judged["model_version"],
                "known": judged["known"],
            }
        )
        self.result.anomalies.append(found[judged["is_anomaly"].to_numpy()].reset_index(drop=True))

    def _known(
        self, scored: pd.DataFrame, partitions: list[Partition], new: np.ndarray, moment: datetime
    ) -> np.ndarray:
        """bool[n]: labelled anomalies by column, or points in known events, which are noted as caught or not."""
        keys = [partition.key for partition in partitions]
        table = self._lake.read(self._spec.name, "validated", partitions=keys)
        frame = detector_frame(self._spec, table)
        if self._events is None:
            labels = labels_of(self._spec, table, frame)
            return np.zeros(len(scored), dtype=bool) if labels is None else np.nan_to_num(labels) == 1
        known = np.zeros(len(scored), dtype=bool)
        origin = frame[ORIGIN].to_numpy() if self._spec.kind == "series" else np.arange(len(frame))
        for number, inside in events_at(self._spec, table, self._events):
            points = inside[origin]
            known |= points
            self._note(self._found[number], scored[points & new], moment)
        return known

    def _note(self, event: Event, rows: pd.DataFrame, moment: datetime) -> None:
        flagged = rows[rows["is_anomaly"]]
        event.points += int(rows["score"].notna().sum())
        event.flagged += len(flagged)
        event.score = max(event.score, float(np.nan_to_num(rows["score"]).max(initial=0.0)))
        if len(flagged) and event.first is None:
            event.first, event.known = flagged[self._spec.time].min(), moment


class _Clock:
    """The times of the retraining schedule (UTC), asked for in order."""

    def __init__(self, spec: PipelineSpec) -> None:
        from cronsim import CronSim

        start = Calendar(spec).first().start
        assert start is not None
        cron = spec.automation.retrain
        self._ticks: Iterator[datetime] = iter(()) if cron is None else CronSim(cron, start)
        self._next = next(self._ticks, None)

    def until(self, moment: datetime) -> Iterator[datetime]:
        """The times up to a moment, included: what is due when a partition ends comes before its rows."""
        while self._next is not None and self._next <= moment:
            yield self._next
            self._next = next(self._ticks, None)


def _came_now(scored: pd.DataFrame, arrival: Arrival) -> pd.Series:
    late = pd.Series(False, index=scored.index)
    for partition, files in arrival.new.items():
        late |= (scored["_partition"] == partition) & scored[SOURCE].isin(files)
    return late


def _event(row: pd.Series) -> Event:
    named = [str(v) for n, v in row.items() if n not in ("start", "end", "values", "evidence") and str(v)]
    return Event(row["start"], row["end"], " ".join(named))


def _no_training(moment: datetime, why: str, reason: str) -> Training:
    return Training(moment, why, 0, "", (), None, "", False, f"no model: {reason}", float("nan"), "", "")
