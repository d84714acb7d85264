"""PipelineSpec -> assets, checks, jobs, schedules and sensors, in the order data flows: the only wiring."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import dagster as dg

from pynomaly_pipelines import __version__, presentation
from pynomaly_pipelines.automation import conditions
from pynomaly_pipelines.automation.arrivals import build_arrivals
from pynomaly_pipelines.automation.drift import SINCE_TAG, WHY_TAG, build_drift, watched
from pynomaly_pipelines.automation.promotions import SOUND_CHECK, build_promotions
from pynomaly_pipelines.automation.reruns import ACCEPTED, BAD_DATA, READABLE, REFUSED, build_reruns
from pynomaly_pipelines.operations.errors import DataError, NotEnoughData, PynomalyError, SourceError
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.partitions import WHOLE, Calendar, Partition
from pynomaly_pipelines.resources.configurable import DataDocsResource, LakeResource, RegistryResource, resources
from pynomaly_pipelines.spec import PipelineSpec

PARTITIONED = ("raw", "validated", "quarantine", "scores", "drift")
TRAINED = ("model", "evaluation", "champion")
CONTRACT_CHECK = "contract"
EXPECTATIONS, GATE, THRESHOLD = "expectations", "gate", "threshold"
DRIFTS = {"features": "feature_drift", "scores": "score_drift", "quality": "quality_drift"}
"""Kinds of drift, and the checks that tell of them."""
RELEASED_BY, RELEASE_REASON = "pynomaly/released_by", "pynomaly/reason"
"""Tags of a run that judges quarantined partitions again: who asked for it, and why."""


def build_pipeline(spec: PipelineSpec, settings: Settings | None = None) -> dg.Definitions:
    """Everything Dagster needs to know of one pipeline."""
    live = (settings or Settings.from_environment()).live
    wiring = Wiring(spec)
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        source_asset(spec),
        raw_asset(wiring),
        *([aggregated_asset(wiring)] if spec.aggregate else []),
        validated_assets(wiring),
        model_asset(wiring),
        evaluation_asset(wiring),
        champion_asset(wiring),
        scores_asset(wiring),
        *([drift_asset(wiring)] if watched(spec) else []),
    ]
    parts = jobs(spec)
    return dg.Definitions(
        assets=assets,
        jobs=list(parts.values()),
        schedules=[latest_schedule(wiring, parts["ingest"], live=live)] if spec.automation.schedule else [],
        sensors=[*sensors(spec, live=live)],
    )


def standalone(spec: PipelineSpec, settings: Settings) -> dg.Definitions:
    """One pipeline with the resources it needs, apart from all others: what a command runs."""
    shared = dg.Definitions(resources=resources(settings), executor=dg.in_process_executor)
    return dg.Definitions.merge(build_pipeline(spec, settings), shared)


@dataclass(frozen=True)
class Wiring:
    """What all assets of a pipeline have in common."""

    spec: PipelineSpec

    def key(self, noun: str) -> dg.AssetKey:
        """Asset key of one of the pipeline's nouns."""
        return dg.AssetKey([self.spec.name, noun])

    @property
    def partitions_def(self) -> dg.TimeWindowPartitionsDefinition | None:
        """The partitions as Dagster knows them; None for the whole."""
        return partitions_def(self.spec)

    @property
    def backfill(self) -> dg.BackfillPolicy | None:
        """How many partitions one run takes."""
        if self.partitions_def is None:
            return None
        return dg.BackfillPolicy.multi_run(max_partitions_per_run=self.spec.automation.partitions_per_run)

    @property
    def retries(self) -> dg.RetryPolicy:
        """What a step does about transient faults."""
        return dg.RetryPolicy(
            max_retries=self.spec.automation.retries,
            delay=2,
            backoff=dg.Backoff.EXPONENTIAL,
            jitter=dg.Jitter.FULL,
        )

    def spec_of(self, noun: str, *, deps: list[str], kinds: set[str], description: str, **more: Any) -> dg.AssetSpec:
        """The asset of one noun, with what is the same for all."""
        return dg.AssetSpec(
            self.key(noun),
            deps=[self.key(name) for name in deps],
            kinds=kinds,
            description=description,
            group_name=self.spec.name,
            owners=list(self.spec.owners),
            tags={"pipeline": self.spec.name, "kind": self.spec.kind},
            code_version=code_version(self.spec),
            partitions_def=self.partitions_def if noun in (*PARTITIONED, "aggregated") else None,
            **more,
        )

    def partitions(self, context: dg.AssetExecutionContext) -> list[Partition]:
        """The partitions this run works on."""
        calendar = Calendar(self.spec)
        keys = list(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else [WHOLE]
        return [calendar.partition(key) for key in keys]


# -------------------------------------------------------------------------------------------- assets, in order


def source_asset(spec: PipelineSpec) -> dg.AssetSpec:
    """Where the data comes from; made by others, so only shown."""
    return dg.AssetSpec(
        [spec.name, "source"],
        group_name=spec.name,
        kinds={spec.source.type},
        description=f"{spec.description}\n\nRows of `{spec.source.place}`, as they arrive.".strip(),
        metadata={"path": spec.source.place},
    )


def raw_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Files -> typed rows, nothing left out."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__raw",
        specs=[
            wiring.spec_of(
                "raw",
                deps=["source"],
                kinds={"deltalake", spec.source.type},
                description="Every row that arrived, with the type its column has had since the first file.",
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                READABLE,
                asset=wiring.key("raw"),
                blocking=True,
                description="All files of the partition were readable.",
            ),
            dg.AssetCheckSpec(
                CONTRACT_CHECK,
                asset=wiring.key("raw"),
                description="The files have the columns and types that were agreed on.",
            ),
        ],
        backfill_policy=wiring.backfill,
        retry_policy=wiring.retries,
    )
    def raw(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.ingestion import ingest

        with told():
            tables = lake.open()
            report = ingest(spec, wiring.partitions(context), tables, lake.project_folder)
        figures = {key: {"rows": n.rows, "rejected": n.rejected} for key, n in report.partitions.items()}
        presentation.counted(context, wiring.key("raw"), figures)
        yield dg.MaterializeResult(
            asset_key=wiring.key("raw"),
            metadata=presentation.of_ingestion(spec, tables, report),
            check_results=[
                presentation.readable_check(report, READABLE, REFUSED),
                presentation.contract_check(spec, tables, report, CONTRACT_CHECK),
            ],
        )

    return raw


def aggregated_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Events -> the rows to watch."""
    spec, key = wiring.spec, wiring.key("aggregated")

    @dg.multi_asset(
        name=f"{spec.name}__aggregated",
        specs=[
            wiring.spec_of(
                "aggregated",
                deps=["raw"],
                kinds={"deltalake", "duckdb"},
                description="What the pipeline's SQL makes of each partition's events.",
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                READABLE, asset=key, blocking=True, description="Enough events were readable, and the SQL ran."
            )
        ],
        backfill_policy=wiring.backfill,
        retry_policy=wiring.retries,
    )
    def aggregated(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.aggregation import aggregate

        with told():
            tables = lake.open()
            report = aggregate(spec, wiring.partitions(context), tables)
        presentation.counted(context, key, {name: vars(n) for name, n in report.partitions.items()})
        yield dg.MaterializeResult(
            asset_key=key,
            metadata=presentation.of_aggregation(spec, tables, report),
            check_results=[presentation.aggregated_check(report, REFUSED)],
        )

    return aggregated


def validated_assets(wiring: Wiring) -> dg.AssetsDefinition:
    """Raw rows -> rows to trust, and rows set aside with every reason."""
    spec = wiring.spec
    specs = [
        wiring.spec_of(
            "validated",
            deps=[spec.incoming[-1]],
            kinds={"deltalake", "greatexpectations"},
            description="Rows that met every expectation: what models are trained on and what is scored.",
            automation_condition=conditions.validate_again(),
        ),
        wiring.spec_of(
            "quarantine",
            deps=[spec.incoming[-1]],
            kinds={"deltalake"},
            description="Rows that broke an expectation, with every reason. Kept, counted, never scored.",
        ),
    ]

    @dg.multi_asset(
        name=f"{spec.name}__validated",
        specs=specs,
        check_specs=[
            dg.AssetCheckSpec(
                EXPECTATIONS, asset=wiring.key("validated"), description="How many rows met each expectation."
            ),
            dg.AssetCheckSpec(
                ACCEPTED,
                asset=wiring.key("validated"),
                blocking=True,
                description="Each partition as a whole is fit to be used.",
            ),
        ],
        backfill_policy=wiring.backfill,
        retry_policy=wiring.retries,
    )
    def validated(
        context: dg.AssetExecutionContext, lake: LakeResource, data_docs: DataDocsResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.data_docs import write_docs
        from pynomaly_pipelines.stages.releasing import Change, release
        from pynomaly_pipelines.stages.validation import validate

        changes: dict[str, Change] = {}
        partitions = wiring.partitions(context)
        by, note = context.run.tags.get(RELEASED_BY), note_of(context.run)
        with told():
            tables = lake.open()
            if by is None:
                report = validate(spec, partitions, tables, note)
            else:
                report, changes = release(spec, partitions, tables, note)
            docs = write_docs(spec, report, data_docs.open())
        for noun, rows in (
            ("validated", report.valid_per_partition),
            ("quarantine", report.quarantined_per_partition),
        ):
            presentation.counted(context, wiring.key(noun), {key: {"rows": count} for key, count in rows.items()})
        yield dg.MaterializeResult(
            asset_key=wiring.key("quarantine"),
            metadata=presentation.of_quarantine(spec, tables, report) | presentation.of_release(by, changes),
        )
        yield dg.MaterializeResult(
            asset_key=wiring.key("validated"),
            metadata=presentation.of_validation(spec, tables, report, docs) | presentation.of_release(by, changes),
            check_results=presentation.validation_checks(report, EXPECTATIONS, ACCEPTED, REFUSED),
        )

    return validated


def model_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """A window of validated rows -> one registered version per candidate."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__model",
        specs=[
            wiring.spec_of(
                "model",
                deps=["validated"],
                kinds={"pyod", "mlflow"},
                description="The candidates of the last training: one MLflow run and registered version each.",
                skippable=True,
                automation_condition=conditions.train(wiring.key("validated"), spec.automation.retrain),
            )
        ],
        pool="training",
    )
    def model(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]:
        from pynomaly_pipelines.stages.drift import forget
        from pynomaly_pipelines.stages.training import train

        try:
            with told(but=NotEnoughData):
                models = registry.open()
                since = context.run.tags.get(SINCE_TAG)
                if since is not None:
                    context.log.info(forget(spec, lake.open(), since, context.run.tags.get(WHY_TAG, "drift")))
                versions = train(spec, lake.open(), models, context.log.info)
        except NotEnoughData as waiting:
            # Not a failure: the pipeline waits for data. Nothing is made, so nothing downstream runs.
            context.log.warning(str(waiting))
            yield dg.AssetObservation(wiring.key("model"), metadata={"waiting": str(waiting)})
            return
        yield dg.MaterializeResult(asset_key=wiring.key("model"), metadata=presentation.of_models(models, versions))

    return model


