"""What a database or a Delta table holds of each partition -> the shape of a file, as all else takes it for one.

Its path is `place#partition`, its size the number of rows, its version what grows when rows change. A cursor, kept in
the manifest with them, says how far the source has been looked through, so that each look reads only what is new.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from pynomaly_pipelines.operations.errors import SourceMissing
from pynomaly_pipelines.partitions import WHOLE
from pynomaly_pipelines.resources.storage import LandedFile
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import DeltaSource, PipelineSpec, SqlSource
from pynomaly_pipelines.stages.sources import delta_extracts, sql_extracts
from pynomaly_pipelines.stages.sources.arrow_rows import arrow_rows
from pynomaly_pipelines.stages.sources.manifest import FileRecord, remember, remembered
from pynomaly_pipelines.stages.sources.rows import FileRows, Reading, Types
from pynomaly_pipelines.stages.sources.tallies import Seen, Tally, path_of

RAW = "raw"


def looked_at(spec: PipelineSpec, lake: Lake, project: Path) -> dict[str, LandedFile]:
    """What there is of each partition, by key; what is new since the last look is remembered.

    Raises:
        SourceError: the source can't be reached, or is not there.
        SchemaError: its time column holds no times.
    """
    records = remembered(spec, lake)
    start = f"{spec.source.place}#"
    known = {path.removeprefix(start): record for path, record in records.items() if path.startswith(start)}
    state = {key: LandedFile(*record.stamp) for key, record in known.items()}
    cursor = records.get(spec.source.place)
    seen = _look(spec, cursor, lake, project)
    news = []
    emptied = dict.fromkeys(known, Tally(0, seen.cursor)) if seen.complete else {}
    for key, tally in (emptied | seen.tallies).items():
        file = LandedFile(path_of(spec, key), tally.rows, 0, tally.version)
        if state.get(key) != file and (tally.rows or key in known):
            state[key] = file
            news.append(FileRecord(*file.stamp, "", tally.rows, (key,), (), "seen"))
    if cursor is None or (cursor.version, cursor.size) != (seen.cursor, seen.tail):
        news.append(FileRecord(spec.source.place, seen.tail, 0, seen.cursor, "", 0, (), (), "seen"))
    # One commit: a cursor never stands without what was found on the way to it.
    remember(spec, lake, news)
    # A partition that has lost all its rows has to be emptied here, too.
    held = lake.counts(spec.name, RAW) if lake.exists(spec.name, RAW) else {}
    return {key: file for key, file in state.items() if file.size or key in held}


def _look(spec: PipelineSpec, cursor: FileRecord | None, lake: Lake, project: Path) -> Seen:
    if isinstance(spec.source, SqlSource):
        return sql_extracts.look(spec, spec.source, cursor, lake)
    assert isinstance(spec.source, DeltaSource)
    return delta_extracts.look(spec, spec.source, cursor, project)


def reading(spec: PipelineSpec, file: LandedFile, types: Types, project: Path, size: int) -> Reading:
    """The rows of one partition; `file` says at the end what was really read."""
    key = file.path.rpartition("#")[2]
    opened = Reading(file, "", _nothing())
    if isinstance(spec.source, SqlSource):
        tables = sql_extracts.tables_of(spec, spec.source, key, size, opened)
    else:
        assert isinstance(spec.source, DeltaSource)
        tables = delta_extracts.tables_of(spec, spec.source, key, project, size, opened)
    opened.pieces = _numbered(spec, tables, types)
    return opened


def _nothing() -> Generator[FileRows, None, None]:
    yield from ()


def _numbered(
    spec: PipelineSpec, tables: Generator[pa.Table, None, None], types: Types
) -> Generator[FileRows, None, None]:
    first = 1
    # A reader that has enough leaves no connection open.
    with closing(tables):
        for table in tables:
            rows = arrow_rows(table, types, spec.timezone, first=first)
            first += rows.table.num_rows
            yield rows


def sample(spec: PipelineSpec, types: Types, project: Path, size: int) -> Iterator[tuple[LandedFile, FileRows]]:
    """The first rows there are, up to that many bytes.

    Raises:
        SourceMissing: there are none.
    """
    opened = reading(spec, LandedFile(path_of(spec, WHOLE), 0, 0), types, project, size)
    found = 0
    for rows in opened.pieces:
        if rows.table.num_rows:
            yield opened.file, rows
        found += rows.table.nbytes
        if found >= size:
            break
    opened.pieces.close()
    if not found:
        raise SourceMissing(
            f"{spec.source.place} has no rows",
            rule=f"pipeline {spec.name!r} reads its rows from there",
            fix="wait for rows, or correct `source`",
        )
