"""What a user may write in `defs.yaml`, as strict, frozen models; every default of the product lives here.

A spec is data: it opens no file and knows no Dagster. `specfile.py` reads YAML into it and turns each broken rule
into an error with file and line.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from pynomaly_pipelines.aggregation import Aggregation as Aggregation
from pynomaly_pipelines.contract import Contract as Contract
from pynomaly_pipelines.source import CsvSource as CsvSource
from pynomaly_pipelines.source import DeltaSource as DeltaSource
from pynomaly_pipelines.source import FileSource as FileSource
from pynomaly_pipelines.source import JsonLinesSource as JsonLinesSource
from pynomaly_pipelines.source import ParquetSource as ParquetSource
from pynomaly_pipelines.source import Source as Source
from pynomaly_pipelines.source import SqlSource as SqlSource
from pynomaly_pipelines.strict import Broken as Broken
from pynomaly_pipelines.strict import Strict as Strict
from pynomaly_pipelines.threshold import Threshold as Threshold

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
RESERVED_PREFIX = "_"
SCORE_COLUMNS = frozenset(
    {"score", "raw_score", "threshold", "is_anomaly", "reasons", "model_version", "model_run_id", "run_id", "scored_at"}
)
"""What the table of scores says of each row, beside the columns that identify it."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
OpenShare = Annotated[float, Field(gt=0.0, lt=1.0)]
ColumnType = Literal["integer", "number", "string", "boolean", "timestamp", "date", "category"]
Severity = Literal["error", "warn"]
Cadence = Literal["hourly", "daily", "weekly", "monthly", "whole"]


class _Short:
    """In the JSON schema of a model that may also be written as a name, or as one mapping `name: {…}`."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        full = handler.resolve_ref_schema(handler(core))
        pattern = full["properties"]["name"].get("pattern", "^(?!name$)")
        named = {"type": "string", **({"pattern": pattern} if "pattern" in full["properties"]["name"] else {})}
        mapping = {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "patternProperties": {pattern: {"type": ["object", "null"]}},
            "additionalProperties": False,
        }
        return {"description": full.get("description", ""), "anyOf": [named, mapping, full]}


def _known_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is not an IANA time zone such as 'UTC' or 'America/New_York'")
    return name


def _known_cron(text: str) -> str:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001 (any moment will do)
        fits = len(text.split()) == 5  # Dagster has no field for seconds.
    except CronSimError:
        fits = False
    if not fits:
        raise ValueError(f"{text!r} is not a cron expression of five fields such as '0 3 * * 0'")
    return text


Timezone = Annotated[str, AfterValidator(_known_timezone)]
Cron = Annotated[str, AfterValidator(_known_cron)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
ColumnNames = Annotated[tuple[str, ...], BeforeValidator(_as_list), WithJsonSchema(_ONE_OR_MORE)]


# ------------------------------------------------------------------------------------------------ validation


class Expectation(_Short, Strict):
    """One Great Expectations expectation under its own name, written `- expect_…: {column: …, …}`."""

    name: str = Field(pattern=r"^(un)?expect[a-z_]+$")
    """Its name in Great Expectations."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its arguments there."""
    severity: Severity = "error"
    """`error` quarantines the row (or blocks the partition, for a table-level expectation); `warn` only shows."""

    @model_validator(mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict) or "name" in value:
            return value
        if len(value) != 1:
            raise ValueError("an expectation is one mapping: `expect_column_values_to_not_be_null: {column: amount}`")
        ((name, given),) = value.items()
        if not isinstance(given, dict | None):
            raise ValueError(f"the arguments of {name} are a mapping such as `{{column: amount}}`, not {given!r}")
        arguments = dict(given or {})
        severity = arguments.pop("severity", "error")
        return {"name": name, "arguments": arguments, "severity": severity}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns its arguments name."""
        names = [self.arguments.get(key) for key in ("column", "column_A", "column_B")]
        return tuple(str(n) for n in [*names, *self.arguments.get("column_list", ())] if n is not None)


class Validation(Strict):
    """When a partition as a whole is refused."""

    max_quarantined: Share = 0.2
    """Largest share of a partition's rows that may be quarantined before the partition is refused."""
    min_rows: Annotated[int, Field(ge=0)] = 1
    """Fewest valid rows a partition may have."""
    docs: Annotated[int, Field(ge=0)] = 400
    """Partitions whose page of Data Docs is kept, the latest ones; 0 writes none."""


