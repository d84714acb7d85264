"""Where source files lie -> what is there now, and each file's content as a local file, unpacked.

Two places with one face: folders of this machine, and object storage. An object is copied to a temporary file in small
pieces, on condition that it is still the one that was listed; a file of this machine is read where it lies.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from pynomaly_pipelines.operations.errors import PynomalyError, SourceMissing, SourceUnreadable
from pynomaly_pipelines.resources import object_storage
from pynomaly_pipelines.spec.source import StorageOptions

PACKED = (".gz", ".zst")
_PIECE_BYTES = 1 << 20
_WILD = ("*", "?", "[", "%")


@dataclass(frozen=True)
class LandedFile:
    """A source file as it lies there now."""

    path: str
    """As the spec's path gives it: a URL, or relative to the project unless the spec's path is absolute."""
    size: int
    mtime_ns: int
    version: str = ""
    """The storage's own mark of the content (ETag), where it has one."""

    @property
    def stamp(self) -> tuple[str, int, int, str]:
        """What changes when the file changes, without opening it."""
        return (self.path, self.size, self.mtime_ns, self.version)


@dataclass(frozen=True)
class Opened:
    """A file that is ready to be read."""

    file: LandedFile
    """As it was when it was opened."""
    path: Path
    """A file of this machine with its content, unpacked."""
    digest: str
    """SHA-256 of its bytes as they lie there."""


class Replaced(Exception):
    """Another file has its name now; internal, never shown: reading starts again."""


class Files(Protocol):
    """A place where source files lie."""

    def reach(self, pattern: str) -> None:
        """Look whether the place answers; raises a `SourceError` if it does not."""
        ...

    def find(self, pattern: str, folders: Sequence[str] | None, matches: Callable[[str], bool]) -> list[LandedFile]:
        """All files that match, in the order of their names; looked for in these folders, if given."""
        ...

    def now(self, path: str) -> LandedFile | None:
        """The file as it is now; None if it is not there."""
        ...

    def unchanged(self, file: LandedFile) -> bool:
        """Whether a file that was opened is still the one of its name, as far as that mattered to its reader."""
        ...

    def opened(self, file: LandedFile) -> AbstractContextManager[Opened]:
        """Its content; raises `Replaced` if it is not the one that was found."""
        ...


def files_at(path: str, options: StorageOptions, project: Path) -> Files:
    """The place a source's path names."""
    return ObjectFiles(path, options) if "://" in path else LocalFiles(project)


def fixed_folder(pattern: str) -> str:
    """The folders at the beginning of a pattern that have no wildcard: what has to be listed."""
    folders = pattern.split("/")[:-1]
    fixed = next((i for i, folder in enumerate(folders) if any(sign in folder for sign in _WILD)), len(folders))
    return "/".join(folders[:fixed])


# ------------------------------------------------------------------------------------------------ this machine


class LocalFiles:
    """Files of this machine, relative to the project's folder."""

    def __init__(self, project: Path) -> None:
        self._project = project

    def reach(self, pattern: str) -> None:
        """See `Files`."""

    def find(
        self,
        pattern: str,
        folders: Sequence[str] | None,  # noqa: ARG002 (listing folders costs nothing here)
        matches: Callable[[str], bool],  # noqa: ARG002 (the pattern says it)
    ) -> list[LandedFile]:
        """See `Files`."""
        paths = sorted(glob.glob(pattern, root_dir=self._project, recursive=True))  # noqa: PTH207
        found = (self.now(path) for path in paths)
        return [file for file in found if file is not None]

    def now(self, path: str) -> LandedFile | None:
        """See `Files`."""
        try:
            status = (self._project / path).stat()
        except FileNotFoundError:
            return None
        if (self._project / path).is_dir():
            return None
        return LandedFile(path, status.st_size, status.st_mtime_ns)

    def unchanged(self, file: LandedFile) -> bool:
        """See `Files`."""
        return self.now(file.path) == file

    @contextmanager
    def opened(self, file: LandedFile) -> Iterator[Opened]:
        """See `Files`; what is packed is unpacked into a temporary file."""
        path = self._project / file.path
        now = self.now(file.path)
        if now is None:
            raise Replaced
        try:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(file.path, f"can't be opened: {error.strerror}") from error
        with _unpacked(path, file.path) as plain:
            yield Opened(now, plain, digest)


# ---------------------------------------------------------------------------------------------- object storage


