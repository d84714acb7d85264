"""uvicorn's server, stopped in steps: not ready, no new connections, answer what is there, close, within a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import cast

import uvicorn

from pynomaly_pipelines.operations.health import Health, Phase
from pynomaly_pipelines.operations.telemetry.logs import log
from pynomaly_pipelines.service.serving.listening import HANDSHAKE_SECONDS, refuse_new, waiting
from pynomaly_pipelines.service.serving.protocol import BoundedProtocol
from pynomaly_pipelines.service.settings import ServiceSettings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG_SECONDS = 2.0
_TICK_SECONDS = 0.02
MARGIN_SECONDS = 1.0


class DrainingServer(uvicorn.Server):
    """A process' server. The first signal stops it in order, a second at once, and a time-out in any case."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: ServiceSettings,
        health: Health,
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._health = health
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def main_loop(self) -> None:
        """Serve until told to stop; then go on for a while, not ready, until balancers have noticed."""
        await super().main_loop()
        self._health.phase = Phase.DRAINING
        log().info("stopping", pre_stop_seconds=self._settings.pre_stop_seconds)
        until = time.monotonic() + self._settings.pre_stop_seconds
        while time.monotonic() < until and not self.force_exit:
            await self.on_tick(0)
            await asyncio.sleep(0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, answer what has been accepted, and end within the time."""
        deadline = time.monotonic() + self._settings.drain_seconds
        await self._empty_backlog(sockets or [])
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self.server_state.connections):
            cast(BoundedProtocol, connection).drain()
        while self._busy() and time.monotonic() < deadline and not self.force_exit:
            await asyncio.sleep(_TICK_SECONDS)
        await self._cut_off()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_seconds):
                await self.lifespan.shutdown()
        log().info("stopped")

    async def _empty_backlog(self, sockets: list[socket.socket]) -> None:
        """What the kernel has taken on our behalf is accepted, so that closing resets nobody."""
        for sock in sockets:
            refuse_new(sock)
        earliest = time.monotonic() + HANDSHAKE_SECONDS
        latest = earliest + _BACKLOG_SECONDS
        while not self.force_exit and time.monotonic() < latest:
            await asyncio.sleep(_TICK_SECONDS)
            if time.monotonic() >= earliest and not any(waiting(sock) for sock in sockets):
                break
        # What was accepted in this turn of the loop has its protocol in the next.
        await asyncio.sleep(_TICK_SECONDS)

    def _busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)

    async def _cut_off(self) -> None:
        if not self._busy():
            return
        tasks, connections = list(self.server_state.tasks), list(self.server_state.connections)
        log().warning("cut off", requests=len(tasks), connections=len(connections))
        for task in tasks:
            task.cancel()
        for connection in connections:
            connection.transport.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=MARGIN_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle them while serving; unlike uvicorn's, not raised again after: an orderly end is exit code 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn calls it
        """The first signal, or a further one."""
        self.stop()

    def stop(self) -> None:
        """Stop in order; when already stopping, at once."""
        if self.should_exit:
            self.force_exit = True
            return
        self.should_exit = True
        chosen = self._settings
        allowed = chosen.pre_stop_seconds + chosen.drain_seconds + chosen.stop_seconds
        # A thread that hangs in foreign code, or a blocked loop, can't keep the process.
        guard = threading.Timer(allowed + 3 * MARGIN_SECONDS, os._exit, args=(1,))
        guard.daemon = True
        guard.start()
