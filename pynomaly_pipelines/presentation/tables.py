"""Counts, columns, previews and pictures in the forms Dagster shows."""

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
    from pynomaly_pipelines.stages.expectations.reports import Refusal
    from pynomaly_pipelines.stages.gate.verdict import Criterion


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


def by_partition(refusals: Sequence[Refusal]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for refusal in refusals:
        found.setdefault(refusal.partition, []).append(f"{refusal.value}; {refusal.rule}. Fix: {refusal.fix}")
    return {partition: " ".join(reasons) for partition, reasons in sorted(found.items())}


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


def verdicts(verdicts: Sequence[Verdict]) -> str:
    head = "| | kind | of | what | effect | corrected p | usual | now |\n|" + " --- |" * 8
    lines = [
        f"| {'drifts' if v.drifted else ''} | {v.subject.kind} | {cell(v.subject.name)} | {v.subject.what} "
        f"| {v.effect:.3g} | {v.p_adjusted:.2g} | {cell(v.usual)} | {cell(v.seen)} |"
        for v in verdicts
    ]
    return "\n".join([head, *lines]) if lines else "–"


def table_metadata(spec: PipelineSpec, lake: Lake, noun: str, commit: Commit, keys: Sequence[str]) -> Metadata:
    found = location(spec, lake, noun, commit)
    if keys:
        rows = lake.head(spec.name, noun, keys[-1], PREVIEW_ROWS)
        found["preview"] = dg.MetadataValue.md(markdown(rows.to_pandas().iloc[:, :WIDEST_PREVIEW]))
    return found


def location(spec: PipelineSpec, lake: Lake, noun: str, commit: Commit) -> Metadata:
    schema = lake.schema(spec.name, noun)
    return {
        "dagster/row_count": sum(lake.counts(spec.name, noun).values()),
        "dagster/uri": commit.uri,
        "dagster/table_name": f"{spec.name}.{noun}",
        "dagster/column_schema": column_schema(schema),
        "table_version": commit.version,
    }


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[dg.TableColumn(field.name, str(field.type), COLUMN_MEANINGS.get(field.name)) for field in schema]
    )


def markdown(frame: pd.DataFrame) -> str:
    """A small table; pipes in cells would break it."""
    head = "| " + " | ".join(map(str, frame.columns)) + " |\n|" + " --- |" * frame.shape[1]
    lines = ("| " + " | ".join(cell(value) for value in row) + " |" for row in frame.itertuples(index=False))
    return "\n".join([head, *lines])


def rows_of(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "¦").replace("\n", " ")


def counted_text(reasons: Mapping[str, int]) -> str:
    rows = sorted(reasons.items(), key=lambda entry: -entry[1])[:20]
    return "\n".join(
        ["| reason | rows |", "| --- | --- |", *(f"| {cell(reason)} | {count:,} |" for reason, count in rows)]
    )


def picture_text(png: bytes, name: str) -> dg.MarkdownMetadataValue:
    from pynomaly_pipelines.stages.plots import inline

    return dg.MetadataValue.md(inline(png, name.removesuffix(".png").replace("_", " ")))


def kept_picture(registry: Registry, version: Version, name: str) -> dg.MarkdownMetadataValue | None:
    png = registry.picture(version, name)
    return picture_text(png, name) if png else None


def rows_picture(rows: Mapping[str, int], set_aside: Mapping[str, int], title: str) -> Metadata:
    if len(rows) < 2:
        return {}
    from pynomaly_pipelines.stages import plots

    return {"picture": picture_text(plots.rows_over_time(rows, set_aside, title), title)}


def as_json(text: str) -> Any:
    import json

    return json.loads(text)
