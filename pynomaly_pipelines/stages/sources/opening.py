"""One file of a source, or what a database holds of one partition -> its rows, and what exactly was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.resources import storage
from pynomaly_pipelines.resources.storage import LandedFile, Replaced
from pynomaly_pipelines.spec import FileSource, PipelineSpec
from pynomaly_pipelines.stages.sources import extracts
from pynomaly_pipelines.stages.sources.manifest import FileRecord
from pynomaly_pipelines.stages.sources.reading import file_rows, piece_bytes
from pynomaly_pipelines.stages.sources.rows import Reading, Types


@contextmanager
def reading(
    spec: PipelineSpec,
    file: LandedFile,
    types: Types,
    project: Path,
    *,
    size: int | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[Reading]:
    """Open a file; its pieces are read while it is open.

    Args:
        size: bytes a piece; by default what the source's memory setting says.
        columns: the only ones wanted, where the format can leave others out.

    Raises:
        SourceUnreadable: it is not whole, or not one row can be had from it.
        SourceError: it can't be reached.
        Replaced: another file has its name now; what was read may be of either.
    """
    size = piece_bytes(spec.source.memory_mb) if size is None else size
    if not isinstance(spec.source, FileSource):
        yield extracts.reading(spec, file, types, project, size)
        return
    place = storage.files_at(spec.source.path, spec.source.storage, project)
    try:
        with place.opened(file) as opened:
            pieces = file_rows(
                opened.path, spec.source, types, spec.timezone, where=file.path, size=size, columns=columns
            )
            yield Reading(opened.file, opened.digest, pieces)
    except PynomalyError as error:
        # A file that is being replaced looks torn.
        if place.unchanged(file):
            raise
        raise Replaced from error
    if not place.unchanged(opened.file):
        raise Replaced


def current(spec: PipelineSpec, file: LandedFile, project: Path) -> LandedFile | None:
    """The file as it is now; None if it has gone."""
    assert isinstance(spec.source, FileSource)
    return storage.files_at(spec.source.path, spec.source.storage, project).now(file.path)


def same_content(spec: PipelineSpec, file: LandedFile, record: FileRecord, project: Path) -> bool:
    """Whether a file that was written again holds what it held: by the storage's mark, or by reading it."""
    if file.version or record.version:
        return file.version == record.version
    if not record.digest or not isinstance(spec.source, FileSource):
        return False
    try:
        with storage.files_at(spec.source.path, spec.source.storage, project).opened(file) as opened:
            return opened.digest == record.digest and opened.file == file
    except (PynomalyError, Replaced):
        return False
