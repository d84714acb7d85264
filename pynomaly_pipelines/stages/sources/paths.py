"""A spec's path becomes the files it matches, each with the partitions its name says.

With date codes in the path (`sales/%Y-%m-%d.csv`) a name says a date; a glob without codes says none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from pynomaly_pipelines.operations.errors import SourceMissing, SpecError
from pynomaly_pipelines.partitions import Calendar, Partition, dated_path
from pynomaly_pipelines.resources import storage
from pynomaly_pipelines.resources.storage import LandedFile as LandedFile
from pynomaly_pipelines.spec import FileSource, PipelineSpec

_TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", "~")
_MOST_FOLDERS = 400
"""Rather than list more folders than this one by one, the one they are all in is listed."""
_CODES = {"Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}",
          "j": r"\d{3}", "b": r"[^\W\d_]{3}", "B": r"[^\W\d_]+"}  # fmt: skip


def landed(spec: PipelineSpec, project: Path, partitions: Sequence[Partition] | None = None) -> list[LandedFile]:
    """All files the spec's path matches, in the order of their names; temporary ones are left out.

    Args:
        partitions: if given, and the folders of the path have date codes, only the folders of these are looked into.

    Raises:
        SourceDenied: the storage does not let us look.
        SourceUnreachable: it gives no answer.
    """
    source = file_source(spec)
    pattern = re.sub(r"%[A-Za-z]", "*", source.path)
    matches = _path_regex(source.path).fullmatch
    files = storage.files_at(source.path, source.storage, project)
    found = files.find(pattern, _folders(spec, partitions), lambda path: matches(path) is not None)
    return [file for file in found if not _is_temporary(Path(file.path).name)]


def file_source(spec: PipelineSpec) -> FileSource:
    """The spec's source, which is one of files."""
    assert isinstance(spec.source, FileSource)
    return spec.source


def _is_temporary(name: str) -> bool:
    return name.startswith(".") or name.endswith(_TEMPORARY)


def _folders(spec: PipelineSpec, partitions: Sequence[Partition] | None) -> list[str] | None:
    """The folders of these partitions' files; None where they can't be told apart, or are too many."""
    source = file_source(spec)
    path = source.path.rpartition("/")[0]
    codes = set(re.findall(r"%([A-Za-z])", path))
    if partitions is None or not codes or not codes <= set(_CODES):
        return None
    step = timedelta(hours=1) if codes & {"H", "M", "S"} else timedelta(days=1)
    zone, folders = Calendar(spec).zone, dict[str, None]()
    for part in partitions:
        assert part.start is not None
        assert part.end is not None
        moment = part.start
        while moment < part.end:
            filled = dated_path(path, Partition(part.key, moment), zone)
            folders[storage.fixed_folder(f"{filled}/x")] = None
            moment += step
            if len(folders) > _MOST_FOLDERS:
                return None
    return list(folders)


def no_match(spec: PipelineSpec, project: Path) -> SourceMissing:
    """There is no file at all."""
    looked = "" if "://" in spec.source.place else f" (looked in {project})"
    return SourceMissing(
        f"no file matches {spec.source.place!r}{looked}",
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
        self._codes = re.findall(r"%([A-Za-z])", file_source(spec).path)
        unknown = sorted(set(self._codes) - set(_CODES))
        if unknown:
            raise SpecError(
                f"the path {file_source(spec).path!r} has the code %{unknown[0]}",
                rule=f"date codes are {', '.join('%' + code for code in _CODES)}",
                fix="use these, or a glob without codes",
            )
        self._pattern = _path_regex(file_source(spec).path)
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