class ObjectFiles:
    """Objects below a URL."""

    def __init__(self, url: str, options: StorageOptions) -> None:
        self._scheme, self._bucket, _ = object_storage.split(url)
        self._client = object_storage.client(url, options)

    def reach(self, pattern: str) -> None:
        """See `Files`; lists one object."""
        import obstore

        _, _, prefix = object_storage.split(f"{fixed_folder(pattern)}/")
        with object_storage.told(pattern):
            next(iter(obstore.list(self._client, prefix.rstrip("/") or None, chunk_size=1)), None)

    def find(self, pattern: str, folders: Sequence[str] | None, matches: Callable[[str], bool]) -> list[LandedFile]:
        """See `Files`; costs one request per thousand objects below the folders."""
        import obstore

        found: dict[str, LandedFile] = {}
        for folder in folders if folders is not None else [fixed_folder(pattern)]:
            _, _, prefix = object_storage.split(f"{folder}/")
            with object_storage.told(pattern):
                for page in obstore.list(self._client, prefix.rstrip("/") or None):
                    for meta in page:
                        file = self._as_file(meta)
                        if matches(file.path):
                            found[file.path] = file
        return [found[path] for path in sorted(found)]

    def now(self, path: str) -> LandedFile | None:
        """See `Files`."""
        import obstore

        try:
            with object_storage.told(path):
                return self._as_file(obstore.head(self._client, object_storage.split(path)[2]))
        except SourceMissing:
            return None

    def unchanged(self, file: LandedFile) -> bool:  # noqa: ARG002 (a copy was read, and it is of one piece)
        """See `Files`."""
        return True

    @contextmanager
    def opened(self, file: LandedFile) -> Iterator[Opened]:
        """See `Files`; copied to a temporary file in pieces."""
        with tempfile.TemporaryDirectory(prefix="pynomaly-") as folder:
            copy = Path(folder, "content")
            digest = self._copied(file, copy)
            with _unpacked(copy, file.path) as plain:
                yield Opened(file, plain, digest)

    def _copied(self, file: LandedFile, target: Path) -> str:
        """Copy it on condition that it is the one that was listed; returns the digest."""
        import obstore
        import obstore.exceptions

        digest, size = hashlib.sha256(), 0
        condition: Any = {"if_match": file.version} if file.version else {}
        try:
            with object_storage.told(file.path), target.open("wb") as out:
                content = obstore.get(self._client, object_storage.split(file.path)[2], options=condition)
                for piece in content.stream(min_chunk_size=_PIECE_BYTES):
                    data = memoryview(piece)
                    digest.update(data)
                    out.write(data)
                    size += len(data)
        except (obstore.exceptions.PreconditionError, SourceMissing) as error:
            raise Replaced from error
        if size != file.size:
            raise Replaced
        return digest.hexdigest()

    def _as_file(self, meta: Any) -> LandedFile:
        modified = int(meta["last_modified"].timestamp() * 1e9)
        path = f"{self._scheme}://{self._bucket}/{meta['path']}"
        return LandedFile(path, int(meta["size"]), modified, str(meta["e_tag"] or ""))


# --------------------------------------------------------------------------------------------------- unpacking


@contextmanager
def _unpacked(path: Path, name: str) -> Iterator[Path]:
    """The content of a `.gz` or `.zst` file as a temporary file; any other file is left where it is."""
    if not name.endswith(PACKED):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pynomaly-") as folder:
        plain = Path(folder, "plain")
        try:
            with _unpacking(path, name) as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out, _PIECE_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            kind = "gzip" if name.endswith(".gz") else "Zstandard"
            problem = f"is no whole {kind} file: {error}"
            raise _unreadable(name, problem) from error
        yield plain


@contextmanager
def _unpacking(path: Path, name: str) -> Iterator[IO[bytes]]:
    if name.endswith(".gz"):
        import gzip

        with gzip.open(path) as stream:
            yield stream  # type: ignore[misc]
        return
    import pyarrow as pa

    with pa.OSFile(os.fspath(path)) as packed, pa.CompressedInputStream(packed, "zstd") as stream:
        yield stream


def _unreadable(name: str, problem: str) -> PynomalyError:
    return SourceUnreadable(
        f"file {name} {problem}",
        rule="a file is read whole or not at all",
        fix="deliver the file again, whole; it is read as soon as it has changed",
    )
