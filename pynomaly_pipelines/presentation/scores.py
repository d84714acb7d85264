"""Reports of scoring and drift -> what Dagster shows beside the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from pynomaly_pipelines.stages.drift.judging import DriftReport
    from pynomaly_pipelines.stages.scoring import ScoringReport
    from pynomaly_pipelines.stages.thresholds.budget_kept import BudgetKept
from pynomaly_pipelines.presentation.tables import Metadata, location, markdown, picture_text, verdicts


def of_scores(spec: PipelineSpec, lake: Lake, registry: Registry, report: ScoringReport) -> Metadata:
    """What `scores` shows."""
    from pynomaly_pipelines.stages import lineage

    return {
        **location(spec, lake, "scores", report.commit),
        "unscored": report.unscored,
        "threshold": report.threshold,
        "threshold_rule": threshold_rule(report.version),
        "model_version": report.version.number,
        "most_anomalous": dg.MetadataValue.md(markdown(report.top.head(10))),
        "lineage": dg.MetadataValue.md(
            lineage.markdown(registry, report.version, lake.version(spec.name, "validated"))
        ),
        **{name.removesuffix(".png"): picture_text(png, name) for name, png in report.pictures.items()},
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
        **location(spec, lake, "drift", report.commit),
        "partition": latest.partition,
        **({"not_judged": latest.why_not} if latest.why_not else {}),
        "model_version": report.version.number,
        "trained_on_partitions": report.trained_on,
        "most_drifted": dg.MetadataValue.md(verdicts(latest.verdicts[:20])),
        **{name.removesuffix(".png"): picture_text(png, name) for name, png in report.pictures.items()},
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
            "verdicts": dg.MetadataValue.md(verdicts(own[:20])),
            **({"picture": picture_text(picture, kind)} if picture else {}),
        },
    )
