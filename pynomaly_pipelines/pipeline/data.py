"""Source, `raw`, `aggregated`, `validated` and `quarantine` as Dagster assets: what came, and what is trusted."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pynomaly_pipelines import presentation
from pynomaly_pipelines.automation import conditions
from pynomaly_pipelines.automation.failures import ACCEPTED, READABLE, REFUSED
from pynomaly_pipelines.pipeline.wiring import CONTRACT_CHECK, EXPECTATIONS, RELEASED_BY, Wiring, fence, note_of, told
from pynomaly_pipelines.resources.configurable import DataDocsResource, LakeResource
from pynomaly_pipelines.spec import PipelineSpec


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

        with told(context):
            tables = lake.open(fence(context))
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

        with told(context):
            tables = lake.open(fence(context))
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
        from pynomaly_pipelines.stages.expectations.data_docs import write_docs
        from pynomaly_pipelines.stages.expectations.releasing import Change, release
        from pynomaly_pipelines.stages.validation import validate

        changes: dict[str, Change] = {}
        partitions = wiring.partitions(context)
        by, note = context.run.tags.get(RELEASED_BY), note_of(context.run)
        with told(context):
            tables = lake.open(fence(context))
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
