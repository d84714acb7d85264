"""A spec's path becomes the files it matches, each with the partitions its name says.

With date codes in the path (`sales/%Y-%m-%d.csv`) a name says a date; a glob without codes says none.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from pynomaly_pipelines.operations.errors import SourceMissing, SpecError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.spec import PipelineSpec

_TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", "~")
_CODES = {"Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}",
          "j": r"\d{3}", "b": r"[^\W\d_]{3}", "B": r"[^\W\d_]+"}  # fmt: skip


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


def landed(spec: PipelineSpec, project: Path) -> list[LandedFile]:
    """All files the spec's path matches, in the order of their names; temporary ones are left out."""
    if "://" in spec.source.place:
        raise SpecError(
            f"source path {spec.source.place!r} of pipeline {spec.name!r} is a URL",
            rule="sources are files of this machine",
            fix="mount or copy the files, and name their path",
        )
    pattern = re.sub(r"%[A-Za-z]", "*", spec.source.place)
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


def no_match(spec: PipelineSpec, project: Path) -> SourceMissing:
    """There is no file at all."""
    return SourceMissing(
        f"no file matches {spec.source.place!r} (looked in {project})",
        rule=f"pipeline {spec.name!r} reads its rows from there",
        fix="put a file there, or correct `source: {path: …}`",
    )


def dated_files(spec: PipelineSpec, files: Iterable[LandedFile]) -> list[tuple[LandedFile, tuple[str, ...]]]:
    """Each file with the partitions its name says; files whose name is no date are left out."""
    name_of = _PathDates(spec)
    return [(file, keys) for file in files if (keys := name_of.partitions(file.path))]


class _PathDates:
    """File name -> the partitions its date codes name: one, or several where the file's span holds several."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._calendar = Calendar(spec)
        self._codes = re.findall(r"%([A-Za-z])", spec.source.place)
        unknown = sorted(set(self._codes) - set(_CODES))
        if unknown:
            raise SpecError(
                f"the path {spec.source.place!r} has the code %{unknown[0]}",
                rule=f"date codes are {', '.join('%' + code for code in _CODES)}",
                fix="use these, or a glob without codes",
            )
        self._pattern = _path_regex(spec.source.place)
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
