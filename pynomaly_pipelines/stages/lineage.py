"""A row of `scores` -> all it came from: model version, MLflow run, training rows, validation, files, code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.resources.docs import DataDocs
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.scanning import Snapshot
from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.sources.manifest import remembered
from pynomaly_pipelines.stages.stored.pages import top
from pynomaly_pipelines.stages.stored.question import Question
from pynomaly_pipelines.stages.training import Window

if TYPE_CHECKING:
    import pandas as pd


_MOST_TOLD = 1_000
"""Rows that are looked at to say how many are meant by a key that names more than one."""
_COUNTED = ("refused", "valid", "quarantined", "expectations", "errors", "warnings")
"""What is told of a validation in one line."""


@dataclass(frozen=True)
class File:
    """A source file, and what was in it when it was read."""

    path: str
    digest: str
    rows: int


@dataclass(frozen=True)
class Validation:
    """What validation said of a partition; nothing where the pipeline keeps no Data Docs of it."""

    partition: str
    valid: int
    quarantined: int
    summary: Mapping[str, Any]
    """As the Data Docs list it: rows, expectations, whether the partition was accepted."""
    data_docs: str


@dataclass(frozen=True)
class Model:
    """The version that scored the row, and what made it."""

    version: int
    detector: str
    version_url: str
    mlflow_run: str
    run_url: str
    threshold_rule: str
    gate: str
    code_version: str
    schema_hash: str


@dataclass(frozen=True)
class Trained:
    """The rows a model was fitted on and judged by, in one version of the validated table."""

    table: str
    table_version: int
    fitted_on: Mapping[str, int]
    """Partition -> valid rows."""
    held_out: Mapping[str, int]
    files: tuple[File, ...]
    validations: tuple[Validation, ...]


@dataclass(frozen=True)
class Lineage:
    """Where one score comes from."""

    pipeline: str
    row: Mapping[str, str]
    """The columns that identify it."""
    score: float | None
    threshold: float
    is_anomaly: bool
    scoring_run: str
    scored_at: str
    file: File | None
    validation: Validation
    model: Model
    training: Trained

    def to_json(self) -> str:
        """Everything, for programs."""
        return json.dumps(asdict(self), indent=2, default=str)


def choose(
    spec: PipelineSpec,
    lake: Lake,
    *,
    key: Mapping[str, str] | None = None,
    row: tuple[str, int] | None = None,
    partition: str | None = None,
) -> pd.Series:
    """The stored score that is meant: by key, by source file and row there, or the highest one of a partition.

    Raises:
        DataError: no stored score is like that, or several are.
    """
    snapshot, named = Snapshot(lake, spec.name, "scores"), dict(key or {})
    unknown = [column for column in named if column not in snapshot.schema.names]
    if unknown:
        raise DataError(
            f"scores of {spec.name!r} have no column {unknown[0]!r}",
            rule=f"a row is named by columns of the scores: {', '.join(snapshot.schema.names)}",
            fix="name one of these",
        )
    keys = tuple(one for one in (partition, named.pop(PARTITION, None)) if one is not None)
    question = Question(partitions=keys, where={name: (value,) for name, value in named.items()}, place=row)
    found: pd.DataFrame = top(spec, snapshot, question, _MOST_TOLD).to_pandas()
    if found.empty:
        raise DataError(
            f"no score of {spec.name!r} is of that row",
            rule="lineage follows a stored score",
            fix=f"`pynomaly scores {spec.name}` shows what is stored",
        )
    if (key or row) and len(found) > 1 and spec.kind == "records":
        raise DataError(
            f"{_or_more(len(found))} scores of {spec.name!r} are of such rows",
            rule="lineage follows one row",
            fix="name its partition, too",
        )
    return found.iloc[0]


def trace(spec: PipelineSpec, lake: Lake, registry: Registry, docs: DataDocs, row: pd.Series) -> Lineage:
    """Everything a row of `scores` came from.

    Raises:
        RegistryError: the version that scored it is not in the registry any more.
    """
    version = registry.version(spec.name, int(row["model_version"]))
    files = {path: File(path, record.digest, record.rows) for path, record in remembered(spec, lake).items()}
    own = (*([spec.time] if spec.time else []), *spec.key, "series", "_partition", "_source", "_row")
    key = str(row["_partition"])
    return Lineage(
        pipeline=spec.name,
        row={name: str(row[name]) for name in dict.fromkeys(own) if name in row.index},
        score=None if row["score"] != row["score"] else float(row["score"]),
        threshold=float(row["threshold"]),
        is_anomaly=bool(row["is_anomaly"]),
        scoring_run=str(row["run_id"]),
        scored_at=str(row["scored_at"]),
        file=files.get(str(row["_source"])),
        validation=_validations(spec, lake, docs, [key], lake.counts(spec.name, "validated"))[0],
        model=_model(registry, version),
        training=_training(spec, lake, docs, version),
    )


def markdown(registry: Registry, version: Version, table_version: int) -> str:
    """The way back from an asset of scores, as links for the UI."""
    model = f"[version {version.number}]({registry.version_url(version)}) ({version.detector})"
    trained, code = _training_links(registry, version)
    lines = (
        f"scored by {model}, threshold {version.threshold:.4g}",
        trained,
        f"rows scored: version {table_version} of `validated`",
        code,
        f"`pynomaly lineage {version.pipeline} --partition …` follows one row to its file",
    )
    return "\n".join(f"- {line}" for line in lines)


def training_markdown(registry: Registry, version: Version) -> str:
    """The way back from an asset of models, likewise."""
    return "\n".join(f"- {line}" for line in _training_links(registry, version))


def _training_links(registry: Registry, version: Version) -> tuple[str, str]:
    told, tags = json.loads(version.tags.get("window", "{}")), version.tags
    run = f"[MLflow run]({registry.run_url(version)})"
    span = f"partitions {told.get('first')} … {told.get('last')} of `{tags.get('data_version', '?')}`"
    return (
        f"trained in {run} on {span}, held out from {told.get('holdout_from') or 'row to row'}",
        f"code: {tags.get('code_version', '?')}, pipeline {tags.get('spec_hash', '?')}",
    )


def _model(registry: Registry, version: Version) -> Model:
    tags = version.tags
    return Model(
        version=version.number,
        detector=version.detector,
        version_url=registry.version_url(version),
        mlflow_run=version.run_id,
        run_url=registry.run_url(version),
        threshold_rule=tags.get("threshold_rule", ""),
        gate=tags.get("gate_reason", "never asked"),
        code_version=f"pynomaly-pipelines {tags.get('code_version', '?')}, pipeline {tags.get('spec_hash', '?')}",
        schema_hash=tags.get("schema_hash", ""),
    )


def _training(spec: PipelineSpec, lake: Lake, docs: DataDocs, version: Version) -> Trained:
    window = Window.from_json(version.tags["window"], lake, spec.name)
    counts = lake.counts(spec.name, "validated", version=window.table_version)
    held, inside = set(window.holdout), set(window.partitions)
    files = [
        File(path, record.digest, record.rows)
        for path, record in remembered(spec, lake).items()
        if inside & set(record.partitions)
    ]
    return Trained(
        table=lake.uri(spec.name, "validated"),
        table_version=window.table_version,
        fitted_on={key: counts[key] for key in window.partitions if key not in held},
        held_out={key: counts[key] for key in window.holdout},
        files=tuple(sorted(files, key=lambda file: file.path)),
        validations=_validations(spec, lake, docs, window.partitions, counts),
    )


def _validations(
    spec: PipelineSpec, lake: Lake, docs: DataDocs, keys: Sequence[str], valid: Mapping[str, int]
) -> tuple[Validation, ...]:
    summaries = docs.summaries(spec.name)
    aside = lake.counts(spec.name, "quarantine") if lake.exists(spec.name, "quarantine") else {}
    return tuple(
        Validation(
            partition=key,
            valid=valid.get(key, 0),
            quarantined=aside.get(key, 0),
            summary=summaries.get(key, {}),
            data_docs=docs.url(spec.name, key) if key in summaries else "",
        )
        for key in keys
    )


def in_words(found: Lineage, most: int = 6) -> Sequence[tuple[str, str]]:
    """What and from where, line by line, for a terminal."""
    row = ", ".join(f"{name} {value}" for name, value in found.row.items())
    flag = "an anomaly" if found.is_anomaly else "no anomaly"
    score = "none" if found.score is None else f"{found.score:.4f}"
    t, m, v = found.training, found.model, found.validation
    lines = [
        ("row", row),
        ("score", f"{score}, threshold {found.threshold:.4f} ({m.threshold_rule}): {flag}"),
        ("scored", f"{found.scored_at} by run {found.scoring_run or '?'}"),
        ("file", "not remembered" if found.file is None else _file(found.file)),
        ("validation", _checked(v)),
        ("model", f"version {m.version} ({m.detector}) {m.version_url}"),
        ("MLflow run", f"{m.mlflow_run} {m.run_url}"),
        ("gate", m.gate),
        ("code", m.code_version),
        ("fitted on", f"{_span(t.fitted_on)} in version {t.table_version} of {t.table}"),
        ("held out", _span(t.held_out) if t.held_out else "rows drawn by their own hash"),
        ("its files", f"{len(t.files)}: " + "; ".join(map(_file, t.files[:most])) + _more(len(t.files), most)),
    ]
    checked = [one for one in t.validations if one.summary]
    if t.validations:
        aside = sum(one.quarantined for one in t.validations)
        lines.append(
            ("its validation", f"{len(checked)} of {len(t.validations)} with Data Docs, {aside:,} quarantined")
        )
    return lines


def _file(file: File) -> str:
    return f"{file.path} (content {file.digest[:12]}, {file.rows:,} rows)"


def _checked(v: Validation) -> str:
    told = f"partition {v.partition}: {v.valid:,} valid rows, {v.quarantined:,} quarantined"
    more = ", ".join(f"{name} {value}" for name, value in v.summary.items() if name in _COUNTED)
    return f"{told}; {more} {v.data_docs}" if v.summary else f"{told}; no Data Docs are kept"


def _span(rows: Mapping[str, int]) -> str:
    keys = sorted(rows)
    return f"{sum(rows.values()):,} rows of {len(keys)} partitions, {keys[0]} … {keys[-1]}" if keys else "nothing"


def _or_more(count: int) -> str:
    return f"{count} or more" if count == _MOST_TOLD else str(count)


def _more(count: int, most: int) -> str:
    return f"; and {count - most} more" if count > most else ""