# -------------------------------------------------------------------------------------------------- training


class DetectorChoice(_Short, Strict):
    """A candidate detector by its PyOD name, or `auto`; `- IForest: {n_estimators: 200}` sets parameters."""

    name: str
    """`auto`, or a detector's name in PyOD."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Its parameters there."""

    @model_validator(mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict) or "name" in value:
            return value
        if len(value) != 1:
            raise ValueError("a detector is a name or one mapping: `- IForest: {n_estimators: 200}`")
        ((name, parameters),) = value.items()
        return {"name": name, "parameters": {} if parameters is None else parameters}

    @model_validator(mode="after")
    def _own_parameters(self) -> Self:
        if "seed" in self.parameters:
            raise ValueError(f"{self.name} takes its seed from `training.seed`, so that one seed repeats a training")
        return self


def _as_texts(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


_PLAIN = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]
_TEXTS = {"anyOf": [*_PLAIN, {"type": "array", "items": {"anyOf": _PLAIN}}]}
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_texts), WithJsonSchema(_TEXTS)]


class Excluded(Strict):
    """A stretch of time that is not learnt from: `[start, end)`, in the pipeline's zone where it has none."""

    start: datetime
    """Its first moment, or day."""
    end: datetime
    """The first moment, or day, after it."""
    where: dict[str, Texts] = Field(default_factory=dict)
    """Only rows with one of these values in these columns; by default all rows."""
    reason: str = ""
    """Why, for whoever reads the model card."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end.replace(tzinfo=None) <= self.start.replace(tzinfo=None):
            raise ValueError(f"`end` ({self.end}) must be later than `start` ({self.start})")
        return self


class Training(Strict):
    """What the next model is trained on, and which candidates compete."""

    window: PositiveInt = 90
    """Latest validated partitions to train on."""
    detectors: Annotated[tuple[DetectorChoice, ...], Field(min_length=1)] = ()
    """Candidates; by default `auto` and one plain detector to hold it against."""
    min_rows: PositiveInt = 200
    """Fewest valid rows (or points a series) before a model is trained at all."""
    max_rows: PositiveInt = 200_000
    """Most rows used for training; more are sampled with the seed."""
    seed: int = 0
    """Of every random choice in a training, so that it can be repeated."""
    exclude: tuple[Excluded, ...] = ()
    """Known incidents to leave out, beside those that `pynomaly exclude PIPELINE` names."""
    exclude_events: bool = False
    """Also leave out the events of `labels.events`."""


class Labels(Strict):
    """What is known to be an anomaly: a column of the data, or a file of known events."""

    column: str | None = None
    """Column with 1 for an anomaly, 0 for none, empty for unknown. Never a feature."""
    events: str | None = None
    """CSV file of known events with columns `start`, `end` (exclusive) and, if wanted, the series' id columns."""
    train: bool = False
    """Use them in training, too: records learn from both kinds, series leave known anomalies out."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.column is None) == (self.events is None):
            raise ValueError("give `column` or `events`, one of the two")
        return self


class Promotion(Strict):
    """The gate between challenger and champion."""

    automatic: bool = True
    """Promote a challenger that passes; otherwise it waits for a person."""
    tolerance: Share = 0.02
    """How much worse than the champion a challenger might be, by the 95 % interval of the paired difference."""
    min_gain: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    """How much better than the champion it must be, on the deciding figure; below 0, a newer equal takes over."""
    injected_tolerance: Share = 0.1
    """How much less of the injected anomalies it may find, where something else decides."""
    alert_factor: Annotated[float, Field(ge=1.0)] = 4.0
    """Most alerts among ordinary rows, in multiples of the budget that `threshold` sets; noise is allowed for."""
    max_alert_rate: Share = 0.1
    """Largest share of ordinary rows that may alert, whatever the budget."""
    min_injected_auc: Share = 0.7
    """Smallest ROC AUC, against untouched rows, of the injected kind a challenger finds best; 0.5 is guessing."""
    min_labelled: PositiveInt = 5
    """Fewest known anomalies among the replayed rows for labels to decide; with fewer, injected anomalies do."""
    min_agreement: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.2
    """Smallest rank correlation with the champion's scores; below it a person decides, unless labels do."""
    same_ranking: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.95
    """Rank correlation from which a challenger counts as the version that was rolled back; a person decides."""
    max_cost_ratio: Annotated[float, Field(ge=1.0)] = 10.0
    """How many times the champion's processor time a challenger's scoring may take."""
    free_cost_ms: Annotated[float, Field(ge=0.0)] = 1000.0
    """Processor time per 1,000 rows below which scoring is cheap enough at any ratio."""


