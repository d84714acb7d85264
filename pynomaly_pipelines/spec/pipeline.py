"""One pipeline as its `defs.yaml` describes it: columns and their roles, partitions, and all the other parts."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from pynomaly_pipelines.spec.aggregation import Aggregation
from pynomaly_pipelines.spec.automation import Automation
from pynomaly_pipelines.spec.contract import Contract
from pynomaly_pipelines.spec.drift import Drift
from pynomaly_pipelines.spec.incidents import GAP_HOURS, Incidents
from pynomaly_pipelines.spec.notifications import FRESH_HOURS, Notify
from pynomaly_pipelines.spec.source import Source
from pynomaly_pipelines.spec.strict import Broken, Strict
from pynomaly_pipelines.spec.threshold import Threshold
from pynomaly_pipelines.spec.training import DetectorChoice, Labels, Promotion, Training
from pynomaly_pipelines.spec.types import NAME_PATTERN, ColumnNames, Timezone
from pynomaly_pipelines.spec.validation import Expectation, Validation

RESERVED_PREFIX = "_"


SCORE_COLUMNS = frozenset(
    {"score", "raw_score", "threshold", "is_anomaly", "reasons", "model_version", "model_run_id", "run_id", "scored_at"}
)
"""What the table of scores says of each row, beside the columns that identify it."""


ColumnType = Literal["integer", "number", "string", "boolean", "timestamp", "date", "category"]


Cadence = Literal["hourly", "daily", "weekly", "monthly", "whole"]


class PipelineSpec(Strict):
    """One data set to watch."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)] = ""
    """Lower-case name; the folder of `defs.yaml` by default."""
    description: str = ""
    """What the data is, for the people who look at the graph."""
    owners: tuple[str, ...] = ()
    """E-mail addresses or `team:name`."""
    kind: Literal["records", "series"] = "records"
    """`records`: each row of a wide table is scored. `series`: each point of each series is scored."""

    source: Source
    """Where the data comes from."""
    columns: dict[str, ColumnType] = Field(default_factory=dict)
    """Declared types; other columns get the type found at the first ingestion, and keep it."""
    contract: Contract = Contract()
    """What becomes of files with a new column, without a known one, or with values of another type."""
    aggregate: Aggregation | None = None
    """SQL that makes the rows to watch out of events; then `columns` are those of the events, all else names the
    result's."""
    time: str | None = None
    """Column with the time of a row."""
    timezone: Timezone = "UTC"
    """Zone of naive timestamps and of the partitions' borders."""
    partition: Cadence = "whole"
    """The slice of time that one run ingests, validates and scores."""
    start: date | None = None
    """First day with data; needed when `partition` is not `whole`."""
    end: date | None = None
    """First day after the data, if it has ended."""
    allow_future: bool = False
    """Keep rows later than the end of the partition they arrived in instead of quarantining them."""

    key: ColumnNames = ()
    """Columns that identify a row within its partition; a second row there with the same key is quarantined."""
    features: ColumnNames = ()
    """Columns the detector sees; by default all but time, key and label (records)."""
    ignore: ColumnNames = ()
    """Columns that are kept in the tables but never seen by the detector."""
    series: ColumnNames = ()
    """Columns that identify a series (series)."""
    values: ColumnNames = ()
    """Value columns; each is a series of its own per id (series)."""

    labels: Labels | None = None
    """What is known to be an anomaly: for evaluation and, if `train` says so, for training."""
    expectations: tuple[Expectation, ...] = ()
    """What every row, or every partition, must meet."""
    validation: Validation = Validation()
    """How bad a partition may be before none of it is used."""
    training: Training = Training()
    """What models are trained on, and which compete."""
    threshold: Threshold = Threshold()
    """From which score on a row is an anomaly; by default one ordinary row in 200."""
    promotion: Promotion = Promotion()
    """The gate before a challenger becomes champion."""
    drift: Drift = Drift()
    """When new data counts as different from what the champion was trained on."""
    incidents: Incidents = Incidents()
    """Which anomalies belong together, and which of them people are told of."""
    notify: Notify | None = None
    """Who is told of incidents and failures; by default nobody."""
    automation: Automation = Automation()
    """What happens without a hand on it."""
    reasons: Annotated[int, Field(ge=1, le=10)] = 3
    """How many contributing columns are stored with each score."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        for rule in (self._check_time, self._check_kind, self._check_roles, self._check_threshold):
            rule()
        return self

    def _check_time(self) -> None:
        needs: dict[str, bool] = {
            f"`partition: {self.partition}`": self.partition != "whole",
            "`kind: series`": self.kind == "series",
            "`labels.events`": self.labels is not None and self.labels.events is not None,
            "`training.exclude`": bool(self.training.exclude),
            "`threshold.budget`": self.threshold.budget is not None,
            "`notify.about: incidents`": self.notify is not None and "incidents" in self.notify.about,
        }
        for what in (what for what, there in needs.items() if there and self.time is None):
            raise Broken(
                f"{what} needs `time`", at=what.strip("`").split(":")[0], fix="name the column with a row's time"
            )
        if self.partition != "whole" and self.start is None:
            raise Broken(
                f"`partition: {self.partition}` needs `start`",
                at="partition",
                fix="add the first day: `start: 2025-01-01`",
            )
        if self.start is not None and self.end is not None and self.end <= self.start:
            rule = f"`end` ({self.end}) must be later than `start` ({self.start})"
            raise Broken(rule, at="end", fix="`end` is the first day after the data; leave it out while data comes")
        if self.partition == "whole" and self.source.dated:
            rule = f"the path {self.source.place!r} has date codes, which need `partition` and `start`"
            raise Broken(rule, at="source.path", fix="add `partition: daily` and `start`, or write `*` for the date")

        if self.kind == "series" and self.incidents.entity:
            fix = "leave it out: a series' ids are its entity"
            raise Broken("`incidents.entity` belongs to `kind: records`", at="incidents.entity", fix=fix)
        if self.training.exclude_events and (self.labels is None or self.labels.events is None):
            fix = "add `labels: {events: …}`, or leave it out"
            raise Broken(
                "`training.exclude_events` needs `labels.events`, the file of events",
                at="training.exclude_events",
                fix=fix,
            )

    def _check_kind(self) -> None:
        if self.kind == "series" and not self.values:
            fix = "add `values: [amount]`"
            raise Broken("`kind: series` needs `values`, the columns with the numbers to watch", at="kind", fix=fix)
        if self.kind == "series" and self.features:
            rule = "`features` belongs to `kind: records`; a series has `values`"
            raise Broken(rule, at="features", fix="rename it to `values`, or leave `kind` out")
        if self.kind == "records" and (self.series or self.values):
            rule = "`series` and `values` belong to `kind: series`; records have `features`"
            raise Broken(rule, at="series" if self.series else "values", fix="add `kind: series`, or use `features`")

    def _check_roles(self) -> None:
        label = self.labels.column if self.labels else None
        for role, names in (("features", self.features), ("values", self.values)):
            if label is not None and label in names:
                rule = f"the label column {label!r} can't be a feature: the detector would see the answer"
                raise Broken(rule, at=role, fix=f"take {label!r} out of `{role}`")
        roles: dict[str, tuple[str, ...]] = {
            "columns": tuple(self.columns),
            "time": (self.time or "",),
            "key": self.key,
            "features": self.features,
            "ignore": self.ignore,
            "series": self.series,
            "values": self.values,
            "labels.column": (label or "",),
        }
        for role, name in ((role, name) for role, names in roles.items() for name in names):
            if name.startswith(RESERVED_PREFIX):
                rule = f"column {name!r}: names that start with {RESERVED_PREFIX!r} are the product's own"
                raise Broken(rule, at=role, fix="rename the column at its source")
            if role in ("time", "key", "series") and name in SCORE_COLUMNS:
                rule = f"column {name!r}: the table of scores has a column of that name, and this one as well"
                raise Broken(rule, at=role, fix="rename the column at its source")

    @property
    def events(self) -> PipelineSpec:
        """The pipeline as its source sees it: where rows are aggregated, only the events' types and time matter."""
        if self.aggregate is None:
            return self
        told = {"time": self.aggregate.time, "kind": "records", "labels": None, "expectations": (), "aggregate": None}
        roles: dict[str, Any] = dict.fromkeys(("key", "features", "ignore", "series", "values"), ())
        return self.model_copy(update={**told, **roles})

    @property
    def incident_gap(self) -> timedelta:
        """How far apart the anomalies of one incident may be."""
        return timedelta(hours=self.incidents.gap_hours or GAP_HOURS[self.partition])

    @property
    def fresh(self) -> timedelta:
        """How long before the latest scored data an incident may end for people to be told of it."""
        own = None if self.notify is None else self.notify.fresh_hours
        return timedelta(hours=own or FRESH_HOURS[self.partition])

    @property
    def incoming(self) -> tuple[str, ...]:
        """The tables that rows go through before they are judged."""
        return ("raw",) if self.aggregate is None else ("raw", "aggregated")

    def _check_threshold(self) -> None:
        if self.threshold.labels is not None and self.labels is None:
            fix = "name the label column or the events file in `labels`, or give a `budget`"
            raise Broken("`threshold.labels` needs `labels`, the known anomalies", at="threshold.labels", fix=fix)

    @property
    def detectors(self) -> tuple[DetectorChoice, ...]:
        """The candidates of a training, defaults filled in."""
        if self.training.detectors:
            return self.training.detectors
        plain = "IForest" if self.kind == "records" else "SeasonalResidual"
        return (DetectorChoice(name="auto"), DetectorChoice(name=plain))

    @property
    def alert_rate(self) -> float:
        """Share of ordinary rows that may alert when no other threshold is set."""
        return self.threshold.rate

    @property
    def not_features(self) -> frozenset[str]:
        """Columns that are never seen by a detector."""
        label = () if self.labels is None or self.labels.column is None else (self.labels.column,)
        time = () if self.time is None else (self.time,)
        return frozenset((*time, *self.key, *self.ignore, *label))
