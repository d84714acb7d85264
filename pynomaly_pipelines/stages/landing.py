"""Which source files there are, which partitions they belong to, and which of them are new.

With date codes in the path (`sales/%Y-%m-%d.csv`) a file's name says its partitions. Without, they are found by reading
its time column once, and remembered in the pipeline's table `files`, a log with one row each time a file was looked at.
"""

from __future__ import annotations

import glob
import hashlib
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa

from pynomaly_pipelines.operations.errors import SchemaError, SourceMissing, SourceUnreadable, SpecError
from pynomaly_pipelines.partitions import WHOLE, Calendar, Partition
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec

FILES = "files"
Status = Literal["seen", "read", "unreadable"]

_SETTLED_SECONDS = 1.0
_TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", "~")
_CODES = {"Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}",
          "j": r"\d{3}", "b": r"[^\W\d_]{3}", "B": r"[^\W\d_]+"}  # fmt: skip
_FILES_SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "size": pa.int64(),
        "mtime_ns": pa.int64(),
        "digest": pa.string(),
        "rows": pa.int64(),
        "partitions": pa.list_(pa.field("element", pa.string())),
        "ingested": pa.list_(pa.field("element", pa.string())),
        "status": pa.string(),
        "reason": pa.string(),
        "recorded_ns": pa.int64(),
    }
)


@dataclass(frozen=True)
class LandedFile:
    """A source file as it lies there now."""

    path: str
    """As the spec's path gives it: relative to the project unless the spec's path is absolute."""
    size: int
    mtime_ns: int

    @property
    def stamp(self) -> tuple[str, int, int]:
        """What changes when the file changes, without opening it."""
        return (self.path, self.size, self.mtime_ns)


@dataclass(frozen=True)
class FileRecord:
    """What is remembered of a file: as it was when it was last looked at."""

    path: str
    size: int
    mtime_ns: int
    digest: str
    rows: int
    partitions: tuple[str, ...]
    """Partitions its rows belong to, or did before it changed."""
    ingested: tuple[str, ...]
    """Those of them that were ingested since the file is as it is."""
    status: Status
    reason: str | None = None

    @property
    def stamp(self) -> tuple[str, int, int]:
        """See `LandedFile.stamp`."""
        return (self.path, self.size, self.mtime_ns)


def landed(spec: PipelineSpec, project: Path) -> list[LandedFile]:
    """All files the spec's path matches, in the order of their names; temporary ones are left out."""
    if "://" in spec.source.path:
        raise SpecError(
            f"source path {spec.source.path!r} of pipeline {spec.name!r} is a URL",
            rule="sources are files of this machine",
            fix="mount or copy the files, and name their path",
        )
    pattern = re.sub(r"%[A-Za-z]", "*", spec.source.path)
    files = []
    for path in sorted(glob.glob(pattern, root_dir=project, recursive=True)):  # noqa: PTH207
        name = Path(path).name
        if name.startswith(".") or name.endswith(_TEMPORARY):
            continue
        try:
            status = (project / path).stat()
        except FileNotFoundError:
            continue
        if not (project / path).is_dir():
            files.append(LandedFile(path, status.st_size, status.st_mtime_ns))
    return files


def dated_files(spec: PipelineSpec, files: Iterable[LandedFile]) -> list[tuple[LandedFile, tuple[str, ...]]]:
    """Each file with the partitions its name says; files whose name is no date are left out."""
    name_of = _PathDates(spec)
    return [(file, keys) for file in files if (keys := name_of.partitions(file.path))]


