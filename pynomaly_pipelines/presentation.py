"""Reports of the stages -> what Dagster shows beside an asset: counts, schema, a preview, a picture, links, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Commit, Lake
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pynomaly_pipelines.detection.drift.reference import Verdict
    from pynomaly_pipelines.stages.aggregation import AggregationReport
    from pynomaly_pipelines.stages.budget_kept import BudgetKept
    from pynomaly_pipelines.stages.drift import DriftReport
    from pynomaly_pipelines.stages.evaluation import EvaluationReport
    from pynomaly_pipelines.stages.gate.verdict import Criterion
    from pynomaly_pipelines.stages.ingestion import IngestReport
    from pynomaly_pipelines.stages.registration import RegistrationReport
    from pynomaly_pipelines.stages.releasing import Change
    from pynomaly_pipelines.stages.reports import Refusal, ValidationReport
    from pynomaly_pipelines.stages.scoring import ScoringReport

Metadata = dict[str, Any]
COLUMN_MEANINGS = {
    "_partition": "Key of the partition the row belongs to",
    "_source": "File the row came from",
    "_row": "Line or row number in that file",
    "_rejected": "Why the row could not be typed or placed; empty if it could",
    "_text": "The row as it stood in the file, where it could not be typed",
    "_reasons": "Every reason why the row was set aside",
    "score": "Calibrated, 0 to 1: comparable across detectors and versions",
    "raw_score": "The detector's own score",
    "threshold": "The score above which the row is an anomaly",
    "is_anomaly": "Whether the score is above the threshold",
    "reasons": "The columns that contributed most, with value, usual range and share",
    "model_version": "Registered version that scored the row",
    "model_run_id": "MLflow run of that version",
    "run_id": "Dagster run that scored the row",
    "scored_at": "When it was scored (UTC)",
}
PREVIEW_ROWS = 5
WIDEST_PREVIEW = 12


def counted(context: dg.AssetExecutionContext, key: dg.AssetKey, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Give each partition of a run its own figures; without partitions, give them to the asset.

    Args:
        figures: partition -> name -> figure; `rows` is also what Dagster plots as the partition's row count.
    """
    partitioned = context.has_partition_key or context.has_partition_key_range
    for partition, found in figures.items():
        shown = {**found, "dagster/partition_row_count": int(found["rows"])} if partitioned else dict(found)
        context.add_asset_metadata(shown, asset_key=key, partition_key=partition if partitioned else None)


def of_ingestion(spec: PipelineSpec, lake: Lake, report: IngestReport) -> Metadata:
    """What `raw` shows."""
    unreadable = [file for file in report.files if file.status != "read"]
    found = {
        **_table(spec, lake, "raw", report.commit, sorted(report.partitions)),
        **_rows_picture(lake.counts(spec.name, "raw"), {}, "rows that arrived, by partition"),
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
    from pynomaly_pipelines.stages.contract import in_force

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
                _rows_of(("column", "was", "is", "file", "what was done", "fix"), deviations) if deviations else "none"
            ),
            "contract": dg.MetadataValue.md(
                _rows_of(("column", "type", "origin", "may be absent", "since version", "change", "file"), terms)
            ),
        },
    )


def of_aggregation(spec: PipelineSpec, lake: Lake, report: AggregationReport) -> Metadata:
    """What `aggregated` shows."""
    assert spec.aggregate is not None
    return {
        **_table(spec, lake, "aggregated", report.commit, sorted(report.partitions)),
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
        **_table(spec, lake, "validated", report.validated, keys),
        **_rows_picture(
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
        **_table(spec, lake, "quarantine", report.quarantine, keys),
        "reasons": dg.MetadataValue.md(_counted(report.reasons)),
    }
    if report.reasons:
        from pynomaly_pipelines.stages import plots

        found["picture"] = _picture(plots.counted(report.reasons, "why rows were quarantined"), "reasons")
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
                refused: dg.MetadataValue.json(_by_partition(report.refused)),
                "why": dg.MetadataValue.md(
                    "\n".join(f"- {r.partition}: {r.value}; {r.rule}. Fix: {r.fix}" for r in report.refused) or "–"
                ),
            },
        ),
    ]


