"""Reports of ingestion, aggregation and validation -> what Dagster shows beside the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from pynomaly_pipelines.stages.aggregation import AggregationReport
    from pynomaly_pipelines.stages.expectations.releasing import Change
    from pynomaly_pipelines.stages.expectations.reports import ValidationReport
    from pynomaly_pipelines.stages.ingestion import IngestReport
from pynomaly_pipelines.presentation.tables import (
    Metadata,
    by_partition,
    counted_text,
    picture_text,
    rows_of,
    rows_picture,
    table_metadata,
)


def of_ingestion(spec: PipelineSpec, lake: Lake, report: IngestReport) -> Metadata:
    """What `raw` shows."""
    unreadable = [file for file in report.files if file.status != "read"]
    found = {
        **table_metadata(spec, lake, "raw", report.commit, sorted(report.partitions)),
        **rows_picture(lake.counts(spec.name, "raw"), {}, "rows that arrived, by partition"),
        "files": len(report.files),
    }
    if unreadable:
        found["unreadable"] = dg.MetadataValue.md("\n".join(f"- `{f.path}`: {f.reason}" for f in unreadable))
    return found


def readable_check(report: IngestReport, name: str, refused: str) -> dg.AssetCheckResult:
    """Whether every file could be read; a partition that could not be ingested at all blocks what follows."""
    files = [f"- `{f.path}`: {f.reason}" for f in report.files if f.status != "read"]
    partitions = [f"- partition {f.partition}: {f.error}" for f in report.failures]
    problems = files + partitions
    return dg.AssetCheckResult(
        check_name=name,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR if report.failures else dg.AssetCheckSeverity.WARN,
        metadata={
            "files": len(report.files),
            "problems": dg.MetadataValue.md("\n".join(problems) or "none"),
            refused: dg.MetadataValue.json({f.partition: str(f.error) for f in report.failures}),
        },
    )


def contract_check(spec: PipelineSpec, lake: Lake, report: IngestReport, name: str) -> dg.AssetCheckResult:
    """Where files did not keep to the contract: column, was, is, file, what was done, what to do; and the contract."""
    from pynomaly_pipelines.stages.contract.agreement import in_force

    broken = [d for d in report.deviations if d.response != "accept"]
    failed = any(d.response == "fail" for d in broken)
    deviations = [(d.column, d.was, d.now, d.file, d.done, d.fix) for d in report.deviations]
    terms = [
        (t.column, t.type, t.origin, "yes" if t.optional else "no", t.version, t.change, t.file)
        for t in in_force(spec, lake).values()
    ]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not broken,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description="; ".join(str(d) for d in broken[:5]) or None,
        metadata={
            "deviations": dg.MetadataValue.md(
                rows_of(("column", "was", "is", "file", "what was done", "fix"), deviations) if deviations else "none"
            ),
            "contract": dg.MetadataValue.md(
                rows_of(("column", "type", "origin", "may be absent", "since version", "change", "file"), terms)
            ),
        },
    )


def of_aggregation(spec: PipelineSpec, lake: Lake, report: AggregationReport) -> Metadata:
    """What `aggregated` shows."""
    assert spec.aggregate is not None
    return {
        **table_metadata(spec, lake, "aggregated", report.commit, sorted(report.partitions)),
        "sql": dg.MetadataValue.md(f"```sql\n{spec.aggregate.sql.strip()}\n```"),
        "events": sum(counts.events for counts in report.partitions.values()),
        "left_out": sum(counts.left_out for counts in report.partitions.values()),
    }


def aggregated_check(report: AggregationReport, refused: str) -> dg.AssetCheckResult:
    """Whether every partition could be aggregated; events that were left out warn."""
    left_out = {key: counts for key, counts in report.partitions.items() if counts.left_out}
    problems = [f"- partition {f.partition}: {f.error}" for f in report.failures]
    problems += [f"- partition {key}: {n.left_out} of {n.events} events left out" for key, n in left_out.items()]
    return dg.AssetCheckResult(
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR if report.failures else dg.AssetCheckSeverity.WARN,
        metadata={
            "problems": dg.MetadataValue.md("\n".join(problems) or "none"),
            refused: dg.MetadataValue.json({f.partition: str(f.error) for f in report.failures}),
        },
    )


def of_validation(spec: PipelineSpec, lake: Lake, report: ValidationReport, docs: str | None) -> Metadata:
    """What `validated` shows; `docs` is the address of its Data Docs."""
    keys = sorted(report.partitions)
    return {
        **table_metadata(spec, lake, "validated", report.validated, keys),
        **rows_picture(
            lake.counts(spec.name, "validated"),
            lake.counts(spec.name, "quarantine"),
            "valid rows by partition, quarantined ones in red",
        ),
        "report": dg.MetadataValue.md(report.markdown()),
        **({"data_docs": dg.MetadataValue.url(docs)} if docs else {}),
    }


def of_quarantine(spec: PipelineSpec, lake: Lake, report: ValidationReport) -> Metadata:
    """What `quarantine` shows."""
    keys = sorted(key for key, counts in report.partitions.items() if counts.quarantined)
    found = {
        **table_metadata(spec, lake, "quarantine", report.quarantine, keys),
        "reasons": dg.MetadataValue.md(counted_text(report.reasons)),
    }
    if report.reasons:
        from pynomaly_pipelines.stages import plots

        found["picture"] = picture_text(plots.counted(report.reasons, "why rows were quarantined"), "reasons")
    return found


def of_release(by: str | None, changes: Mapping[str, Change]) -> Metadata:
    """What judging again changed; nothing, if that was not what the run was for."""
    if by is None:
        return {}
    rows = "\n".join(f"| {key} | {c.held} | {c.released} | {c.stay} | {c.added} |" for key, c in changes.items())
    return {
        "released_by": by,
        "released": sum(change.released for change in changes.values()),
        "release": dg.MetadataValue.md(f"| partition | held | released | stay | newly held |\n|{' --- |' * 5}\n{rows}"),
    }


def validation_checks(report: ValidationReport, expectations: str, accepted: str, refused: str) -> list[Any]:
    """One check with every expectation's outcome, and the blocking one on whole partitions."""
    broken = [r for r in report.results if not r.success]
    return [
        dg.AssetCheckResult(
            check_name=expectations,
            passed=not broken and not report.quarantined,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "rows": report.rows,
                "quarantined": report.quarantined,
                "report": dg.MetadataValue.md(report.markdown()),
            },
        ),
        dg.AssetCheckResult(
            check_name=accepted,
            passed=not report.refused,
            description="; ".join(f"partition {r.partition}: {r.rule}, {r.value}" for r in report.refused[:5]) or None,
            metadata={
                refused: dg.MetadataValue.json(by_partition(report.refused)),
                "why": dg.MetadataValue.md(
                    "\n".join(f"- {r.partition}: {r.value}; {r.rule}. Fix: {r.fix}" for r in report.refused) or "–"
                ),
            },
        ),
    ]
