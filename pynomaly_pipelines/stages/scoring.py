"""Validated partitions + the champion -> `scores`: one row per row (or point), replaced as a whole, never appended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.operations.cache import announce, tags
from pynomaly_pipelines.operations.errors import RegistryError, SignatureError
from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Commit, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.features import ORIGIN, SERIES, TIMESTAMP, VALUE, detector_frame
from pynomaly_pipelines.stages.thresholds.in_force import in_force

if TYPE_CHECKING:
    import pyarrow as pa

    from pynomaly_pipelines.detection import Explanation, Scorer, Scores

NOT_SHOWN = ["_source", "_row", "raw_score", "threshold", "model_version", "model_run_id", "run_id", "scored_at"]
SOUND, UNSOUND = "sound", "no"
"""Tag of a champion that came from outside: `yes`, or `no: ` and what is wrong with it."""
EXPLAINED_TAIL = 10.0
"""Rows are explained from the score that this many times the alert rate of ordinary rows exceeds."""


@dataclass(frozen=True)
class ScoringReport:
    """What one scoring did."""

    rows: int
    anomalies: int
    unscored: int
    """Points without enough history."""
    per_partition: dict[str, tuple[int, int]]
    """Rows and anomalies of each partition."""
    version: Version
    threshold: float
    commit: Commit
    top: pd.DataFrame
    """The most anomalous rows, as a table to look at."""
    pictures: dict[str, bytes]


def score(
    spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, registry: Registry, *, run_id: str = ""
) -> ScoringReport:
    """Score partitions with the champion and replace their rows in `scores` in one commit.

    Raises:
        NoChampion: nothing was promoted yet.
        RegistryError: the champion was chosen outside the product and failed its check.
        SignatureError: the rows lack columns of the model.
    """
    keys = [partition.key for partition in partitions]
    version, scored, schema = assess(spec, partitions, lake, registry)
    scored["run_id"] = run_id
    scored["scored_at"] = pd.Timestamp(datetime.now(UTC)).floor("ms")
    commit = lake.replace(spec.name, "scores", keys, to_arrow(spec, scored, schema))
    announce(tags.data(spec.name))
    return _report(spec, scored, keys, version, commit)


def assess(
    spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, registry: Registry
) -> tuple[Version, pd.DataFrame, pa.Schema]:
    """What the champion says of partitions, nothing written: itself, the scored rows, the schema of the validated ones.

    Raises:
        NoChampion, SignatureError: as `score`.
    """
    version, scorer = champion_of(spec, lake, registry)
    table = lake.read(spec.name, "validated", partitions=[partition.key for partition in partitions])
    try:
        scored = assess_rows(spec, scorer, table, _past(spec, partitions, lake, scorer), version.threshold)
    except SignatureError as error:
        raise SignatureError(
            f"champion {version.number} of {spec.name!r} can't score these rows: {error.problem}",
            rule=error.rule,
            fix=f"train one on the columns as they are now: `pynomaly run {spec.name} --train`",
        ) from error
    return version, scored.assign(model_version=version.number, model_run_id=version.run_id), table.schema


def champion_of(spec: PipelineSpec, lake: Lake, registry: Registry) -> tuple[Version, Scorer]:
    """The version that scores, with the threshold in force, and its scorer.

    Raises:
        NoChampion: nothing was promoted yet.
        RegistryError: it was chosen outside the product and failed its check, or can't be fetched.
        ScorerFileError: its files are incomplete or altered.
    """
    champion = registry.champion(spec.name)
    refuse_unsound(champion)
    scorer = registry.load(champion)
    return in_force(spec, lake, registry, champion, scorer), scorer


def refuse_unsound(version: Version) -> None:
    """Let no champion score that was chosen outside the product and failed its check.

    Raises:
        RegistryError: it is one.
    """
    said = version.tags.get(SOUND, "")
    if said.startswith(UNSOUND):
        raise RegistryError(
            f"champion {version.number} of {version.pipeline!r} was chosen in the registry and is not sound ({said})",
            rule="a champion loads, reads the pipeline's columns, and its scores are finite and vary",
            fix=f"`pynomaly rollback {version.pipeline}`, or point the alias `champion` at another version",
        )


def assess_rows(
    spec: PipelineSpec, scorer: Scorer, table: pa.Table, past: pa.Table | None, threshold: float
) -> pd.DataFrame:
    """The one scoring path: validated rows -> identity columns, `score`, `raw_score`, `is_anomaly` and reasons.

    Args:
        table: the validated rows to score.
        past: rows before them, which a series needs; None for records.
    """
    frame = detector_frame(spec, table)
    identity = _identity(spec, table, frame)
    inputs = frame if spec.kind == "records" else frame[[TIMESTAMP, SERIES, VALUE]]
    start = 0
    if past is not None and past.num_rows:
        history = detector_frame(spec, past)[[TIMESTAMP, SERIES, VALUE]]
        inputs, start = pd.concat([history, inputs], ignore_index=True), len(history)
    found = scores_of(scorer, inputs, start)
    scores = found.score
    scored = identity.assign(score=scores, raw_score=found.raw_score, threshold=threshold)
    scored["is_anomaly"] = flagged(scores, threshold)
    explained = np.nan_to_num(scores) >= explained_from(spec, scorer, threshold)
    reasons = _reasons(spec, scorer, inputs, start, explained)
    return scored.assign(reasons=pd.Series(reasons, index=scored.index, dtype="object"))


def scores_of(scorer: Scorer, inputs: pd.DataFrame, start: int) -> Scores:
    """Scores of `inputs[start:]`; what stands before is the past a series needs."""
    found = scorer.scores(inputs)
    return replace(found, raw_score=found.raw_score[start:], score=found.score[start:])


def flagged(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Which scores lie over the threshold, bool[n]; a point without a score does not."""
    return np.asarray(scores > threshold)


