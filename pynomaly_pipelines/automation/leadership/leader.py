"""A lock and a command -> the command runs for as long as this process holds the lock, and waits for it otherwise."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from pynomaly_pipelines.automation.leadership.locks import Lock, Taking
from pynomaly_pipelines.operations.errors import SettingsError

POLL_SECONDS = 1.0
STOP_SECONDS = 15.0
DAEMON = "pynomaly_pipelines.automation.leadership.daemon"
"""The module that is run as a child; it takes the lock's term, and the arguments of `dagster-daemon`."""


class Leader:
    """Runs Dagster's daemon in a child while it holds the lock."""

    def __init__(self, lock: Lock, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        if sys.platform == "win32":
            raise SettingsError(
                "`pynomaly daemon` does not run on Windows",
                rule="its lock is one of POSIX",
                fix="run `dagster-daemon run`",
            )
        self._lock = lock
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._folder = folder
        self._stop = 0

    def run(self, say: Callable[[str], None]) -> int:
        """Until SIGINT or SIGTERM, or until the daemon ends by itself.

        Returns:
            0 after a signal; else what the daemon returned.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stopped)
        said: Taking | None = None
        while not self._stop:
            taking = self._lock.take()
            if taking is not said:
                say(taking.value)
            said = taking
            if taking is Taking.TAKEN:
                code = self._lead(say)
                if code is not None:
                    return code
                said = None
            self._pause()
        return 0

    def _lead(self, say: Callable[[str], None]) -> int | None:
        """What the daemon returned, 0 after a signal; None when the lock was lost."""
        process = self._start()
        try:
            while process.poll() is None and not self._stop:
                if not self._lock.held():
                    break
                self._pause()
            if self._stop:
                return 0
            if self._lock.held():
                return process.returncode
            say("the lock is lost: the daemon stops")
            # At once: from here on another may work.
            process.kill()
            return None
        finally:
            _end(process, self._stop or signal.SIGTERM)
            self._lock.release()

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: the project's folder holds no modules of the child.
        command = [sys.executable, "-P", "-m", DAEMON, self._lock.term or "-", *self._arguments]
        return subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment,
            # It ends when this process does, however that comes: then nobody has the other end of the pipe.
            stdin=subprocess.PIPE,
            # Ctrl-C is passed on by us, once.
            start_new_session=True,
            pass_fds=self._lock.inherited,
        )

    def _stopped(self, number: int, _frame: FrameType | None) -> None:
        self._stop = number

    def _pause(self) -> None:
        deadline = time.monotonic() + POLL_SECONDS
        while not self._stop and time.monotonic() < deadline:
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
