"""`defs.yaml` -> PipelineSpec, or every mistake in it with file, line, value and fix; and lines added to it."""

from pynomaly_pipelines.specfile.reading import (
    COMPONENT,
    SpecFile,
    child,
    find,
    json_schema,
    load,
    place,
    problems_of,
    read,
    read_all,
    resolved,
)

__all__ = [
    "COMPONENT",
    "SpecFile",
    "child",
    "find",
    "json_schema",
    "load",
    "place",
    "problems_of",
    "read",
    "read_all",
    "resolved",
]