def _by_partition(refusals: Sequence[Refusal]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for refusal in refusals:
        found.setdefault(refusal.partition, []).append(f"{refusal.value}; {refusal.rule}. Fix: {refusal.fix}")
    return {partition: " ".join(reasons) for partition, reasons in sorted(found.items())}


def of_models(registry: Registry, versions: Sequence[Version]) -> Metadata:
    """What `model` shows."""
    from pynomaly_pipelines.stages import lineage

    rows = "\n".join(
        f"| [{v.number}]({registry.version_url(v)}) | {v.detector} | {v.threshold:.4g} | {v.tags['threshold_rule']} | "
        f"[run]({registry.run_url(v)}) |"
        for v in versions
    )
    first = versions[0]
    return {
        "candidates": dg.MetadataValue.md(f"| version | detector | threshold | from | run |\n|{' --- |' * 5}\n{rows}"),
        "versions": ", ".join(str(v.number) for v in versions),
        "lineage": dg.MetadataValue.md(lineage.training_markdown(registry, first)),
        "data_version": first.tags["data_version"],
        "schema_hash": first.tags["schema_hash"],
        "window": dg.MetadataValue.json(_json(first.tags["window"])),
        **{f"scores_{v.detector}": p for v in versions if (p := _kept(registry, v, "training_scores.png"))},
        "mlflow": dg.MetadataValue.url(registry.run_url(first)),
    }


def of_evaluation(registry: Registry, report: EvaluationReport) -> Metadata:
    """What `evaluation` shows."""
    best = report.evaluations[0]
    return {
        "candidates": dg.MetadataValue.md(report.markdown()),
        "challenger": report.challenger.number,
        **best.metrics(),
        **{name.removesuffix(".png"): _picture(png, name) for name, png in report.pictures.items()},
        "mlflow": dg.MetadataValue.url(registry.version_url(report.challenger)),
    }


def of_champion(registry: Registry, report: RegistrationReport) -> Metadata:
    """What `champion` shows."""
    assert report.champion is not None
    champion = report.champion
    picture = _kept(registry, champion, "holdout_scores.png")
    return {
        **({"holdout_scores": picture} if picture else {}),
        "version": champion.number,
        "detector": champion.detector,
        "threshold": champion.threshold,
        "threshold_rule": threshold_rule(champion),
        "gate": str(report.verdict),
        "verdict": dg.MetadataValue.md(report.verdict.markdown()),
        "trained_on": dg.MetadataValue.json(_json(champion.tags["window"])),
        "mlflow_version": dg.MetadataValue.url(registry.version_url(champion)),
        "mlflow_run": dg.MetadataValue.url(registry.run_url(champion)),
    }


def gate_check(registry: Registry, key: dg.AssetKey, name: str, report: RegistrationReport) -> dg.AssetCheckResult:
    """Whether the challenger passed, with the reasons."""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=report.verdict.promote,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(report.verdict),
        metadata={
            "challenger": report.challenger.number,
            "reasons": "; ".join(report.verdict.reasons),
            "verdict": dg.MetadataValue.md(report.verdict.markdown()),
            "mlflow": dg.MetadataValue.url(registry.version_url(report.challenger)),
        },
    )


def sound_check(
    registry: Registry, key: dg.AssetKey, name: str, champion: Version | None, against: Sequence[Criterion]
) -> dg.AssetCheckResult:
    """Whether there is a champion that loads and scores, whatever became of the challenger."""
    if champion is None:
        said, link = "there is no champion yet: nothing is scored", {}
    else:
        said = f"version {champion.number} " + (against[0].sentence if against else "loads and scores")
        link = {"mlflow": dg.MetadataValue.url(registry.version_url(champion))}
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=champion is not None and not against,
        severity=dg.AssetCheckSeverity.WARN if champion is None else dg.AssetCheckSeverity.ERROR,
        description=said,
        metadata=link,
    )


def of_scores(spec: PipelineSpec, lake: Lake, registry: Registry, report: ScoringReport) -> Metadata:
    """What `scores` shows."""
    from pynomaly_pipelines.stages import lineage

    return {
        **_location(spec, lake, "scores", report.commit),
        "unscored": report.unscored,
        "threshold": report.threshold,
        "threshold_rule": threshold_rule(report.version),
        "model_version": report.version.number,
        "most_anomalous": dg.MetadataValue.md(_markdown(report.top.head(10))),
        "lineage": dg.MetadataValue.md(
            lineage.markdown(registry, report.version, lake.version(spec.name, "validated"))
        ),
        **{name.removesuffix(".png"): _picture(png, name) for name, png in report.pictures.items()},
        "mlflow": dg.MetadataValue.url(registry.version_url(report.version)),
    }


def threshold_check(kept: BudgetKept, name: str) -> dg.AssetCheckResult:
    """Whether the threshold follows its rule, and the alerts of the period keep to the budget."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=kept.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(kept),
        metadata={
            "threshold": kept.threshold,
            "rule": kept.rule,
            "basis": kept.basis,
            **({} if kept.alerts is None else {"alerts": kept.alerts, "period": kept.period}),
        },
    )


def threshold_rule(version: Version) -> str:
    """The rule a version's threshold follows from, and how."""
    basis = version.tags.get("threshold_basis")
    rule = version.tags.get("threshold_rule", "set in the registry")
    return f"{rule}: {basis}" if basis else rule


def drift_figures(report: DriftReport) -> dict[str, dict[str, float]]:
    """What each partition shows of its drift."""
    return {
        f.partition: {
            "rows": len(f.verdicts),
            "drifted": len(f.drifted),
            "largest_index": max((v.effect for v in f.verdicts if v.subject.measure == "distribution"), default=0.0),
        }
        for f in report.findings
    }


