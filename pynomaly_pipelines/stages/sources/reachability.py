"""A pipeline's source -> what keeps it from being read, asked of the source itself, at the cost of one or two calls."""

from __future__ import annotations

from pathlib import Path

from pynomaly_pipelines.operations.errors import DataError, SettingsError, SourceError
from pynomaly_pipelines.resources import storage
from pynomaly_pipelines.resources.database import Rows
from pynomaly_pipelines.spec import DeltaSource, FileSource, PipelineSpec, SqlSource
from pynomaly_pipelines.stages.sources import delta_extracts

Problem = SourceError | SettingsError | DataError


def unreachable(spec: PipelineSpec, project: Path) -> Problem | None:
    """Why the source can't be read; None if it can. Files of this machine may still come, and are not asked for."""
    try:
        _ask(spec, project)
    except (SourceError, SettingsError, DataError) as problem:
        return problem
    return None


def _ask(spec: PipelineSpec, project: Path) -> None:
    source = spec.source
    if isinstance(source, SqlSource):
        with Rows(source) as rows:
            rows.names()
    elif isinstance(source, DeltaSource):
        delta_extracts.refuse_unreadable(spec, source, project)
    elif isinstance(source, FileSource) and "://" in source.path:
        storage.files_at(source.path, source.storage, project).reach(source.path)
