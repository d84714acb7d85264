"""Reports of training, evaluation and promotion -> what Dagster shows beside the models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from pynomaly_pipelines.resources.registry import Registry, Version

if TYPE_CHECKING:
    from pynomaly_pipelines.stages.evaluation import EvaluationReport
    from pynomaly_pipelines.stages.promotion.registration import RegistrationReport
from pynomaly_pipelines.presentation.scores import threshold_rule
from pynomaly_pipelines.presentation.tables import Metadata, as_json, kept_picture, picture_text


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
        "window": dg.MetadataValue.json(as_json(first.tags["window"])),
        **{f"scores_{v.detector}": p for v in versions if (p := kept_picture(registry, v, "training_scores.png"))},
        "mlflow": dg.MetadataValue.url(registry.run_url(first)),
    }


def of_evaluation(registry: Registry, report: EvaluationReport) -> Metadata:
    """What `evaluation` shows."""
    best = report.evaluations[0]
    return {
        "candidates": dg.MetadataValue.md(report.markdown()),
        "challenger": report.challenger.number,
        **best.metrics(),
        **{name.removesuffix(".png"): picture_text(png, name) for name, png in report.pictures.items()},
        "mlflow": dg.MetadataValue.url(registry.version_url(report.challenger)),
    }


def of_champion(registry: Registry, report: RegistrationReport) -> Metadata:
    """What `champion` shows."""
    assert report.champion is not None
    champion = report.champion
    picture = kept_picture(registry, champion, "holdout_scores.png")
    return {
        **({"holdout_scores": picture} if picture else {}),
        "version": champion.number,
        "detector": champion.detector,
        "threshold": champion.threshold,
        "threshold_rule": threshold_rule(champion),
        "gate": str(report.verdict),
        "verdict": dg.MetadataValue.md(report.verdict.markdown()),
        "trained_on": dg.MetadataValue.json(as_json(champion.tags["window"])),
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
