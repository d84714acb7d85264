"""Scores -> the bytes of an answer, JSON or an Arrow IPC stream; both say which one version gave them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pynomaly_pipelines.service.scoring.champion import Champion, Scored

if TYPE_CHECKING:
    import pyarrow as pa


def as_json(champion: Champion, scored: Scored, *, raw: bool) -> bytes:
    """One object: who scored, and an array a column; a point without a score has null."""
    answer: dict[str, Any] = {**_who(champion), "rows": scored.score.size}
    if scored.row is not None:
        answer |= {"row": scored.row.tolist(), "series": scored.series}
    answer |= {"score": scored.score.tolist(), "is_anomaly": scored.is_anomaly.tolist()}
    if raw:
        answer["raw_score"] = scored.raw_score.tolist()
    if scored.reasons is not None:
        answer["reasons"] = scored.reasons
    # msgspec writes NaN as null.
    return msgspec.json.encode(answer)


def as_arrow(champion: Champion, scored: Scored, *, raw: bool) -> bytes:
    """The same columns as a table; who scored stands in the schema's metadata."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    if scored.row is not None:
        columns |= {"row": pa.array(scored.row), "series": pa.array(scored.series, pa.string())}
    columns |= {"score": pa.array(scored.score, from_pandas=True), "is_anomaly": pa.array(scored.is_anomaly)}
    if raw:
        columns["raw_score"] = pa.array(scored.raw_score, from_pandas=True)
    if scored.reasons is not None:
        columns["reasons"] = pa.array(scored.reasons, _reasons_type())
    metadata = {key: str(value) for key, value in _who(champion).items()}
    batch = pa.RecordBatch.from_pydict(columns, metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def _who(champion: Champion) -> dict[str, Any]:
    version = champion.version
    return {
        "pipeline": champion.spec.name,
        "model_version": version.number,
        "model_run_id": version.run_id,
        "threshold": version.threshold,
    }


def _reasons_type() -> pa.DataType:
    from pynomaly_pipelines.stages.scoring import reason_type

    return reason_type()
