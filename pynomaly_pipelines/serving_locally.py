"""`pynomaly up`: code server, webserver, daemon MLflow UI and the API on loopback; one Ctrl-C stops all of them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.secrets import resolved
from pynomaly_pipelines.operations.settings import LOCAL_URL
from pynomaly_pipelines.project import DEFINITIONS, Project

HOST = "127.0.0.1"
START_SECONDS = 180
STOP_SECONDS = 20
LOCATION = "pynomaly_pipelines"


@dataclass
class Service:
    """One process, what it says and where it listens."""

    name: str
    command: Sequence[str]
    log: Path
    port: int | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Start it in a process group of its own, so that Ctrl-C reaches us first and it second."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, cwd=folder, env=dict(environment), stdout=out, stderr=out, start_new_session=True
            )

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process is not None and self.process.poll() is None

    @property
    def listening(self) -> bool:
        """Whether it accepts connections; true for one that has no port."""
        if self.port is None:
            return self.running
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((HOST, self.port)) == 0

    def signal(self, number: int) -> None:
        """Send a signal to the process and its children."""
        if self.process is not None and self.running:
            os.killpg(self.process.pid, number)

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Stack:
    """The processes of `pynomaly up`."""

    def __init__(self, project: Project, *, live: bool, port: int, mlflow_port: int, api_port: int = 8000) -> None:
        self._project = project
        self.port = free_port(port)
        self.mlflow_port = free_port(mlflow_port)
        self._code_port = free_port(4266)
        self.docs_port = free_port(5050)
        self.api_port = free_port(api_port)
        self._environment = self._variables(live)
        self._stopping = False
        self.services = self._services()

    def run(self, say: Callable[[str], None]) -> int:
        """Start everything, say where it is, wait for Ctrl-C, stop everything.

        Returns:
            0 after Ctrl-C or SIGTERM; 1 when a process died by itself.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            return self._run(say)
        finally:
            self._stop_all(say)

    def _run(self, say: Callable[[str], None]) -> int:
        # The others connect to the code server at their start, and open the registry: MLflow has to be alone while it
        # brings a new one to its schema.
        for group in (self.services[:2], self.services[2:]):
            for service in group:
                service.start(self._project.settings.project, self._environment)
            if not self._wait(group, say):
                return 0 if self._stopping else 1
        say(f"Dagster   http://{HOST}:{self.port}")
        say(f"MLflow    http://{HOST}:{self.mlflow_port}")
        say(f"Data Docs http://{HOST}:{self.docs_port}")
        if with_api():
            say(f"API       http://{HOST}:{self.api_port} (endpoints: /docs)")
        say("Ctrl-C stops everything.")
        while not self._stopping:
            dead = [s for s in self.services if not s.running]
            if dead:
                say(f"{dead[0].name} stopped by itself. The end of {dead[0].log}:\n{dead[0].last_words()}")
                return 1
            time.sleep(0.5)
        return 0

    def _wait(self, services: Sequence[Service], say: Callable[[str], None]) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping:
            if all(s.listening for s in services):
                return True
            dead = [s for s in services if not s.running]
            if dead or time.monotonic() > deadline:
                late = (dead or [s for s in services if not s.listening])[0]
                say(f"{late.name} did not start. The end of {late.log}:\n{late.last_words()}")
                return False
            time.sleep(0.2)
        return False

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _stop_all(self, say: Callable[[str], None]) -> None:
        running = [s for s in reversed(self.services) if s.running]
        for service in running:
            service.signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while any(s.running for s in running) and time.monotonic() < deadline:
            time.sleep(0.1)
        for service in running:
            if service.running:
                service.signal(signal.SIGKILL)
        if running:
            say("stopped")

    def _variables(self, live: bool) -> dict[str, str]:
        settings, local = self._project.settings, f"http://{HOST}:{self.port}"
        return settings.child_environment(
            DAGSTER_HOME=str(self._project.dagster_home()),
            PYNOMALY_PROJECT=str(settings.project),
            PYNOMALY_LIVE="1" if live or settings.live else "0",
            # Not an argument: those can be seen by everybody on this machine.
            MLFLOW_BACKEND_STORE_URI=resolved(settings.registry),
            PYNOMALY_REGISTRY_UI=f"http://{HOST}:{self.mlflow_port}",
            # One that was set leads in from outside, through a proxy for instance.
            PYNOMALY_PUBLIC_URL=f"http://{HOST}:{self.port}"
            if settings.public_url == LOCAL_URL
            else settings.public_url,
            PYNOMALY_DATA_DOCS_UI=f"http://{HOST}:{self.docs_port}",
            PYNOMALY_SERVICE_DAGSTER_URL=local,
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
            MLFLOW_DISABLE_TELEMETRY="true",
            PYTHONUNBUFFERED="1",
        )

    def _services(self) -> list[Service]:
        settings, logs = self._project.settings, self._project.settings.home / "logs"
        workspace = settings.home / "workspace.yaml"
        workspace.parent.mkdir(parents=True, exist_ok=True)
        workspace.write_text(
            f"load_from:\n  - grpc_server: {{host: {HOST}, port: {self._code_port}, location_name: {LOCATION}}}\n"
        )
        module = f"{self._project.module}.{DEFINITIONS}"
        code = [script("dagster"), "code-server", "start", "-h", HOST, "-p", str(self._code_port), "-m", module]
        web = [script("dagster-webserver"), "-h", HOST, "-p", str(self.port), "-w", str(workspace)]
        daemon = [script("pynomaly"), "daemon", "-w", str(workspace)]
        store = ["--default-artifact-root", settings.artifacts]
        mlflow = [script("mlflow"), "server", "--host", HOST, "--port", str(self.mlflow_port), "--workers", "1", *store]
        settings.data_docs.mkdir(parents=True, exist_ok=True)
        docs = [sys.executable, "-m", "http.server", str(self.docs_port), "--bind", HOST]
        api = [script("pynomaly"), "serve", "--host", HOST, "--port", str(self.api_port)]
        return [
            Service("code server", [*code, "--location-name", LOCATION], logs / "code_server.log", self._code_port),
            Service("MLflow UI", mlflow, logs / "mlflow.log", self.mlflow_port),
            Service("Data Docs", [*docs, "--directory", str(settings.data_docs)], logs / "docs.log", self.docs_port),
            Service("Dagster webserver", web, logs / "webserver.log", self.port),
            Service("Dagster daemon", daemon, logs / "daemon.log"),
            *([Service("API", api, logs / "api.log", self.api_port)] if with_api() else []),
        ]


def with_api() -> bool:
    """Whether the extra `service` is installed."""
    return importlib.util.find_spec("joserfc") is not None


def free_port(wanted: int) -> int:
    """`wanted` if nothing listens there, else one the system gives."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SettingsError(f"no free port on {HOST}", rule="each UI needs one", fix="stop another program")


def script(name: str) -> str:
    """A console script of this environment."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SettingsError(f"{name} is not installed", rule="it comes with the package", fix=f"pip install {name}")
    return found