def evaluation_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Candidates -> evidence, and a challenger."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__evaluation",
        specs=[
            wiring.spec_of(
                "evaluation",
                deps=["model"],
                kinds={"scikitlearn", "mlflow"},
                description="What each candidate is worth on rows it has not seen. The best becomes challenger.",
                automation_condition=conditions.follow(),
            )
        ],
    )
    def evaluation(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.evaluation import evaluate

        with told():
            models = registry.open()
            report = evaluate(spec, lake.open(), models, context.log.info)
        yield dg.MaterializeResult(
            asset_key=wiring.key("evaluation"), metadata=presentation.of_evaluation(models, report)
        )

    return evaluation


def champion_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Challenger -> champion, through the gate."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__champion",
        specs=[
            wiring.spec_of(
                "champion",
                deps=["evaluation"],
                kinds={"mlflow"},
                description="The version that scores. A challenger takes its place only through the gate.",
                skippable=True,
                automation_condition=conditions.follow(),
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(GATE, asset=wiring.key("champion"), description="The challenger passed the gate."),
            dg.AssetCheckSpec(
                SOUND_CHECK,
                asset=wiring.key("champion"),
                description="The champion, whoever chose it, loads and scores this pipeline's rows.",
            ),
        ],
        retry_policy=wiring.retries,
    )
    def champion(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from pynomaly_pipelines.stages.drift_reference import reference_of
        from pynomaly_pipelines.stages.registration import register, unsound

        with told():
            models = registry.open()
            report = register(spec, lake.open(), models, run_id=context.run.run_id)
            against = unsound(spec, lake.open(), models, report)
            if report.champion is not None and watched(spec):
                reference_of(spec, lake.open(), models, report.champion)
        context.log.info(f"version {report.challenger.number} {report.verdict}")
        # A champion that stays is no news: nothing is scored again for it.
        if report.champion is not None and report.champion.number == report.challenger.number:
            yield dg.MaterializeResult(
                asset_key=wiring.key("champion"), metadata=presentation.of_champion(models, report)
            )
        yield presentation.gate_check(models, wiring.key("champion"), GATE, report)
        yield presentation.sound_check(models, wiring.key("champion"), SOUND_CHECK, report.champion, against)

    return champion


def scores_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Validated rows -> scores by the champion."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__scores",
        specs=[
            wiring.spec_of(
                "scores",
                deps=["validated", "champion"],
                kinds={"deltalake", "pyod"},
                description="A calibrated score and the reasons for it, for each row; replaced when scored again.",
                automation_condition=conditions.score(wiring.key("validated"), wiring.key("champion"), spec.partition),
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                THRESHOLD,
                asset=wiring.key("scores"),
                description="The threshold follows its rule, and the period so far keeps to the alert budget.",
            )
        ],
        backfill_policy=wiring.backfill,
        retry_policy=wiring.retries,
    )
    def scores(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.budget_kept import budget_kept
        from pynomaly_pipelines.stages.scoring import score

        with told():
            tables, models, partitions = lake.open(), registry.open(), wiring.partitions(context)
            report = score(spec, partitions, tables, models, run_id=context.run.run_id)
            kept = budget_kept(spec, tables, report.version, partitions)
        figures = {key: {"rows": rows, "anomalies": found} for key, (rows, found) in report.per_partition.items()}
        presentation.counted(context, wiring.key("scores"), figures)
        yield dg.MaterializeResult(
            asset_key=wiring.key("scores"),
            metadata=presentation.of_scores(spec, tables, models, report),
            check_results=[presentation.threshold_check(kept, THRESHOLD)],
        )

    return scores


def drift_asset(wiring: Wiring) -> dg.AssetsDefinition:
    """Scored partitions -> how they differ from those the champion was trained on."""
    spec = wiring.spec

    @dg.multi_asset(
        name=f"{spec.name}__drift",
        specs=[
            wiring.spec_of(
                "drift",
                deps=["validated", "quarantine", "scores"],
                kinds={"deltalake"},
                description="How each partition differs from those the champion was trained on, more than they differ.",
                automation_condition=conditions.watch(wiring.key("scores")),
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                name, asset=wiring.key("drift"), description=f"No {kind} drift in the latest partition judged."
            )
            for kind, name in DRIFTS.items()
        ],
        backfill_policy=wiring.backfill,
        retry_policy=wiring.retries,
    )
    def drift(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from pynomaly_pipelines.stages.drift import watch

        with told():
            tables = lake.open()
            report = watch(spec, wiring.partitions(context), tables, registry.open())
        presentation.counted(context, wiring.key("drift"), presentation.drift_figures(report))
        yield dg.MaterializeResult(
            asset_key=wiring.key("drift"),
            metadata=presentation.of_drift(spec, tables, report),
            check_results=presentation.drift_checks(report, DRIFTS),
        )

    return drift


# ----------------------------------------------------------------------------------------- jobs and automation


def jobs(spec: PipelineSpec) -> dict[str, Any]:
    """The parts of a pipeline that run on their own: bring data in, judge it again, make a model, score."""
    score = PARTITIONED[3:] if watched(spec) else PARTITIONED[3:4]
    judged = PARTITIONED[1:3]
    parts = {"ingest": (*spec.incoming, *judged), "validate": judged, "train": TRAINED, "score": score}
    return {
        verb: dg.define_asset_job(
            f"{spec.name}_{verb}",
            selection=dg.AssetSelection.assets(*[[spec.name, noun] for noun in nouns]),
            tags={"pipeline": spec.name},
            description=f"{', '.join(nouns)} of {spec.name}",
        )
        for verb, nouns in parts.items()
    }


def latest_schedule(wiring: Wiring, ingest: Any, *, live: bool) -> dg.ScheduleDefinition:
    """Ingest the latest complete partition at the times of `automation.schedule`; scoring follows by itself."""
    spec = wiring.spec
    assert spec.automation.schedule is not None

    @dg.schedule(
        name=f"{spec.name}_schedule",
        job=ingest,
        cron_schedule=spec.automation.schedule,
        execution_timezone=spec.timezone,
        description=f"Ingests and validates the latest partition of {spec.name}.",
        default_status=_status(live, dg.DefaultScheduleStatus),
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        latest = Calendar(spec).latest_complete(context.scheduled_execution_time)
        if latest is None:
            return dg.SkipReason(f"no partition of {spec.name} is complete yet; the first starts on {spec.start}")
        key = None if latest.key == WHOLE else latest.key
        return dg.RunRequest(partition_key=key, tags={"pynomaly/trigger": "schedule"})

    return schedule


def sensors(spec: PipelineSpec, *, live: bool) -> Iterator[dg.SensorDefinition]:
    """Arrivals, declarative automation, promotions by hand and reruns."""
    if spec.automation.arrivals:
        yield build_arrivals(spec, live=live)
    yield dg.AutomationConditionSensorDefinition(
        f"{spec.name}_automation",
        target=dg.AssetSelection.groups(spec.name),
        description=f"Trains, evaluates, registers and scores {spec.name} when its conditions hold.",
        minimum_interval_seconds=15,
        run_tags={"pipeline": spec.name, "pynomaly/trigger": "automation"},
        default_status=_status(live, dg.DefaultSensorStatus),
    )
    yield build_promotions(spec, live=live)
    if watched(spec) and spec.drift.retrain:
        yield build_drift(spec, TRAINED, live=live)
    yield build_reruns(spec, live=live)


# ----------------------------------------------------------------------------------------------------- helpers


def partitions_def(spec: PipelineSpec) -> dg.TimeWindowPartitionsDefinition | None:
    """The pipeline's partitions as Dagster's type; None for the whole."""
    if spec.partition == "whole" or spec.start is None:
        return None
    kinds: dict[str, Callable[..., dg.TimeWindowPartitionsDefinition]] = {
        "hourly": dg.HourlyPartitionsDefinition,
        "daily": dg.DailyPartitionsDefinition,
        "weekly": dg.WeeklyPartitionsDefinition,
        "monthly": dg.MonthlyPartitionsDefinition,
    }
    calendar = Calendar(spec)
    first, end = calendar.first(), calendar.end()
    return kinds[spec.partition](
        start_date=first.key,
        end_date=None if end is None else end.key,
        timezone=str(calendar.zone),
        # The partition that is still filling counts too: its rows are scored as they come.
        end_offset=1 if end is None else 0,
    )


def code_version(spec: PipelineSpec) -> str:
    """Changes with the product's version and with the pipeline's YAML, so that the UI shows what is stale."""
    return f"{__version__}-{hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:8]}"


def note_of(run: dg.DagsterRun) -> dict[str, str]:
    """What the history of a table says of a commit: the run that made it, and who released rows."""
    tags = {RELEASED_BY: "released by", RELEASE_REASON: "reason"}
    return {"run": run.run_id} | {name: run.tags[tag] for tag, name in tags.items() if tag in run.tags}


@contextmanager
def told(but: type[PynomalyError] | None = None) -> Iterator[None]:
    """Turn the product's errors, `but` that kind, into Dagster failures that say whether trying again makes sense."""
    try:
        yield
    except PynomalyError as error:
        if but is not None and isinstance(error, but):
            raise
        _fail(error)


def _fail(error: PynomalyError) -> NoReturn:
    bad_data = isinstance(error, DataError | SourceError) and not error.retryable
    raise dg.Failure(
        description=str(error),
        metadata={"code": error.code, "rule": error.rule, "fix": error.fix, BAD_DATA: bad_data},
        allow_retries=error.retryable,
    ) from error


def _status(live: bool, kind: Any) -> Any:
    return kind.RUNNING if live else kind.STOPPED
