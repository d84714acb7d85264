"""A project of one small pipeline behind a real Dagster: code server, webserver and, when wanted, the daemon."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pynomaly_pipelines.scaffolding import scaffold
from tests.end_to_end.conftest import PIPELINE, day_of_rows
from tests.servers import free_port

BIN = Path(sys.executable).parent
LOCATION = "pynomaly_pipelines"
ONE_AT_A_TIME = re.compile(r"max_concurrent_runs: \d+")


@dataclass
class DagsterStack:
    """Its processes; `url` is the webserver's."""

    folder: Path
    code_port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYNOMALY_", "DAGSTER_"))}
        return {
            **kept,
            "PYNOMALY_PROJECT": str(self.folder),
            "DAGSTER_HOME": str(self.folder / ".pynomaly" / "dagster"),
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(Path(__file__).parents[3])]),
        }

    def prepare(self, days: int) -> None:
        scaffold(self.folder, "watch")
        orders = self.folder / "watch" / "defs" / "orders"
        orders.mkdir()
        (orders / "defs.yaml").write_text(PIPELINE + "  start: 2025-03-01\n" if "start:" not in PIPELINE else PIPELINE)
        (self.folder / "landing").mkdir()
        for day in range(1, days + 1):
            day_of_rows(day).to_csv(self.folder / "landing" / f"2025-03-{day:02}.csv", index=False)
        home = Path(self.environment["DAGSTER_HOME"])
        home.mkdir(parents=True)
        settings = (self.folder / "dagster.yaml").read_text()
        (home / "dagster.yaml").write_text(ONE_AT_A_TIME.sub("max_concurrent_runs: 1", settings))
        server = f"{{host: 127.0.0.1, port: {self.code_port}, location_name: {LOCATION}}}"
        (self.folder / "grpc.yaml").write_text(f"load_from: [{{grpc_server: {server}}}]\n")

    def start_code(self) -> None:
        code = ["code-server", "start", "-h", "127.0.0.1", "-p", str(self.code_port)]
        self._start("code", "dagster", *code, "-m", "watch.definitions", "--location-name", LOCATION)
        log = self.folder / "code.log"
        self.until(lambda: "Started Dagster code server" in log.read_text(), "the code server", 120)

    def start_web(self) -> None:
        self._start("web", "dagster-webserver", "-h", "127.0.0.1", "-p", str(self.web_port), "-w", "grpc.yaml")
        self.until(self._answers, "the webserver", 120)

    def start_daemon(self) -> None:
        self._start("daemon", "dagster-daemon", "run", "-w", "grpc.yaml")

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self.processes.pop(name, None)
        if process is not None:
            os.killpg(process.pid, number)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def stop_all(self) -> None:
        for name in ("daemon", "web", "code"):
            self.stop(name, signal.SIGINT if name == "daemon" else signal.SIGTERM)

    def until(self, ready: Callable[[], Any], what: str, seconds: float = 90) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = ready()
            if found:
                return found
            time.sleep(0.2)
        logs = "\n".join(f"{p.name}: {p.read_text()[-1500:]}" for p in self.folder.glob("*.log"))
        raise AssertionError(f"{what} did not come within {seconds} s\n{logs}")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/server_info", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _start(self, name: str, program: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [BIN / program, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