class _PathDates:
    """File name -> the partitions its date codes name: one, or several where the file's span holds several."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._calendar = Calendar(spec)
        self._codes = re.findall(r"%([A-Za-z])", spec.source.path)
        unknown = sorted(set(self._codes) - set(_CODES))
        if unknown:
            raise SpecError(
                f"the path {spec.source.path!r} has the code %{unknown[0]}",
                rule=f"date codes are {', '.join('%' + code for code in _CODES)}",
                fix="use these, or a glob without codes",
            )
        self._pattern = _path_regex(spec.source.path)
        self._start, self._end = spec.start, spec.end

    def partitions(self, path: str) -> tuple[str, ...]:
        match = self._pattern.fullmatch(path)
        if match is None:
            return ()
        try:
            moment = datetime.strptime(" ".join(match.groups()), " ".join(f"%{code}" for code in self._codes)).replace(
                tzinfo=self._calendar.zone
            )
        except ValueError:
            return ()
        return self._spanned(moment)

    def _spanned(self, moment: datetime) -> tuple[str, ...]:
        stop = _after(moment, self._codes)
        keys = []
        part = self._calendar.containing(moment)
        while part.start is not None and part.end is not None and part.start < stop:
            local = part.start.astimezone(self._calendar.zone).date()
            begun = self._start is None or part.end > midnight(self._start, self._calendar.zone)
            if begun and (self._end is None or local < self._end):
                keys.append(part.key)
            part = self._calendar.containing(part.end)
        return tuple(keys)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _after(moment: datetime, codes: Sequence[str]) -> datetime:
    """End of the span that the finest code names."""
    present = set(codes)
    if present & {"H", "M", "S"}:
        return moment + timedelta(hours=1)
    if present & {"d", "j"}:
        return moment + timedelta(days=1)
    if present & {"m", "b", "B"}:
        return (moment.replace(day=1) + timedelta(days=32)).replace(day=1)
    return moment.replace(year=moment.year + 1)


@cache
def _path_regex(path: str) -> re.Pattern[str]:
    """A path with codes and wildcards as a regular expression with one group a code."""
    parts = re.split(r"(%[A-Za-z]|\*\*/|\*\*|\*|\?|\[[^]]*\])", path)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    out = []
    for part in parts:
        if part.startswith("%") and len(part) == 2:
            out.append(f"({_CODES.get(part[1], '.+')})")
        elif part.startswith("["):
            out.append(part.replace("[!", "[^"))
        else:
            out.append(wild.get(part, re.escape(part)))
    return re.compile("".join(out))


# ------------------------------------------------------------------------------------------------- the log


def remembered(spec: PipelineSpec, lake: Lake) -> dict[str, FileRecord]:
    """The latest record of each file."""
    if not lake.exists(spec.name, FILES):
        return {}
    rows = lake.read(spec.name, FILES).sort_by("recorded_ns").to_pylist()
    records: dict[str, FileRecord] = {}
    for row in rows:
        row.pop("recorded_ns")
        record = FileRecord(**{**row, "partitions": tuple(row["partitions"]), "ingested": tuple(row["ingested"])})
        records[record.path] = _merged(records.get(record.path), record)
    return records


def _merged(before: FileRecord | None, record: FileRecord) -> FileRecord:
    """Runs that each ingested some partitions of a file add up, as long as it is the same file."""
    if before is None or before.stamp != record.stamp:
        return record
    return replace(record, ingested=tuple(dict.fromkeys((*before.ingested, *record.ingested))))


def remember(spec: PipelineSpec, lake: Lake, records: Sequence[FileRecord]) -> None:
    """Append these records to the log."""
    if not records:
        return
    now = time.time_ns()
    rows = [{**vars(record), "recorded_ns": now} for record in records]
    lake.append(spec.name, FILES, pa.Table.from_pylist(rows, schema=_FILES_SCHEMA))


# ------------------------------------------------------------------------------------------------- questions


def files_of(
    spec: PipelineSpec, partitions: Sequence[Partition], lake: Lake, project: Path
) -> list[tuple[LandedFile, tuple[str, ...]]]:
    """The files to read for these partitions, each with all partitions it belongs to.

    Raises:
        SourceMissing: the path matches no file at all.
    """
    files = _some(spec, project)
    wanted = {partition.key for partition in partitions}
    pairs = dated_files(spec, files) if spec.source.dated else _located(spec, files, lake, project)
    return [(file, keys) for file, keys in pairs if wanted & set(keys)]


def available(spec: PipelineSpec, lake: Lake, project: Path) -> list[str]:
    """Keys of all partitions that files were found for, in order.

    Raises:
        SourceMissing: the path matches no file at all.
    """
    files = _some(spec, project)
    pairs = dated_files(spec, files) if spec.source.dated else _located(spec, files, lake, project)
    return sorted({key for _, keys in pairs for key in keys})


def no_match(spec: PipelineSpec, project: Path) -> SourceMissing:
    """There is no file at all."""
    return SourceMissing(
        f"no file matches {spec.source.path!r} (looked in {project})",
        rule=f"pipeline {spec.name!r} reads its rows from there",
        fix="put a file there, or correct `source: {path: …}`",
    )


def pending(spec: PipelineSpec, lake: Lake, project: Path) -> dict[str, str]:
    """Partitions with files that are new or changed since they were ingested, each with a digest of its files' state.

    The digest stays the same until a file of the partition changes. Files written to within the last second wait.
    """
    files = landed(spec, project)
    records = remembered(spec, lake)
    settled_before = time.time_ns() - int(_SETTLED_SECONDS * 1e9)
    settled = [file for file in files if file.mtime_ns <= settled_before]
    if spec.source.dated:
        placed = _placed_by_name(spec, files, records)
    else:
        placed = dict(_located(spec, settled, lake, project, records))
    waiting = {key for file in settled for key in _waiting(records.get(file.path), file, placed.get(file, ()))}
    digests = {key: hashlib.sha256() for key in sorted(waiting)}
    for file, keys in placed.items():
        for key in digests.keys() & set(keys):
            digests[key].update(repr(file.stamp).encode())
    return {key: digest.hexdigest()[:16] for key, digest in digests.items()}


def _placed_by_name(
    spec: PipelineSpec, files: Sequence[LandedFile], records: dict[str, FileRecord]
) -> dict[LandedFile, tuple[str, ...]]:
    """As `dated_files`, but names that were read before are not read again."""
    known = {file: records[file.path].partitions for file in files if file.path in records}
    return known | dict(dated_files(spec, [file for file in files if file not in known]))


def _some(spec: PipelineSpec, project: Path) -> list[LandedFile]:
    files = landed(spec, project)
    if not files:
        raise no_match(spec, project)
    return files


def _waiting(record: FileRecord | None, file: LandedFile, keys: Sequence[str]) -> set[str]:
    """Partitions of a file that were not ingested since it is as it is."""
    if record is None or record.stamp != file.stamp:
        return set(keys)
    return set() if record.status == "unreadable" else set(keys) - set(record.ingested)


def _located(
    spec: PipelineSpec,
    files: Sequence[LandedFile],
    lake: Lake,
    project: Path,
    records: dict[str, FileRecord] | None = None,
) -> list[tuple[LandedFile, tuple[str, ...]]]:
    """Each file with its partitions: as remembered, or found by reading its times, and then remembered."""
    if spec.partition == "whole":
        return [(file, (WHOLE,)) for file in files]
    records = remembered(spec, lake) if records is None else records
    pairs, found = [], []
    for file in files:
        record = records.get(file.path)
        if record is None or record.stamp != file.stamp:
            before = () if record is None else record.partitions
            record = _looked_at(spec, file, before, project)
            found.append(record)
        pairs.append((file, record.partitions))
    remember(spec, lake, found)
    return pairs


def _looked_at(spec: PipelineSpec, file: LandedFile, before: tuple[str, ...], project: Path) -> FileRecord:
    """Read the times of a file once; the partitions it had before it changed are still its own, to be emptied."""
    from pynomaly_pipelines.stages.ingestion import partitions_in

    try:
        keys, rows = partitions_in(spec, file, project)
    except (SourceUnreadable, SchemaError) as error:
        return FileRecord(*file.stamp, "", 0, before, (), "unreadable", str(error))
    if not keys:
        reason = f"no row of {file.path} has a time that is a time of pipeline {spec.name!r}, from {spec.start} on"
        return FileRecord(*file.stamp, "", rows, before, (), "unreadable", reason)
    keys = tuple(sorted({*before, *keys}))
    return FileRecord(*file.stamp, "", rows, keys, (), "seen")