DriftKind = Literal["features", "scores", "quality"]


class Drift(Strict):
    """When new partitions count as different from those the champion was trained on, and what follows.

    Differences are held against how much training partitions differ from each other, so that ordinary ups and downs,
    however many rows show them, are no drift.
    """

    enabled: bool = True
    """Look for drift in every partition that is scored; needs a `partition` that is not `whole`."""
    alpha: OpenShare = 0.01
    """Chance that a partition raises any false alarm at all, all columns and tests together."""
    min_effect: Annotated[float, Field(ge=0.0)] = 0.1
    """Smallest change of a distribution that counts, as population stability index; 0.1 is called moderate."""
    min_share: Share = 0.02
    """Smallest change of a share that counts: of missing, new or quarantined values."""
    min_ratio: Annotated[float, Field(ge=1.0)] = 1.5
    """Smallest change of the number of rows, or of the alert rate, that counts, as a factor up or down."""
    lasting: PositiveInt = 3
    """Partitions in a row in which the same column must drift before it lasts."""
    retrain: bool = True
    """Train a challenger when drift lasts."""
    retrain_on: tuple[DriftKind, ...] = ("features", "scores")
    """Kinds that train; by default not `quality`: a broken feed is to be mended, not learnt."""
    forget: bool = True
    """A training for drift leaves out what came before it began, where enough rows came since."""
    cooldown: PositiveInt = 7
    """Partitions after a training for drift before there may be another."""
    min_partitions: Annotated[int, Field(ge=5)] = 8
    """Fewest training partitions that say how much partitions differ; with fewer, drift is not judged."""
    min_rows: PositiveInt = 100
    """Rows (series: points) needed to judge; smaller partitions are judged together with those just before them."""
    max_rows: PositiveInt = 100_000
    """Most rows of a partition that are looked at; more are sampled."""


# ------------------------------------------------------------------------------------------------ automation


class Automation(Strict):
    """When things happen without a hand on them."""

    arrivals: bool = True
    """Look for new files and ingest the partitions they belong to."""
    arrivals_interval_seconds: PositiveInt = 15
    """Seconds between two looks."""
    promotions_interval_seconds: PositiveInt = 30
    """Seconds between two looks at who is champion in the registry."""
    schedule: Cron | None = None
    """Also ingest and validate the latest complete partition at these times (local); scoring follows by automation."""
    retrain: Cron | None = "0 3 * * 0"
    """Train a challenger at these times (UTC)."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """How often a step is tried again after a transient fault."""
    reruns: Annotated[int, Field(ge=0, le=5)] = 1
    """How often a failed run is launched again by the failed-run sensor."""
    partitions_per_run: PositiveInt = 31
    """Most partitions one run works on; what bounds a backfill's memory."""


# -------------------------------------------------------------------------------------------------- pipeline


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
