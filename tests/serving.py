"""`pynomaly serve` as a process of its own, on a free port, for tests that need real sockets and signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_START_SECONDS = 120.0


@dataclass
class Serving:
    """A running service."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    def connect(self, timeout: float = 10.0) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def exchange(self, sent: bytes, timeout: float = 10.0) -> bytes:
        """Everything that comes back for these bytes, until the server closes or says nothing more for `timeout`."""
        with self.connect(timeout) as line:
            line.sendall(sent)
            return read_all(line)

    def honest(self) -> bool:
        """Whether an ordinary request is answered."""
        answer = self.exchange(get("/health/live", close=True))
        return answer.startswith(b"HTTP/1.1 200 ")

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged; every line but the address is one JSON object."""
        return [json.loads(line) for line in self.said().splitlines() if not line.startswith("API ")]

    def said(self) -> str:
        """Everything it has written."""
        return self.log.read_text(encoding="utf-8")

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Tell it to stop; returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def serving(folder: Path, *, workers: int = 1, also: str = "", **settings: object) -> Iterator[Serving]:
    """A service over an empty project; `settings` are fields of ServiceSettings, `also` a module it imports first."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYNOMALY_", "DAGSTER_"))}
    told = {f"PYNOMALY_SERVICE_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**kept, **told, "PYNOMALY_PROJECT": str(folder), "PYNOMALY_HOME": str(folder / "home")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    first = f"import {also}; " if also else ""
    command = [sys.executable, "-c", f"{first}from pynomaly_pipelines.cli import main; main()", "serve"]
    log = folder / "service.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", "0", "--workers", str(workers)], cwd=folder, env=environment, stdout=out, stderr=out
        )
    found = Serving(process, log)
    try:
        found.port = _port(found)
        yield found
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(found: Serving) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and found.process.poll() is None:
        said = re.search(r"^API http://127\.0\.0\.1:(\d+)$", found.said(), re.MULTILINE)
        if said is not None:
            return int(said.group(1))
        time.sleep(0.05)
    raise AssertionError(f"the service did not start: {found.said()}")


def get(path: str, *headers: str, close: bool = False) -> bytes:
    """A GET request's bytes."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, *(["Connection: close"] if close else [])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def read_all(line: socket.socket) -> bytes:
    """What comes until the end of the connection, or until nothing more comes."""
    found = b""
    while True:
        try:
            part = line.recv(65_536)
        except (TimeoutError, ConnectionResetError):
            return found
        if not part:
            return found
        found += part


def status(answer: bytes) -> int:
    """The status of an answer; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def problem(answer: bytes) -> dict[str, Any]:
    """The problem in an answer, which is one."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head, answer
    found: dict[str, Any] = json.loads(body)
    assert set(found) >= {"type", "title", "status", "detail", "code", "trace_id"}
    assert found["status"] == status(answer)
    assert "Traceback" not in body.decode()
    return found