def explained_from(spec: PipelineSpec, scorer: Scorer, threshold: float) -> float:
    """The score from which on a row gets reasons: whether it does depends on itself and the model alone."""
    return min(threshold, float(scorer.score_at_tail(min(0.5, EXPLAINED_TAIL * spec.alert_rate))))


def to_arrow(spec: PipelineSpec, scored: pd.DataFrame, validated: pa.Schema) -> pa.Table:
    """The scored frame with the column types of the `scores` table."""
    import pyarrow as pa

    return pa.Table.from_pandas(scored, schema=scores_schema(spec, validated), preserve_index=False)


def scores_schema(spec: PipelineSpec, validated: pa.Schema) -> pa.Schema:
    """Columns of `scores`: who the row is, what it scored and why."""
    import pyarrow as pa

    who = [validated.field(name) for name in _identity_columns(spec, validated)]
    if spec.kind == "series":
        who += [pa.field(SERIES, pa.string()), pa.field(VALUE, pa.float64())]
    return pa.schema(
        [
            *who,
            pa.field("score", pa.float64()),
            pa.field("raw_score", pa.float64()),
            pa.field("threshold", pa.float64()),
            pa.field("is_anomaly", pa.bool_()),
            pa.field("reasons", reason_type()),
            pa.field("model_version", pa.int64()),
            pa.field("model_run_id", pa.string()),
            pa.field("run_id", pa.string()),
            pa.field("scored_at", pa.timestamp("us", "UTC")),
        ]
    )


def reason_type() -> pa.DataType:
    """Type of the column `reasons`."""
    import pyarrow as pa

    texts = [pa.field(name, pa.string()) for name in ("column", "value", "usual")]
    return pa.list_(pa.struct([*texts, pa.field("share", pa.float64())]))


def reason_text(reasons: Sequence[dict[str, object]] | None) -> str:
    """Reasons as one line: `dep_delay = 853 (usually -12 … 120); …`."""
    if reasons is None:
        return ""
    return "; ".join(f"{r['column']} = {r['value']} (usually {r['usual']})" for r in reasons)


def _past(spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, scorer: Scorer) -> pa.Table | None:
    """The validated rows before the partitions, as far back as the scorer looks, and those between them."""
    first, last = min(partitions), max(partitions)
    if spec.kind != "series" or first.start is None:
        return None
    from pynomaly_pipelines.detection.series import SeriesScorer

    assert isinstance(scorer, SeriesScorer)
    oldest = Calendar(spec).containing(first.start - scorer.history)
    known = sorted(lake.counts(spec.name, "validated"))
    scored = {partition.key for partition in partitions}
    keys = [key for key in known if oldest.key <= key < last.key and key not in scored]
    return lake.read(spec.name, "validated", partitions=keys) if keys else None


