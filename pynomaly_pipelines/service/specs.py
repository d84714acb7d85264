"""A name in a path -> the pipeline of that name, as its file stands now.

Files are read again when one of them has changed; until then a look at their times suffices.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

from pynomaly_pipelines import specfile
from pynomaly_pipelines.operations.errors import NotFound, SpecError
from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.service.access.requirements import no_such_pipeline
from pynomaly_pipelines.spec import PipelineSpec

Stamp = tuple[tuple[str, int, int], ...]


@dataclass
class Specs:
    """The pipelines of a project."""

    folder: Path
    _stamp: Stamp | None = None
    _known: dict[str, PipelineSpec] = field(default_factory=dict)
    _broken: dict[str, SpecError] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> list[PipelineSpec]:
        """Every pipeline whose file can be used, by name."""
        self._refresh()
        return [self._known[name] for name in sorted(self._known)]

    def of(self, name: str) -> PipelineSpec:
        """The pipeline of that name.

        Raises:
            NotFound: there is none.
            SpecError: its file breaks a rule.
        """
        self._refresh()
        if name in self._broken:
            raise self._broken[name]
        if name not in self._known:
            raise no_such_pipeline(name)
        return self._known[name]

    def _refresh(self) -> None:
        stamp = tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in specfile.find(self.folder))
        with self._lock:
            if stamp == self._stamp:
                return
            entries = specfile.read_all(self.folder)
            good = [entry.spec for entry in entries if entry.spec is not None and not entry.problems]
            self._known = {spec.name: spec for spec in good}
            self._broken = {
                entry.spec.name if entry.spec else entry.path.parent.name: entry.problems[0]
                for entry in entries
                if entry.problems
            }
            self._stamp = stamp


def digest(spec: PipelineSpec) -> str:
    """The same for the same pipeline: part of what answers about it are known by."""
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:12]


def partition_of(spec: PipelineSpec, key: str) -> Partition:
    """The partition of that key.

    Raises:
        NotFound: the pipeline has none of that name.
    """
    from pynomaly_pipelines.operations.errors import DataError

    try:
        return Calendar(spec).partition(key)
    except (DataError, OverflowError) as error:
        rule = error.rule if isinstance(error, DataError) else "it is beyond the calendar"
        raise NotFound(
            f"pipeline {spec.name!r} has no partition {key!r}",
            rule=rule,
            fix=f"GET /v1/pipelines/{spec.name}/partitions lists them",
        ) from error