def of_drift(spec: PipelineSpec, lake: Lake, report: DriftReport) -> Metadata:
    """What `drift` shows."""
    latest = report.latest
    return {
        **_location(spec, lake, "drift", report.commit),
        "partition": latest.partition,
        **({"not_judged": latest.why_not} if latest.why_not else {}),
        "model_version": report.version.number,
        "trained_on_partitions": report.trained_on,
        "most_drifted": dg.MetadataValue.md(_verdicts(latest.verdicts[:20])),
        **{name.removesuffix(".png"): _picture(png, name) for name, png in report.pictures.items()},
    }


def drift_checks(report: DriftReport, names: Mapping[str, str]) -> list[dg.AssetCheckResult]:
    """One check for each kind, on the latest partition; `names` gives each kind's."""
    return [_drift_check(report, kind, name) for kind, name in names.items()]


def _drift_check(report: DriftReport, kind: str, name: str) -> dg.AssetCheckResult:
    latest = report.latest
    own = [v for v in latest.verdicts if v.subject.kind == kind]
    drifted = [v for v in own if v.drifted]
    words = [f"{v.subject.name} ({v.subject.what}): usually {v.usual}, now {v.seen}" for v in drifted[:5]]
    picture = report.pictures.get(f"{kind}.png")
    return dg.AssetCheckResult(
        check_name=name,
        passed=not drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description=latest.why_not or "; ".join(words) or f"none of {len(own)} drifts",
        metadata={
            "partition": latest.partition,
            "drifted": len(drifted),
            "judged": len(own),
            "verdicts": dg.MetadataValue.md(_verdicts(own[:20])),
            **({"picture": _picture(picture, kind)} if picture else {}),
        },
    )


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    head = "| | kind | of | what | effect | corrected p | usual | now |\n|" + " --- |" * 8
    lines = [
        f"| {'drifts' if v.drifted else ''} | {v.subject.kind} | {_cell(v.subject.name)} | {v.subject.what} "
        f"| {v.effect:.3g} | {v.p_adjusted:.2g} | {_cell(v.usual)} | {_cell(v.seen)} |"
        for v in verdicts
    ]
    return "\n".join([head, *lines]) if lines else "–"


def _table(spec: PipelineSpec, lake: Lake, noun: str, commit: Commit, keys: Sequence[str]) -> Metadata:
    found = _location(spec, lake, noun, commit)
    if keys:
        rows = lake.head(spec.name, noun, keys[-1], PREVIEW_ROWS)
        found["preview"] = dg.MetadataValue.md(_markdown(rows.to_pandas().iloc[:, :WIDEST_PREVIEW]))
    return found


def _location(spec: PipelineSpec, lake: Lake, noun: str, commit: Commit) -> Metadata:
    schema = lake.schema(spec.name, noun)
    return {
        "dagster/row_count": sum(lake.counts(spec.name, noun).values()),
        "dagster/uri": commit.uri,
        "dagster/table_name": f"{spec.name}.{noun}",
        "dagster/column_schema": _columns(schema),
        "table_version": commit.version,
    }


def _columns(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[dg.TableColumn(field.name, str(field.type), COLUMN_MEANINGS.get(field.name)) for field in schema]
    )


def _markdown(frame: pd.DataFrame) -> str:
    """A small table; pipes in cells would break it."""
    head = "| " + " | ".join(map(str, frame.columns)) + " |\n|" + " --- |" * frame.shape[1]
    lines = ("| " + " | ".join(_cell(value) for value in row) + " |" for row in frame.itertuples(index=False))
    return "\n".join([head, *lines])


def _rows_of(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "¦").replace("\n", " ")


def _counted(reasons: Mapping[str, int]) -> str:
    rows = sorted(reasons.items(), key=lambda entry: -entry[1])[:20]
    return "\n".join(
        ["| reason | rows |", "| --- | --- |", *(f"| {_cell(reason)} | {count:,} |" for reason, count in rows)]
    )


def _picture(png: bytes, name: str) -> dg.MarkdownMetadataValue:
    from pynomaly_pipelines.stages.plots import inline

    return dg.MetadataValue.md(inline(png, name.removesuffix(".png").replace("_", " ")))


def _kept(registry: Registry, version: Version, name: str) -> dg.MarkdownMetadataValue | None:
    png = registry.picture(version, name)
    return _picture(png, name) if png else None


def _rows_picture(rows: Mapping[str, int], set_aside: Mapping[str, int], title: str) -> Metadata:
    if len(rows) < 2:
        return {}
    from pynomaly_pipelines.stages import plots

    return {"picture": _picture(plots.rows_over_time(rows, set_aside, title), title)}


def _json(text: str) -> Any:
    import json

    return json.loads(text)
