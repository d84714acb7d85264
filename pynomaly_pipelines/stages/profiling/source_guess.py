"""A file, glob, URL, Delta table or database table, as a person names it -> the `source` of a pipeline for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.resources import storage
from pynomaly_pipelines.resources.database import Rows
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.source import CsvSource, SqlSource
from pynomaly_pipelines.stages.profiling.dialects import csv_dialect
from pynomaly_pipelines.stages.sources.paths import landed

TYPES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl",
         ".ndjson": "jsonl", ".json": "jsonl"}  # fmt: skip
_SQL = re.compile(r"sql:(?P<variable>\w+)/(?:(?P<schema>[^/.]+)\.)?(?P<table>[^/]+)")
_WATERMARK_NAMES = re.compile(r"^(last_)?(updated?|modified|changed?)(_(at|on|time|ts|date))?$|^row_?version$", re.I)


def guess(place: str) -> dict[str, Any]:
    """The `source` for `landing/*.csv`, `s3://bucket/in/*.parquet`, a Delta table, or `sql:VARIABLE/schema.table`.

    Raises:
        SpecError: nothing known is named so.
        SourceError: it can't be reached.
    """
    found = _SQL.fullmatch(place)
    if found is not None:
        return _sql(**found.groupdict())
    if Path(place, "_delta_log").is_dir():
        return {"type": "delta", "path": place}
    kind = TYPES.get(_suffix(place))
    if kind is None and "://" in place and not _suffix(place):
        return {"type": "delta", "path": place}
    if kind is None:
        raise SpecError(
            f"{place} ends in {_suffix(place)!r}",
            rule=f"files end in {', '.join(sorted(TYPES))}, packed ones in .gz or .zst besides; a Delta table is a "
            "folder with `_delta_log`, a table of a database is written sql:VARIABLE/table",
            fix="rename it, or write defs.yaml by hand with `source: {type: …}`",
        )
    source: dict[str, Any] = {"type": kind, "path": place}
    return source | _dialect(place) if kind == "csv" else source


def _suffix(place: str) -> str:
    name = place.lower()
    for packed in storage.PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix


def _sql(variable: str, schema: str | None, table: str) -> dict[str, Any]:
    source = {"type": "sql", "url_env": variable, "table": table} | ({"schema": schema} if schema else {})
    with Rows(SqlSource.model_validate(source)) as rows:
        marks = [name for name in rows.names() if _WATERMARK_NAMES.match(name)]
    return source | ({"watermark": marks[0]} if marks else {})


def _dialect(place: str) -> dict[str, Any]:
    """What is not usual about the first file, unpacked."""
    source = CsvSource.model_validate({"type": "csv", "path": place})
    files = landed(PipelineSpec(name="draft", source=source), Path())
    if not files:
        return {}
    with storage.files_at(place, source.storage, Path()).opened(files[0]) as opened:
        return csv_dialect(opened.path)
