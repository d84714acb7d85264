"""SIGTERM under load: every request that was sent is answered, with one worker and with several."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.serving import Serving, get, serving, status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KEEP_ALIVE, NEW = 8, 8


class Load:
    """Clients that ask without pause: some on one connection each, some on a new one for each request."""

    def __init__(self, served: Serving) -> None:
        self._served = served
        self.outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._over = threading.Event()
        kinds = [self._on_one_connection] * KEEP_ALIVE + [self._on_new_connections] * NEW
        self._threads = [threading.Thread(target=kind) for kind in kinds]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def answered(self) -> int:
        with self._lock:
            return self.outcomes["answered"]

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1

    def _on_one_connection(self) -> None:
        while not self._over.is_set():
            line = self._connect()
            if line is None:
                return
            with line:
                while not self._over.is_set() and self._ask(line, get("/health/live")):
                    pass

    def _on_new_connections(self) -> None:
        while not self._over.is_set():
            line = self._connect()
            if line is None:
                return
            with line:
                self._ask(line, get("/health/live", close=True))

    def _connect(self) -> socket.socket | None:
        """None once nobody listens: a request that was never sent is not lost."""
        try:
            return self._served.connect(10.0)
        except (ConnectionRefusedError, TimeoutError):
            self._count("not connected")
            return None

    def _ask(self, line: socket.socket, request: bytes) -> bool:
        """Whether the connection may be used again. A request that was sent and has no answer is lost."""
        found = b""
        try:
            line.sendall(request)
            while b"\r\n\r\n" not in found or not found.endswith(b"}"):
                part = line.recv(65_536)
                if not part:
                    break
                found += part
        except OSError as error:
            self._count(f"lost: {error!r} after {len(found)} bytes")
            return False
        if status(found) != 200:
            self._count(f"lost: {found[:60]!r}")
            return False
        self._count("answered")
        return b"connection: close" not in found.lower()


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_is_lost_when_told_to_stop_under_load(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, workers=workers, rate_read="100000000/1") as served, Load(served) as load:
        deadline = time.monotonic() + 60
        while load.answered() < 300 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert served.stop() == 0
        served.process.wait(30)
        before = load.answered()
    assert before >= 300
    lost = {what: count for what, count in load.outcomes.items() if what.startswith("lost")}
    assert lost == {}


def test_not_ready_first_then_no_more_connections(tmp_path: Path) -> None:
    with serving(tmp_path, pre_stop_seconds=1.5) as served:
        assert status(served.exchange(get("/health/ready", close=True))) == 200
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert status(served.exchange(get("/health/ready", close=True))) == 503
        assert status(served.exchange(get("/health/live", close=True))) == 200
        assert served.process.wait(20) == 0
        with pytest.raises(OSError, match="refused"):
            served.connect()


@pytest.mark.parametrize("workers", [1, 2])
def test_stalled_bodies_do_not_keep_it(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, workers=workers, drain_seconds=2) as served, contextlib.ExitStack() as stack:
        head = get("/v1/auth/token", "Content-Length: 100", "Content-Type: application/x-www-form-urlencoded")
        for _ in range(10):
            line = stack.enter_context(served.connect())
            line.sendall(head.replace(b"GET", b"POST", 1) + b"half")
        time.sleep(0.5)
        started = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(30)
        # 2 s to drain, 5 to stop, and what it takes to notice.
        assert time.monotonic() - started < 15


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, drain_seconds=60) as served, served.connect() as line:
        head = get("/v1/auth/token", "Content-Length: 100", "Content-Type: application/x-www-form-urlencoded")
        line.sendall(head.replace(b"GET", b"POST", 1) + b"half")
        time.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        assert served.process.poll() is None
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(10)


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as served:
        children = workers_of(served)
        assert len(children) == 2
        os.kill(int(children[0]), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            now = workers_of(served)
            if len(now) == 2 and children[0] not in now:
                break
            time.sleep(0.1)
        else:
            pytest.fail("no worker took its place")
        assert served.honest()
        assert served.stop() == 0


def workers_of(served: Serving) -> list[str]:
    """Ids of the parent's children."""
    parent = served.process.pid
    return Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