def _identity_columns(spec: PipelineSpec, schema: pa.Schema) -> list[str]:
    time = [spec.time] if spec.time else []
    told = [*spec.incidents.entity, *(name for rule in spec.incidents.suppress for name in rule.where)]
    wanted = [*time, *spec.key, *spec.series, *told, "_partition", "_source", "_row"]
    # The name of a point's series holds its ids; an id column called `series` gives way to it.
    taken = (SERIES, VALUE) if spec.kind == "series" else ()
    return list(dict.fromkeys(name for name in wanted if name in schema.names and name not in taken))


def _identity(spec: PipelineSpec, table: pa.Table, frame: pd.DataFrame) -> pd.DataFrame:
    identity: pd.DataFrame = table.select(_identity_columns(spec, table.schema)).to_pandas()
    if spec.kind == "records":
        return identity
    points = identity.iloc[frame[ORIGIN].to_numpy()].reset_index(drop=True)
    return points.assign(**{SERIES: frame[SERIES].to_numpy(), VALUE: frame[VALUE].to_numpy()})


def _reasons(
    spec: PipelineSpec, scorer: Scorer, inputs: pd.DataFrame, start: int, wanted: np.ndarray
) -> list[list[dict[str, object]] | None]:
    """Reasons of the wanted rows of `inputs[start:]`, None for the others."""
    reasons: list[list[dict[str, object]] | None] = [None] * len(wanted)
    rows = np.flatnonzero(wanted)
    if len(rows) == 0:
        return reasons
    if spec.kind == "records":
        explanation, places = scorer.explain(inputs.iloc[start + rows], top=spec.reasons), list(range(len(rows)))
    else:
        # A point is explained by its past, so the whole frame has to be there.
        explanation, places = scorer.explain(inputs, top=spec.reasons), (start + rows).tolist()
    for row, place in zip(rows, places, strict=True):
        reasons[row] = as_structs(explanation, place)
    return reasons


def as_structs(explanation: Explanation, place: int) -> list[dict[str, object]]:
    """The reasons of one row as the table of scores holds them."""
    cells = zip(
        explanation.columns[place],
        explanation.values[place],
        explanation.usual[place],
        explanation.share[place],
        strict=True,
    )
    return [
        {"column": str(column), "value": _shown(value), "usual": str(usual), "share": float(share)}
        for column, value, usual, share in cells
        if share > 0
    ]


def _shown(value: object) -> str:
    if value is None or value != value:
        return "missing"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return str(value)


def _report(
    spec: PipelineSpec, scored: pd.DataFrame, keys: Sequence[str], version: Version, commit: Commit
) -> ScoringReport:
    from pynomaly_pipelines.stages import plots

    groups = scored.groupby("_partition")["is_anomaly"].agg(["size", "sum"])
    per = {key: (int(groups["size"].get(key, 0)), int(groups["sum"].get(key, 0))) for key in keys}
    top = scored.nlargest(20, "score")
    top = top.assign(reasons=[reason_text(r) for r in top["reasons"]]).drop(columns=NOT_SHOWN)
    pictures = {"scores.png": plots.score_histogram(scored["score"].to_numpy(), version.threshold)}
    flagged = scored.loc[scored["is_anomaly"], "reasons"]
    first_reasons = np.array([r[0]["column"] for r in flagged if r], dtype=object)
    if spec.kind == "series":
        points = scored.rename(columns={spec.time or "": TIMESTAMP})
        pictures["series.png"] = plots.series_scores(points, scored["score"].to_numpy(), version.threshold)
    elif len(first_reasons):
        counts = {str(name): int(count) for name, count in pd.Series(first_reasons).value_counts().items()}
        pictures["reasons.png"] = plots.counted(counts, "first reason of each anomaly")
    return ScoringReport(
        rows=len(scored),
        anomalies=int(scored["is_anomaly"].sum()),
        unscored=int(scored["score"].isna().sum()),
        per_partition=per,
        version=version,
        threshold=version.threshold,
        commit=commit,
        top=top,
        pictures=pictures,
    )
