"""Several processes on one listening socket: started, watched, replaced when they die or hang, stopped together.

The parent keeps the socket open and accepts nothing, so that a worker that dies takes no waiting connection with it.
Each worker writes to a pipe that it lives; when the parent dies the pipe breaks, and the worker stops in order.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from pynomaly_pipelines.operations.telemetry import metrics
from pynomaly_pipelines.operations.telemetry.logs import configure_logs, log
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.serving.server import MARGIN_SECONDS
from pynomaly_pipelines.service.settings import ServiceSettings

START_SECONDS = 120.0
_TICK_SECONDS = 0.05
_RESTART_SECONDS = 1.0
READY, ALIVE = b"r", b"."


@dataclass
class Worker:
    """One child process."""

    process: subprocess.Popen[bytes]
    pipe: int
    started: float
    heard: float
    ready: bool = False

    def listen(self) -> None:
        """Read what it has said."""
        try:
            said = os.read(self.pipe, 4096)
        except BlockingIOError:
            return
        if said:
            self.heard = time.monotonic()
            self.ready = self.ready or READY in said


class Workers:
    """The parent."""

    def __init__(
        self, settings: ServiceSettings, project: Project, listening: socket.socket, given: Mapping[str, Any]
    ) -> None:
        self._settings = settings
        self._listening = listening
        self._stopping = 0
        self._metrics = project.settings.home / "run" / f"metrics-{listening.getsockname()[1]}"
        # By the environment, which other users can't read, and never by the command line, which they can.
        overrides = {f"PYNOMALY_SERVICE_{name.upper()}": str(value) for name, value in given.items()}
        self._environment = project.settings.child_environment(**overrides, **{metrics.DIRECTORY: str(self._metrics)})
        self._workers: list[Worker] = []

    def run(self, on_ready: Callable[[], None]) -> int:
        """Start them, watch them, stop them.

        Returns:
            0 after an orderly end, 1 when they did not start or had to be killed.
        """
        configure_logs(self._settings.log_level, self._settings.log_format)
        metrics.clear_directory(self._metrics)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._told)
        self._workers = [self._start() for _ in range(self._settings.workers)]
        started = self._all_ready()
        if started and not self._stopping:
            on_ready()
        while started and not self._stopping:
            self._watch()
            time.sleep(_TICK_SECONDS)
        clean = self._stop()
        self._listening.close()
        return 0 if started and clean else 1

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping += 1

    def _start(self) -> Worker:
        mine, theirs = os.pipe()
        os.set_blocking(mine, False)
        command = [sys.executable, "-m", "pynomaly_pipelines.service.serving.worker"]
        process = subprocess.Popen(
            [*command, str(self._listening.fileno()), str(theirs)],
            env=self._environment,
            pass_fds=(self._listening.fileno(), theirs),
            # Ctrl-C in a terminal reaches the parent, which tells them; a second signal would end them at once.
            start_new_session=True,
        )
        os.close(theirs)
        now = time.monotonic()
        return Worker(process, mine, now, now)

    def _all_ready(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping:
            for worker in self._workers:
                worker.listen()
            if all(worker.ready for worker in self._workers):
                return True
            dead = [w for w in self._workers if w.process.poll() is not None and not w.ready]
            if dead or time.monotonic() > deadline:
                log().error("a worker did not start", exit_code=dead[0].process.returncode if dead else None)
                return False
            time.sleep(_TICK_SECONDS)
        return True

    def _watch(self) -> None:
        for place, worker in enumerate(self._workers):
            worker.listen()
            code = worker.process.poll()
            silent = time.monotonic() - worker.heard
            if code is None and silent > self._settings.worker_silence_seconds:
                log().error("a worker hangs and is killed", worker=worker.process.pid, silent_seconds=round(silent))
                worker.process.kill()
                code = worker.process.wait()
            if code is not None:
                log().error("a worker died and is replaced", worker=worker.process.pid, exit_code=code)
                self._forget(worker)
                # One that dies at its start would be started without pause.
                time.sleep(max(0.0, _RESTART_SECONDS - (time.monotonic() - worker.started)))
                self._workers[place] = self._start()

    def _stop(self) -> bool:
        """Tell all to stop; whether all ended by themselves."""
        told, clean = 0, True
        chosen = self._settings
        deadline = time.monotonic() + chosen.pre_stop_seconds + chosen.drain_seconds + chosen.stop_seconds
        deadline += 5 * MARGIN_SECONDS
        while alive := [worker for worker in self._workers if worker.process.poll() is None]:
            if told < max(1, self._stopping):
                told += 1
                for worker in alive:
                    worker.process.send_signal(signal.SIGTERM)
            if time.monotonic() > deadline:
                clean = False
                for worker in alive:
                    worker.process.kill()
            time.sleep(_TICK_SECONDS)
        for worker in self._workers:
            # One that was still starting has nothing to finish, and no handler of the signal yet.
            ended = (0,) if worker.ready else (0, -signal.SIGTERM)
            clean = clean and worker.process.returncode in ended
            self._forget(worker)
        return clean

    def _forget(self, worker: Worker) -> None:
        os.close(worker.pipe)
        metrics.forget_worker(worker.process.pid, self._metrics)
