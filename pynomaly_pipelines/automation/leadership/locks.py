"""A Dagster instance -> the lock that only one of its daemons holds."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import dagster as dg

LOCK_FILE = "daemon.lock"


class Taking(Enum):
    """What came of an attempt to take a lock; the value is said to people."""

    TAKEN = "leader: the daemon starts"
    OF_ANOTHER = "standby: another daemon works on this instance; this one takes over when it ends"
    AWAY = "standby: Dagster's storage does not answer; it is asked again"


class Lock(Protocol):
    """What at most one process holds."""

    def take(self) -> Taking:
        """Try once to become the holder."""

    def held(self) -> bool:
        """Whether this process still is; never blocks."""

    def release(self) -> None:
        """Let it go."""

    @property
    def inherited(self) -> tuple[int, ...]:
        """File descriptors that a child must get, so that the lock outlives this process for as long as the child."""

    @property
    def term(self) -> str:
        """What the child needs to find out whether the lock is still held; empty if that can't be in doubt."""


class FileLock:
    """A lock of the system on a file; it ends with the last process that has it open, and nobody can take it away."""

    term = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def take(self) -> Taking:
        """Try once."""
        import fcntl

        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return Taking.OF_ANOTHER
        self._file = file
        return Taking.TAKEN

    def held(self) -> bool:
        """The system takes it from nobody."""
        return self._file is not None

    def release(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def inherited(self) -> tuple[int, ...]:
        """The open file."""
        return () if self._file is None else (self._file.fileno(),)


def lock_of(instance: dg.DagsterInstance, home: Path) -> Lock:
    """The lock beside where an instance keeps its runs.

    A file's lock guards the machines that share the file: all of them where storage is SQLite, and `home` alone where
    it is neither SQLite nor PostgreSQL.
    """
    url = getattr(instance.run_storage, "postgres_url", None)
    if url is None:
        # Two daemons may have homes of their own and the same SQLite files.
        return FileLock(Path(getattr(instance.run_storage, "_base_dir", home)).absolute() / LOCK_FILE)
    from pynomaly_pipelines.automation.leadership.advisory import AdvisoryLock

    return AdvisoryLock(str(url))
